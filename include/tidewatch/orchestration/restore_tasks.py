"""What the tasks of restore_backup call: they bring the form, Airflow's run and connections to
`tidewatch.restore`. What is returned goes to XCom: names and counts, never data.
"""

import logging
from datetime import datetime
from typing import Any

from airflow.sdk import Context, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from tidewatch.core.clock import require_utc, utc_now
from tidewatch.core.errors import ConfigError
from tidewatch.core.redaction import install_log_redaction
from tidewatch.core.settings import load_settings
from tidewatch.evidence.schemas import Run
from tidewatch.orchestration.connections import from_airflow
from tidewatch.restore import run as restoring
from tidewatch.restore.context import RestoreContext, build_context
from tidewatch.restore.plan import describe

log = logging.getLogger(__name__)


def plan() -> dict[str, object]:
    """Check everything that can be known before a byte is fetched, and show it in the log."""
    airflow = get_current_context()
    made = restoring.make_plan(_context(), _request(airflow))
    for what, value in describe(made):
        log.info("%s: %s", what, value)
    return {**made.as_dict(), "snapshot_at": made.chosen.manifest.snapshot_at.isoformat()}


def restore() -> dict[str, object]:
    """Restore, unless it is a dry run."""
    airflow = get_current_context()
    request = _request(airflow)
    if request.dry_run:
        raise AirflowSkipException("A dry run: nothing was restored. The log of `plan` says what would be.")
    context = _context()
    run = Run(dag_id=airflow["dag"].dag_id, run_id=airflow["run_id"], try_number=airflow["ti"].try_number)
    done = restoring.restore(context, restoring.make_plan(context, request), run=run)
    for remark in done.remarks:
        log.warning("%s", remark)
    return done.as_dict()


def _request(airflow: Context) -> restoring.Request:
    """The form. An empty field is one that was not filled in."""
    given: dict[str, Any] = dict(airflow["params"])
    return restoring.Request(
        source=given["source"],
        to=given["to"],
        backup_id=given["backup"] or None,
        at=_time(given["at"]) if given["at"] else None,
        region=given["region"] or None,
        tables=tuple(given["tables"] or ()),
        paths=tuple(given["paths"] or ()),
        confirm=given["confirm"] or None,
        dry_run=given["dry_run"],
        by=getattr(airflow["dag_run"], "triggering_user_name", None),
    )


def _time(text: str) -> datetime:
    try:
        return require_utc(datetime.fromisoformat(text))
    except ValueError:
        raise ConfigError(
            "The parameter `at` is not a point in time",
            expected="a time with its zone, such as 2026-11-22T16:00:00Z",
            found=text[:40],
            do="correct it and trigger the Dag again",
        ) from None


def _context() -> RestoreContext:
    install_log_redaction()
    return build_context(load_settings(), from_airflow, clock=utc_now, progress=log.info)
