"""
**Why.** Compliance staff and auditors want a month on paper: which backups were made and verified where,
which days have none, what was restored for real, what was found and closed, and how to check all of it
without trusting us.

**When.** On the 2nd of each month at 08:00 Asia/Shanghai, about the month before. Trigger it with the
parameter `month` for any other; the same facts give the same report.

**Reads.** The catalogue, restore tests, gates, findings, holds and the ledger (schemas `vault`, `restore`,
`quality`, `evidence`); `config/report.yaml`, `config/controls.yaml`, sources and regions.

**Writes.** `<home>/reports/compliance/<month>/v<n>/`: HTML and PDF in Chinese and English, JSON, CSV; where
`copy_to_regions` is set the same, once and locked, into every region. Findings for days without a backup
(`backup.missing`), sources never tried and regions never restored from; the ledger (`report.made`); a
notice.

**Gate.** None: a report that shows gaps is the one that is needed. It follows a typed document
(docs/schemas/compliance-report-1.json); a version that was recorded is never written again.

**If it fails.** *Nobody needs to be woken*: nothing is lost, the facts stay where they are. Correct what the
message says and clear the task, or run `tidewatch report compliance --month`.
"""

from airflow.sdk import CronDataIntervalTimetable, Param, dag, task
from pendulum import datetime

from tidewatch.orchestration.policy import DEFAULT_ARGS, TIMEZONE


@dag(
    schedule=CronDataIntervalTimetable("0 8 2 * *", timezone=TIMEZONE),
    start_date=datetime(2026, 1, 1, tz=TIMEZONE),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["evidence"],
    doc_md=__doc__,
    params={
        "month": Param(
            None,
            type=["null", "string"],
            pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$",
            title="Month",
            description="yyyy-mm; empty: the month before.",
        )
    },
)
def report_compliance() -> None:
    @task
    def make() -> dict[str, int]:
        from tidewatch.orchestration import report_tasks

        return report_tasks.make_report()

    @task
    def tell() -> dict[str, int]:
        from tidewatch.orchestration import notice_tasks

        return notice_tasks.deliver()

    # A teardown runs whatever happened before it and has no say in whether the run succeeded.
    make() >> tell().as_teardown()


report_compliance()
