"""What the tasks of test_restores call: they bring Airflow's run, form, answers and connections to
`tidewatch.restore`. What is returned goes to XCom: names and counts, never data.
"""

import logging
from collections.abc import Mapping
from typing import Any

from airflow.sdk import Context, get_current_context

from tidewatch.core.clock import utc_now
from tidewatch.core.errors import GateFailed
from tidewatch.core.redaction import install_log_redaction
from tidewatch.core.settings import load_settings
from tidewatch.orchestration import notice_tasks
from tidewatch.orchestration.connections import from_airflow
from tidewatch.orchestration.dag_runs import run_of, started_by
from tidewatch.orchestration.sign_off import SignOffOperator
from tidewatch.restore import drill, report, signoff
from tidewatch.restore import gate as gates
from tidewatch.restore.context import RestoreContext, build_context
from tidewatch.restore.drill import Selection
from tidewatch.restore.results import Planned
from tidewatch.restore.signoff import SignOffRefused
from tidewatch.restore.targets import load_targets

log = logging.getLogger(__name__)


def plan() -> list[dict[str, str]]:
    """Which backup to restore from which region."""
    airflow, context = get_current_context(), _context()
    older = airflow["params"]["older"]
    if older is None:
        older = load_targets(context.settings).older
    planned = drill.plan(context, airflow["run_id"], _selection(airflow), older=older)
    return [{k: str(v) for k, v in vars(p).items()} for p in planned]


def test(planned: Mapping[str, Any]) -> dict[str, Any]:
    """Make one test; red when it did not pass, and told before this task ends."""
    airflow, context = get_current_context(), _context()
    one = Planned(**planned)
    airflow["test"] = one.label  # type: ignore[typeddict-unknown-key]
    passed = False
    try:
        outcome = drill.run_test(context, one, run_of(airflow), load_targets(context.settings))
        outcome.raise_if_failed()
        passed = True
    finally:
        if not passed:
            notice_tasks.deliver_now()
    return {"test_id": outcome.test_id, "status": outcome.status, "rto_seconds": outcome.rto_seconds}


def gate() -> None:
    """Judge the whole run; raises GateFailed."""
    airflow = get_current_context()
    gates.judge_run(_context(), run_of(airflow), _selection(airflow)).raise_if_failed()


def make_report() -> dict[str, Any]:
    """Make the report that a person is asked to sign, and tell that it waits."""
    airflow = get_current_context()
    made = report.make_report(
        _context(), run_of(airflow), _selection(airflow), started_by=started_by(airflow)
    )
    notice_tasks.deliver_now()
    return {
        "run_id": made.run_id,
        "passed": made.passed,
        "tests": made.tests,
        "failed": made.failed,
        "sha256": made.sha256,
    }


def record(made: Mapping[str, Any], answer: Mapping[str, Any] | None) -> dict[str, Any]:
    """Record what the person said. Red when nobody signed, when it was refused, or when a test failed: a
    signature says that somebody knows, not that all is well."""
    context = _context()
    given = _record(context, made, *_answer(answer))
    if given.decision != "signed" or not made["passed"]:
        raise GateFailed(
            f"The restore tests of {made['run_id']} ended without approval",
            expected="every test passed, and the report signed by a person",
            found=f"{made['failed']} of {made['tests']} attempts did not pass; it is {given.decision}",
            do=f"`tidewatch restores show {made['run_id']}`; an unsigned report can be signed late with "
            f"`tidewatch restores sign {made['run_id']}`, a failed test is repaired by a new run",
        )
    return {"decision": given.decision, "ledger_seq": given.ledger_seq}


def _record(
    context: RestoreContext,
    made: Mapping[str, Any],
    decision: signoff.Decision,
    by: str | None,
    note: str,
    via: signoff.Via,
) -> signoff.SignOff:
    run_id, now = str(made["run_id"]), context.now()
    try:
        return signoff.sign(
            context,
            run_id,
            decision=decision,
            by=by,
            note=note,
            via=via,
            now=now,
            report_sha256=made["sha256"] if decision != "unsigned" else None,
        )
    except SignOffRefused as refused:
        why = f"{by} could not sign: {refused.what}"
        signoff.sign(context, run_id, decision="unsigned", by=None, note=why, via="airflow", now=now)
        raise


def _answer(answer: Mapping[str, Any] | None) -> tuple[signoff.Decision, str | None, str, signoff.Via]:
    """Decision, name, note and way of what the operator gave. Without a name nothing is signed."""
    given = SignOffOperator.answer(answer)
    if given.said == "yes":
        return "signed", given.by, given.note, "airflow"
    if given.said == "no":
        return "refused", given.by, given.note or "no reason was given", "airflow"
    if given.by:
        return "unsigned", None, f"left unsigned by {given.by}. {given.note}".strip(), "airflow"
    return "unsigned", None, given.note, "timeout"


def _selection(airflow: Context) -> Selection:
    given = airflow["params"]
    return Selection(tuple(given["sources"] or ()), tuple(given["regions"] or ()))


def _context() -> RestoreContext:
    install_log_redaction()
    return build_context(load_settings(), from_airflow, clock=utc_now, progress=log.info)
