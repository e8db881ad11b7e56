"""
**Why.** An attempt that is killed leaves objects that no manifest names. Nobody ever continues with
them, and they cost money in every region. They are removed as soon as their lock allows.

**When.** Daily at 05:30 Asia/Shanghai, when the backup of the night is done.

**Reads.** A listing of every version in each region; the catalogue (schema `vault`) for what became
of each attempt.

**Writes.** Removes object versions, delete markers and unfinished uploads of attempts that can
never be completed, and yesterday's probe objects; nothing outside of the layout. Marks attempts of
dead processes as abandoned after a day. The ledger (`orphans.removed`), notices.

**Gate.** Fails closed: while a region cannot be listed, or holds a manifest that the catalogue does
not know, nothing in question is removed, and the log says why. A locked version stays until its
lock ends.

**If it fails.** *Nobody needs to be woken*: what is left costs storage and nothing else, and the
next day tries again. If the log says for days that something is kept, run `tidewatch orphans list`
and do what it says.
"""

from airflow.sdk import CronDataIntervalTimetable, dag, task
from pendulum import datetime

from tidewatch.orchestration.policy import DEFAULT_ARGS, TIMEZONE


@dag(
    schedule=CronDataIntervalTimetable("30 5 * * *", timezone=TIMEZONE),
    start_date=datetime(2026, 1, 1, tz=TIMEZONE),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["backup"],
    doc_md=__doc__,
)
def remove_orphans() -> None:
    @task
    def end_dead_attempts() -> dict[str, int]:
        from tidewatch.orchestration import backup_tasks

        return backup_tasks.end_dead_attempts()

    @task
    def list_regions() -> list[str]:
        from tidewatch.orchestration import backup_tasks

        return backup_tasks.list_regions()

    # One region after the other: each asks for the locks of the sources for a moment.
    @task(map_index_template="{{ region }}", max_active_tis_per_dagrun=1)
    def remove(region: str) -> dict[str, str]:
        from tidewatch.orchestration import backup_tasks

        return backup_tasks.remove_orphans(region)

    @task
    def tell() -> dict[str, int]:
        from tidewatch.orchestration import notice_tasks

        return notice_tasks.deliver()

    regions = list_regions()
    end_dead_attempts() >> regions
    # A teardown runs whatever happened before it and has no say in whether the run succeeded.
    remove.expand(region=regions) >> tell().as_teardown()


remove_orphans()
