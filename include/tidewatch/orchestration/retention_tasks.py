"""What the tasks of `expire_backups` call. Everything returned goes to XCom: names and counts, never data.

A run that a person starts only shows what it would do, unless the person asks for more.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from airflow.sdk import Context, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from tidewatch.backup.context import BackupContext, build_context
from tidewatch.backup.retention import expire as expiring
from tidewatch.backup.retention import remove as removing
from tidewatch.backup.retention.protect import protect
from tidewatch.core.clock import utc_now
from tidewatch.core.errors import Busy, RegionUnavailable
from tidewatch.core.redaction import install_log_redaction
from tidewatch.core.settings import load_settings
from tidewatch.orchestration.connections import from_airflow
from tidewatch.orchestration.dag_runs import run_of

log = logging.getLogger(__name__)


def protect_held() -> dict[str, Any]:
    """Have every region protect what legal holds cover. Raises RegionUnavailable, after all were asked, when
    one did not."""
    if not _for_real(get_current_context()):
        raise AirflowSkipException("A run that only shows asks no region to protect anything.")
    answers = protect(_context())
    for each in answers:
        log.info("%s: %s", each.region, each.as_dict())
    _require_done("protect everything that is held", {a.region: a.problem for a in answers if a.problem})
    return {a.region: a.objects for a in answers}


def list_sources() -> list[str]:
    """Sources that have backups."""
    context = _context()
    if context.retention is None:
        raise AirflowSkipException("There is no config/retention.yaml: nothing is removed.")
    return expiring.sources_of(context)


def expire(source: str) -> dict[str, Any]:
    """Extend the locks of what is kept, and mark what is not. A source that is being backed up has its turn
    tomorrow. Raises RegionUnavailable, at the end, when locks could not be extended."""
    airflow = get_current_context()
    airflow["source"] = source  # type: ignore[typeddict-unknown-key]
    context = _context()
    decisions = expiring.preview(context, source)
    for decision in decisions:
        word = "kept" if decision.keep else "to remove"
        log.info("%s: %s: %s", decision.backup.backup_id, word, "; ".join(decision.reasons))
    if not _for_real(airflow):
        going = sum(not d.keep for d in decisions)
        log.info(
            "%s: %s would be removed, %s kept. Nothing was changed.", source, going, len(decisions) - going
        )
        return {"source": source, "would_expire": going, "kept": len(decisions) - going}
    locks = expiring.extend_locks(context, source)
    try:
        marked = expiring.mark(context, source, run_of(airflow))
    except Busy as busy:
        raise AirflowSkipException(str(busy)) from busy
    _require_done(f"extend the locks of {source}", locks.problems)
    return {**marked.as_dict(), "locks": locks.locks}


def sum_up(expired: Iterable[dict[str, Any] | None]) -> dict[str, int]:
    """Over all sources."""
    counts = {"expired": 0, "would_expire": 0, "kept": 0, "left": 0}
    for each in expired:
        for name in counts:
            counts[name] += (each or {}).get(name, 0)
    log.info("%s", counts)
    return counts


def list_regions() -> list[str]:
    """The regions to remove from; none in a run that only shows."""
    if not _for_real(get_current_context()):
        return []
    context = _context()
    return [] if context.retention is None else [region.name for region in context.regions]


def remove(region: str) -> dict[str, Any]:
    """Remove what can be removed of expired backups from one region."""
    airflow = get_current_context()
    airflow["region"] = region  # type: ignore[typeddict-unknown-key]
    context = _context()
    try:
        return removing.remove(context, context.region(region), run_of(airflow)).as_dict()
    except Busy as busy:  # somebody does it by hand
        raise AirflowSkipException(str(busy)) from busy


def _require_done(what: str, problems: Mapping[str, str]) -> None:
    """What a region did not do is told by a task that fails: locks run out."""
    if problems:
        raise RegionUnavailable(
            f"Some regions did not {what}",
            expected="every region that does its part",
            found="; ".join(f"{region}: {problem}" for region, problem in problems.items()),
            do="it is tried again daily; after a few days look with `tidewatch region probe`",
        )


def _for_real(airflow: Context) -> bool:
    kind = getattr(airflow["dag_run"].run_type, "value", airflow["dag_run"].run_type)
    return kind == "scheduled" or airflow["params"].get("really_remove") is True


def _context() -> BackupContext:
    install_log_redaction()
    return build_context(load_settings(), from_airflow, clock=utc_now, progress=log.info)
