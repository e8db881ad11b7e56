"""
**Why.** A brand's accounts, complaints and media must survive the loss of a database, of a
building, of a provider. Each source is backed up, encrypted, copied to every region, read back from
each, judged, recorded.

**When.** Daily at 02:00 Asia/Shanghai. Each source is on its own: one that fails leaves the others
finished.

**Reads.** `config/sources.yaml` and `config/regions.yaml`; the sources through their connections,
in one snapshot each.

**Writes.** Objects and a signed manifest per source in every region (write-once, locked); the
catalogue (schema `vault`), the ledger (schema `evidence`), gate results (schema `quality`).
Publishes the asset `backup.<source>`.

**Gate.** `config/gates/backup.yaml`: every expected table present, row counts within the source's
band of its last backups, digests complete, sizes plausible, snapshot fresh. A refused backup is
*suspect*: kept and locked, not counted as good, and a person decides (`tidewatch backup
accept|reject`).

**If it fails.** *Wake someone* when the notice says "act now": a source with no good backup today,
or a suspect one. A *degraded* backup (a region was down) can wait: `heal_copies` completes it
within the hour. The failed task's last log line says what was expected, what was found and what to
do. Clearing a failed task is safe: a half backup is never visible and nothing is overwritten.
"""

from airflow.sdk import CronDataIntervalTimetable, dag, task, task_group
from pendulum import datetime

from tidewatch.orchestration.assets import BACKUPS
from tidewatch.orchestration.policy import DEFAULT_ARGS, TIMEZONE


@dag(
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone=TIMEZONE),
    start_date=datetime(2026, 1, 1, tz=TIMEZONE),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["backup"],
    doc_md=__doc__,
)
def back_up_sources() -> None:
    @task
    def plan() -> list[str]:
        from tidewatch.orchestration import backup_tasks

        return backup_tasks.plan()

    @task(map_index_template="{{ source }}")
    def stage(source: str) -> str:
        from tidewatch.orchestration import backup_tasks

        return backup_tasks.stage(source)

    @task(map_index_template="{{ source }}")
    def gate(backup_id: str) -> str:
        from tidewatch.orchestration import backup_tasks

        return backup_tasks.gate(backup_id)

    @task(outlets=[BACKUPS], map_index_template="{{ source }}")
    def publish(backup_id: str) -> dict[str, str]:
        from tidewatch.orchestration import backup_tasks

        return backup_tasks.publish(backup_id)

    @task
    def tell() -> dict[str, int]:
        from tidewatch.orchestration import notice_tasks

        return notice_tasks.deliver()

    @task_group
    def back_up(source: str) -> None:
        publish(gate(stage(source)))

    # A teardown runs whatever happened before it and has no say in whether the run succeeded.
    back_up.expand(source=plan()) >> tell().as_teardown()


back_up_sources()
