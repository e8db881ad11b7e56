"""
**Why.** A region that was down during a backup misses its copy. A backup counts only when every
required region holds it, so the copy is made good as soon as the region is back.

**When.** Hourly, at a quarter past.

**Reads.** The catalogue (schema `vault`) for degraded backups; the ciphertext from a region whose
copy is verified.

**Writes.** The missing objects and manifests in the region that lacks them: the same ciphertext
with the same SHA-256, locked and read back. Catalogue and ledger.

**Gate.** Each object's SHA-256 while it is copied, and again when it is read back; the manifest's
signature.

**If it fails.** *Nobody needs to be woken*: the backup still has its verified copies, and the next
hour tries again. If the same region fails all day, check its connection with `tidewatch region
probe`.
"""

from airflow.sdk import CronDataIntervalTimetable, dag, task
from pendulum import datetime

from tidewatch.orchestration.policy import DEFAULT_ARGS, TIMEZONE


@dag(
    schedule=CronDataIntervalTimetable("15 * * * *", timezone=TIMEZONE),
    start_date=datetime(2026, 1, 1, tz=TIMEZONE),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["backup"],
    doc_md=__doc__,
)
def heal_copies() -> None:
    @task
    def find_degraded() -> list[str]:
        from tidewatch.orchestration import backup_tasks

        return backup_tasks.find_degraded()

    @task(map_index_template="{{ backup_id }}")
    def heal(backup_id: str) -> dict[str, str]:
        from tidewatch.orchestration import backup_tasks

        return backup_tasks.heal(backup_id)

    @task
    def tell() -> dict[str, int]:
        from tidewatch.orchestration import notice_tasks

        return notice_tasks.deliver()

    # A teardown runs whatever happened before it and has no say in whether the run succeeded.
    heal.expand(backup_id=find_degraded()) >> tell().as_teardown()


heal_copies()
