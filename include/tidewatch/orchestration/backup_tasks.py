"""What the tasks of the backup Dags call: they bring Airflow's run and connections to `tidewatch.backup`.

Everything returned goes to XCom: names and counts, never data.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from airflow.sdk import Context, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from tidewatch.backup import heal as healing
from tidewatch.backup import messages
from tidewatch.backup import probe as probing
from tidewatch.backup import run as backup
from tidewatch.backup import sweep as sweeping
from tidewatch.backup.announce import announce
from tidewatch.backup.context import BackupContext, build_context
from tidewatch.backup.lock import NotOurTurn, other_run_at_work
from tidewatch.core.clock import utc_now
from tidewatch.core.database import Connection, connect
from tidewatch.core.errors import Busy, RegionMisconfigured, TidewatchError
from tidewatch.core.redaction import install_log_redaction
from tidewatch.core.settings import load_settings
from tidewatch.notices.notice import Notice
from tidewatch.orchestration.assets import BACKUPS, backup_asset
from tidewatch.orchestration.connections import from_airflow
from tidewatch.vault import catalogue
from tidewatch.vault.layout import source_of

log = logging.getLogger(__name__)
MAX_MAPPED = 500
"""Airflow refuses to map a task over more than 1,024 values, and would start none."""
T = TypeVar("T")


def plan() -> list[str]:
    """The sources to back up. Each is planned again by its own task, so that one source whose plan the
    residency policy forbids does not keep the others from their backup."""
    try:
        return [source.name for source in _context().sources.sources]
    except TidewatchError as error:
        _announce(messages.run_failed(_run_of(get_current_context()), error))
        raise


def stage(source: str) -> str:
    """Read the source and upload it; the backup's id."""
    _call_it(source)
    airflow = get_current_context()
    run, schedule = _run_of(airflow), _schedule(airflow)
    staged = _told(source, lambda: _stage(source, run, schedule))
    log.info("%s is staged: %s", staged.backup_id, staged.as_dict())
    return staged.backup_id


def _stage(source: str, run: backup.RunRef, schedule: str | None) -> backup.Staged:
    """A source that another run reads is left to it: this one ends clean and doubles nothing."""
    context = _context()
    probing.probe_what_is_unknown(context, run=run)
    try:
        return backup.stage(context, source, run, schedule=schedule)
    except Busy as busy:
        if other := other_run_at_work(context, source, run):
            raise AirflowSkipException(f"{busy} Its backup is {other}.") from busy
        raise


def gate(backup_id: str) -> str:
    """Prove the copies and judge; raises GateFailed for a suspect backup."""
    source = source_of(backup_id)
    _call_it(source)
    verdict = _told(source, lambda: backup.judge(_context(), backup_id))
    verdict.raise_if_failed()
    return backup_id


def publish(backup_id: str) -> dict[str, Any]:
    """Write the manifest and the verdict; tell whoever follows the asset `backup.<source>`."""
    source = source_of(backup_id)
    _call_it(source)
    outcome = _told(source, lambda: backup.commit(_context(), backup_id))
    extra: dict[str, Any] = {
        "backup_id": backup_id,
        "verdict": outcome.verdict,
        "rows": outcome.rows,
        "files": outcome.files,
    }
    get_current_context()["outlet_events"][BACKUPS].add(backup_asset(source), extra=extra)
    return outcome.as_dict()


def find_degraded() -> list[str]:
    """Backups that lack a verified copy, the oldest first; of very many the rest waits for the next hour, as
    after a rebuild of the catalogue."""
    with _context().connect() as conn:
        return [row.backup_id for row in catalogue.degraded(conn)][:MAX_MAPPED]


def heal(backup_id: str) -> dict[str, Any]:
    """Complete the copies of one backup."""
    get_current_context()["backup_id"] = backup_id  # type: ignore[typeddict-unknown-key]
    context = _context()
    probing.probe_what_is_unknown(context, run=_run_of(get_current_context()))
    try:
        return asdict(healing.heal(context, backup_id))
    except Busy as busy:  # another healer, or a person deciding: the next hour will do
        raise AirflowSkipException(str(busy)) from busy


def list_regions() -> list[str]:
    """The regions to probe."""
    return [region.name for region in _context().regions]


def probe(region: str) -> dict[str, Any]:
    """Try what the region honours and keep the answers; raises RegionMisconfigured, after recording, when it
    lacks something that a backup needs."""
    airflow = get_current_context()
    airflow["region"] = region  # type: ignore[typeddict-unknown-key]
    context = _context()
    report = probing.probe(context.region(region), context.now())
    probing.record_probe(context, report, _run_of(airflow))
    for answer in report.answers:
        log.info("%s: %s: %s %s", region, answer.question, answer.answer, answer.detail)
    if not report.usable:
        raise RegionMisconfigured(
            f"Region {region} cannot be relied on",
            expected="the right answer to every required question of the probe",
            found="not so for: " + ", ".join(report.lacking),
            do=f"`tidewatch region probe {region}` shows details; docs/regions.md says what a store must do",
        )
    return {"region": region, "usable": report.usable, "questions": len(report.answers)}


def end_dead_attempts() -> dict[str, int]:
    """Give up attempts that nobody works on, and tell of those that somebody should finish."""
    return sweeping.end_dead_attempts(_context())


def remove_orphans(region: str) -> dict[str, Any]:
    """Remove what attempts that can never be completed have left in the region."""
    airflow = get_current_context()
    airflow["region"] = region  # type: ignore[typeddict-unknown-key]
    context = _context()
    try:
        swept = sweeping.remove(context, context.region(region), _run_of(airflow))
    except Busy as busy:  # somebody does it by hand
        raise AirflowSkipException(str(busy)) from busy
    for kept in swept.kept:
        log.warning("%s: %s is kept: %s", region, kept.what, kept.why)
    return swept.as_dict()


def _run_of(airflow: Context) -> backup.RunRef:
    return backup.RunRef(
        dag_id=airflow["dag"].dag_id, run_id=airflow["run_id"], try_number=airflow["ti"].try_number
    )


def _context() -> BackupContext:
    install_log_redaction()
    return build_context(load_settings(), from_airflow, clock=utc_now, progress=log.info)


def _announce(notice: Notice) -> None:
    """Told by the run's last task. Needs the warehouse only: the rest of the configuration may be what is
    wrong."""

    def warehouse() -> Connection:
        dsn = from_airflow(load_settings().warehouse_connection).postgres_dsn()
        return connect(dsn, application_name="tidewatch backup")

    announce(warehouse, notice, utc_now(), log.info)


def _told(source: str, step: Callable[[], T]) -> T:
    """Nobody else does this step for this run: while it is kept out it is tried again, never skipped. When
    Airflow will not try again, somebody is told."""
    try:
        try:
            return step()
        except Busy as busy:
            raise NotOurTurn(
                busy.what,
                expected=busy.expected,
                found=busy.found,
                do="nothing at once, it is tried again; if it fails for good, find the session that holds "
                "the lock (pg_locks, type advisory), then clear this task",
            ) from busy
    except TidewatchError as error:
        airflow = get_current_context()
        if error.retryable and airflow["ti"].try_number > airflow["ti"].max_tries:
            _announce(messages.source_given_up(source, _run_of(airflow), error))
        raise


def _call_it(source: str) -> None:
    # The name of the mapped task instance in Airflow's pages: the source instead of a number.
    get_current_context()["source"] = source  # type: ignore[typeddict-unknown-key]


def _schedule(airflow: Context) -> str:
    interval = airflow.get("data_interval_start"), airflow.get("data_interval_end")
    kind = airflow["dag_run"].run_type
    return f"{getattr(kind, 'value', kind)} {interval[0]} .. {interval[1]}"
