"""
**Why.** A backup that was never restored is a hope. Every month each source is restored for real from
each region, compared with what was backed up, timed against its targets, and a person signs the
report.

**When.** The first day of each month at 05:00 Asia/Shanghai, after the night's backup. By hand at any
time: *Trigger*, and name sources or regions to test fewer.

**Reads.** The catalogue (which backups there are), the regions (manifests, objects), the private key
that `TIDEWATCH_IDENTITY_FILE` names, `config/restore_tests.yaml`.

**Writes.** Scratch servers and directories that are removed afterwards. `restore.tests`,
`restore.reports`, `restore.signoffs`; findings; the ledger (`restore.tested`, `restore.reported`,
`restore.signed`), whose head is anchored in every region at the sign-off.

**Gate.** `config/gates/restore.yaml`: every source restored from every region, every copy equal to its
backup (definitions, rows, sequences, large objects, grants, constraints, indexes, recorded answers;
files: paths, sizes, hashes, modes), RTO and RPO within the source's targets.

**If it fails.** *Wake someone* when a test is red and the notice says "act now": a backup that is relied
on may not be there. `tidewatch restores show TEST` names the first difference and where to look. Clear
the red test once the cause is repaired: that is a new attempt, the failed one stays in the report. A
run that nobody signs ends red too; it can be signed late (`tidewatch restores sign RUN`).
"""

from airflow.sdk import CronDataIntervalTimetable, Param, TriggerRule, dag, task
from pendulum import datetime

from tidewatch.orchestration.policy import DEFAULT_ARGS, TIMEZONE
from tidewatch.orchestration.sign_off import FORM, SignOffOperator

NAMES = {"type": "array", "items": {"type": "string"}}
PARAMS = {
    "sources": Param([], **NAMES, description="Only these sources, one a line; empty: all."),
    "regions": Param([], **NAMES, description="Only from these regions, one a line; empty: all."),
    "older": Param(
        None,
        type=["null", "boolean"],
        description="Whether an older backup is tested too; empty: as config/restore_tests.yaml says.",
    ),
}
SUBJECT = "恢复测试报告待签署 · Sign the report of the restore tests {{ run_id }}"
BODY = (
    "{% set r = ti.xcom_pull(task_ids='report') %}"
    "**{{ '全部通过 · passed' if r.passed else '未通过 · NOT PASSED' }}**: "
    "{{ r.tests }} 次测试 · attempts, {{ r.failed }} 次未通过 · not passed.\n\n"
    "SHA-256: `{{ r.sha256 }}`\n\n`tidewatch restores show {{ r.run_id }}`"
)


@dag(
    schedule=CronDataIntervalTimetable("0 5 1 * *", timezone=TIMEZONE),
    start_date=datetime(2026, 1, 1, tz=TIMEZONE),
    catchup=False,
    # A run that waits for a person must not keep the next one from being made.
    max_active_runs=8,
    params=PARAMS,
    default_args=DEFAULT_ARGS,
    tags=["restore", "evidence"],
    doc_md=__doc__,
)
def test_restores() -> None:
    @task
    def plan() -> list[dict[str, str]]:
        from tidewatch.orchestration import drill_tasks

        return drill_tasks.plan()

    # Two at once: each has a server, a copy of the data and two sessions that load it.
    @task(map_index_template="{{ test }}", max_active_tis_per_dag=2)
    def test(planned: dict[str, str]) -> dict[str, object]:
        from tidewatch.orchestration import drill_tasks

        return drill_tasks.test(planned)

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def gate() -> None:
        from tidewatch.orchestration import drill_tasks

        drill_tasks.gate()

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def report() -> dict[str, object]:
        from tidewatch.orchestration import drill_tasks

        return drill_tasks.make_report()

    @task
    def record(made: dict[str, object], answer: dict[str, object]) -> dict[str, object]:
        from tidewatch.orchestration import drill_tasks

        return drill_tasks.record(made, answer)

    @task
    def tell() -> dict[str, int]:
        from tidewatch.orchestration import notice_tasks

        return notice_tasks.deliver()

    made = report()
    sign_off = SignOffOperator(task_id="sign_off", subject=SUBJECT, body=BODY, params=FORM)
    test.expand(planned=plan()) >> gate() >> made >> sign_off
    # A teardown runs whatever happened before it and has no say in whether the run succeeded.
    record(made, sign_off.output) >> tell().as_teardown()


test_restores()
