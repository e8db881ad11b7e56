"""
**Why.** Whoever administers the database could rewrite the ledger, or cut off its end, and nothing in
the database would show it. A signed head in every region, under lock, shows it.

**When.** Daily at 06:00 Asia/Shanghai, when the backups of the night and their checks are recorded.

**Reads.** The head of the ledger; the signing key.

**Writes.** One small object under `<prefix>/anchors/` in each region, once, locked and read back; the
ledger (`ledger.anchored`); a finding (`ledger.not_anchored`) for a region that does not have it, closed
by the next anchor that lies there.

**Gate.** The anchor is read back from each region, with its lock, and its signature is checked.

**If it fails.** *Nobody needs to be woken*: the other regions have the head, and manifests carry heads
too. The task is tried again by itself; tomorrow's head pins everything before it. If a region fails for
days, see `tidewatch findings list` and look after that region.
"""

from airflow.sdk import CronDataIntervalTimetable, dag, task
from pendulum import datetime

from tidewatch.orchestration.policy import DEFAULT_ARGS, TIMEZONE


@dag(
    schedule=CronDataIntervalTimetable("0 6 * * *", timezone=TIMEZONE),
    start_date=datetime(2026, 1, 1, tz=TIMEZONE),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["evidence"],
    doc_md=__doc__,
)
def anchor_ledger() -> None:
    @task
    def anchor() -> dict[str, int]:
        from tidewatch.orchestration import evidence_tasks

        return evidence_tasks.anchor_ledger()

    @task
    def tell() -> dict[str, int]:
        from tidewatch.orchestration import notice_tasks

        return notice_tasks.deliver()

    # A teardown runs whatever happened before it and has no say in whether the run succeeded.
    anchor() >> tell().as_teardown()


anchor_ledger()
