"""
**Why.** Regions are probed, not trusted: a store that ignores conditional writes, accepts a wrong
checksum or lets a locked version be deleted must be known before it matters.

**When.** Daily at 01:00 Asia/Shanghai, an hour before the backup.

**Reads.** Each region's bucket settings and clock.

**Writes.** A few tiny objects under `<prefix>/probes/` in each region; the answers in the catalogue
(schema `vault`) and the ledger.

**Gate.** None: the answers are evidence. What a store does not enforce is verified by reading back,
and a missing requirement (bucket, versioning, object lock) is told as a notice.

**If it fails.** *Nobody needs to be woken at night*: today's backup goes to the other regions and
heals later. In the morning check the region's connection and bucket; the log line names what is
missing.
"""

from airflow.sdk import CronDataIntervalTimetable, dag, task
from pendulum import datetime

from tidewatch.orchestration.policy import DEFAULT_ARGS, TIMEZONE


@dag(
    schedule=CronDataIntervalTimetable("0 1 * * *", timezone=TIMEZONE),
    start_date=datetime(2026, 1, 1, tz=TIMEZONE),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["backup", "evidence"],
    doc_md=__doc__,
)
def probe_regions() -> None:
    @task
    def list_regions() -> list[str]:
        from tidewatch.orchestration import backup_tasks

        return backup_tasks.list_regions()

    @task(map_index_template="{{ region }}")
    def probe(region: str) -> dict[str, str]:
        from tidewatch.orchestration import backup_tasks

        return backup_tasks.probe(region)

    @task
    def tell() -> dict[str, int]:
        from tidewatch.orchestration import notice_tasks

        return notice_tasks.deliver()

    # A teardown runs whatever happened before it and has no say in whether the run succeeded.
    probe.expand(region=list_regions()) >> tell().as_teardown()


probe_regions()
