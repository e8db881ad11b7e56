"""What the tasks of retrain_model and rollback_model call: they bring Airflow's run, form, answers and
connections to `tidewatch.sentiment`. What is returned goes to XCom: names and counts, never data.
"""

import contextlib
import logging
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode

from airflow.sdk import get_current_context
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowSkipException

from tidewatch.core.clock import utc_now
from tidewatch.core.database import connect
from tidewatch.core.errors import Busy, GateFailed, NotFound
from tidewatch.core.plain import shows
from tidewatch.core.redaction import install_log_redaction
from tidewatch.core.settings import load_settings
from tidewatch.orchestration import notice_tasks
from tidewatch.orchestration.assets import CHAMPION
from tidewatch.orchestration.connections import from_airflow
from tidewatch.orchestration.dag_runs import run_of, started_by
from tidewatch.orchestration.question import question
from tidewatch.orchestration.sign_off import PromotionOperator
from tidewatch.sentiment import registry
from tidewatch.sentiment.retraining import run as retraining
from tidewatch.sentiment.retraining import runs
from tidewatch.sentiment.retraining.decide import Answer, decide
from tidewatch.sentiment.retraining.run import RetrainContext

log = logging.getLogger(__name__)

_DECISIONS: dict[str, Answer] = {"yes": "approved", "no": "rejected", "nothing": "unanswered"}


def freeze() -> dict[str, Any]:
    """Enter the run, or go on with it, and fix its labels. Raises Busy while another one is open."""
    airflow, context = get_current_context(), _context()
    ref = run_of(airflow)
    retraining.begin(context, ref, started_by(airflow))
    return retraining.freeze(context, ref.run_id)


def gate_data() -> dict[str, Any]:
    """Judge the labels; raises GateFailed. Too few of them are an answer: `state` says so."""
    verdict = retraining.judge_data(_context(), run_of(get_current_context()))
    _warn(verdict.warnings)
    verdict.raise_if_failed()
    return {"state": verdict.state, "missing": verdict.missing, "warnings": len(verdict.warnings)}


def train(judged: Mapping[str, Any]) -> dict[str, Any]:
    """Search, train and register the challenger; skipped when there are not enough labels."""
    ref = run_of(get_current_context())
    if judged["state"] == "not_enough":
        raise AirflowSkipException(
            f"Not enough labels: `tidewatch models retrainings {ref.run_id}` says how many are missing"
        )
    return retraining.train(_context(), ref)


def measure() -> dict[str, Any]:
    """Champion and challenger on the same held-out posts."""
    return retraining.measure(_context(), run_of(get_current_context()))


def gate_model() -> dict[str, Any]:
    """Judge the challenger; raises GateFailed. What it returns is what a person is asked."""
    context, ref = _context(), run_of(get_current_context())
    verdict = retraining.judge_model(context, ref)
    _warn(verdict.warnings)
    verdict.raise_if_failed()
    with contextlib.closing(context.connect()) as conn:
        facts = retraining.summary(conn, ref.run_id)
    notice_tasks.deliver_now()
    return {"challenger": facts["challenger"], "question": question(facts, _page(ref.run_id))}


def promote(answer: Mapping[str, Any] | None) -> dict[str, Any]:
    """Do what the person said. Approved, the asset has an event; skipped when it is rejected, red when nobody
    answered."""
    airflow, context, given = get_current_context(), _context(), PromotionOperator.answer(answer)
    run_id, decision = airflow["run_id"], _DECISIONS[given.said]
    # An answer in Airflow stands: a note that nobody can read must not make the task red for ever.
    note = given.note if shows(given.note) else ""
    with context.connect() as conn:
        run = runs.get(conn, run_id)
        if (decision, run.state) == ("approved", "promoted"):
            decision = "unanswered"  # it was approved elsewhere meanwhile: there is nothing to add
        made = decide(
            conn,
            run_id,
            decision=decision,
            by=None if decision == "unanswered" else given.by,
            note=note or ("no reason was given" if decision == "rejected" else ""),
            via="airflow",
            now=context.now(),
        )
        champion = registry.champion(conn)
    if made.state == "rejected":
        raise AirflowSkipException(f"Version {run.challenger} was rejected; the champion stays")
    if made.state == "unanswered" or champion is None:
        raise _unanswered(run_id, run.challenger)
    return _told(champion, "promoted", run.champion)


def roll_back() -> dict[str, Any]:
    """Bring the former champion back, instead of the version that the form names. Done once in a run, however
    often its task is tried."""
    install_log_redaction()
    airflow = get_current_context()
    ref, form = run_of(airflow), airflow["params"]
    mark = f"[{ref.dag_id} {ref.run_id}]"
    # Without the settings of retraining: a mistake there must not stand in the way.
    dsn = from_airflow(load_settings().warehouse_connection).postgres_dsn()
    with connect(dsn, application_name="tidewatch rollback") as conn:
        now = registry.champion(conn)
        if now is None or not now.why.endswith(mark):
            now = registry.rollback(
                conn,
                by=started_by(airflow) or f"run {ref.run_id}"[:200],
                why=f"{form['reason']} {mark}",
                now=utc_now(),
                instead_of=form["confirm"],
            )
    return _told(now, "rolled_back", form["confirm"])


def tell() -> dict[str, int]:
    """End in words a run that a task left open, then send the notices."""
    _end(get_current_context()["run_id"])
    return notice_tasks.deliver()


def _end(run_id: str) -> None:
    """What ended without a word of its own, killed or by a defect, must not stand in the way of the next run.
    The task can be cleared all the same: the run is then open again."""
    context = _context()
    with contextlib.closing(context.connect()) as conn, contextlib.suppress(NotFound, Busy):
        if runs.get(conn, run_id).state == "running":
            with runs.working(conn, run_id):
                runs.stop(
                    conn, run_id, "failed", "a task broke off; its log in Airflow says why", now=context.now()
                )
                conn.commit()


def _told(
    champion: registry.Champion, act: Literal["promoted", "rolled_back"], instead_of: int | None
) -> dict[str, Any]:
    """Tell the Dags that follow the champion; the same as JSON."""
    told: dict[str, Any] = {
        "act": act,
        "version": champion.version,
        "instead_of": instead_of,
        "model_sha256": champion.model_sha256,
        "ledger_seq": champion.ledger_seq,
    }
    get_current_context()["outlet_events"][CHAMPION].extra = told
    return told


def _unanswered(run_id: str, challenger: int | None) -> GateFailed:
    return GateFailed(
        f"Nobody approved version {challenger} of the sentiment model in time",
        expected="the answer of a person",
        found="none; the champion stays",
        do=f"to have it all the same: `tidewatch models approve {run_id}`, then clear this task",
    )


def _warn(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        log.warning("%s", warning)


def _page(run_id: str) -> str:
    """The console's page of a run, inside Airflow."""
    base = str(conf.get("api", "base_url", fallback="/")).rstrip("/")
    return f"{base}/tidewatch/model/retraining?{urlencode({'run': run_id})}"


def _context() -> RetrainContext:
    install_log_redaction()
    return retraining.build_context(load_settings(), from_airflow, clock=utc_now, progress=log.info)
