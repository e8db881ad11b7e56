"""
**Why.** Backups are kept for as long as `config/retention.yaml` says: so many days, weeks, months and
years. What nobody needs any more costs money, and may be data that must not be kept for ever.

**When.** Daily at 06:30 Asia/Shanghai, when the backup of the night is done. By hand it only shows what
it would do, unless `really_remove` is chosen.

**Reads.** The catalogue (schema `vault`), legal holds (`vault.holds`), `config/retention.yaml`; locks of
what it is about to remove, in each region.

**Writes.** Extends object locks of what is kept and of what is held. Marks backups as expired and
removes from the regions their manifests, then the objects that no kept backup refers to. The ledger
(`backup.expired`, `removal.done`, `retention.changed`). The catalogue keeps the rows.

**Gate.** Never removed: the newest good backup of a source, the newest good copy in a region, what a
legal hold covers, what is locked, what a kept backup refers to. Without `config/retention.yaml`
nothing is removed.

**If it fails.** *Nobody needs to be woken*: what is left costs storage, and the next day goes on where
it ended. If a lock cannot be extended for days, look at that region with `tidewatch region probe`
within the week: locks reach two days ahead at least.
"""

from typing import Any

from airflow.sdk import CronDataIntervalTimetable, Param, dag, task
from pendulum import datetime

from tidewatch.orchestration.policy import DEFAULT_ARGS, TIMEZONE


@dag(
    schedule=CronDataIntervalTimetable("30 6 * * *", timezone=TIMEZONE),
    start_date=datetime(2026, 1, 1, tz=TIMEZONE),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["backup"],
    params={
        "really_remove": Param(
            False,
            type="boolean",
            title="Really remove",
            description="For runs by hand: off, the run only logs what is kept and what would go, and why. "
            "Scheduled runs always remove.",
        )
    },
    doc_md=__doc__,
)
def expire_backups() -> None:
    @task
    def protect_held() -> dict[str, int]:
        from tidewatch.orchestration import retention_tasks

        return retention_tasks.protect_held()

    @task
    def list_sources() -> list[str]:
        from tidewatch.orchestration import retention_tasks

        return retention_tasks.list_sources()

    @task(map_index_template="{{ source }}", max_active_tis_per_dagrun=1)
    def expire(source: str) -> dict[str, str]:
        from tidewatch.orchestration import retention_tasks

        return retention_tasks.expire(source)

    @task(trigger_rule="none_failed")
    def sum_up(expired: Any) -> dict[str, int]:
        from tidewatch.orchestration import retention_tasks

        return retention_tasks.sum_up(expired)

    @task(trigger_rule="all_done")
    def list_regions() -> list[str]:
        from tidewatch.orchestration import retention_tasks

        return retention_tasks.list_regions()

    @task(map_index_template="{{ region }}", max_active_tis_per_dagrun=1)
    def remove(region: str) -> dict[str, str]:
        from tidewatch.orchestration import retention_tasks

        return retention_tasks.remove(region)

    @task
    def tell() -> dict[str, int]:
        from tidewatch.orchestration import notice_tasks

        return notice_tasks.deliver()

    regions = list_regions()
    protect_held()
    expired = expire.expand(source=list_sources())
    # One source that cannot be decided on keeps no region from removing what is over; it fails the run here.
    sum_up(expired)
    expired >> regions
    # A teardown runs whatever happened before it and has no say in whether the run succeeded.
    remove.expand(region=regions) >> tell().as_teardown()


expire_backups()
