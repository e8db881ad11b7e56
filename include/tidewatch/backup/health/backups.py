"""Are there backups, young enough, and is none left lying? Judged from the catalogue's facts alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidewatch.backup.health.check import Check, ok, problem, span, warning
from tidewatch.backup.health.limits import Limits
from tidewatch.core.sources import FilesSource, PostgresSource

Source = PostgresSource | FilesSource


@dataclass(frozen=True)
class History:
    """What the catalogue says of one source. Times of `good` and `degraded` are those of the snapshots."""

    source: str
    begun: datetime
    """When its newest attempt began, however it ended."""
    good: datetime | None
    """Sealed or accepted."""
    degraded: datetime | None
    status: str
    """Of the newest attempt."""
    error: str | None
    kept: int
    """Backups that hold something."""


@dataclass(frozen=True)
class Open:
    """A backup that is not in its final state."""

    backup_id: str
    status: str
    started_at: datetime


def check_sources(
    sources: Sequence[Source], history: Mapping[str, History], now: datetime
) -> Iterable[Check]:
    """The newest sealed backup of each source is younger than its `max_age_hours`."""
    for source in sources:
        yield _source(source, history.get(source.name), now)


def _source(source: Source, seen: History | None, now: datetime) -> Check:
    name, limit = source.name, timedelta(hours=source.max_age_hours)
    run = "trigger back_up_sources; if nothing starts, see the check `scheduler`"
    if seen is None:
        return problem("backup", name, "it was never backed up", run)
    last = f"the last attempt, {span(now - seen.begun)} ago, is {seen.status}"
    if seen.error:
        last += f": {_short(seen.error)}"
    if seen.good is not None and now - seen.good <= limit:
        return ok("backup", name, f"sealed, snapshot {span(now - seen.good)} ago")
    found = (
        f"no sealed backup; {last}"
        if seen.good is None
        else f"the newest sealed backup is of {span(now - seen.good)} ago, allowed are {span(limit)}; {last}"
    )
    if seen.degraded is not None and now - seen.degraded <= limit:
        return warning(
            "backup",
            name,
            f"the newest backup lacks copies (snapshot {span(now - seen.degraded)} ago); {found}",
            "heal_copies completes it within the hour once its region answers; see the check `region`",
        )
    return problem("backup", name, found, f"`tidewatch backup list --source {name}`, then {run}")


def check_scheduler(
    sources: Sequence[Source], history: Mapping[str, History], now: datetime
) -> Iterable[Check]:
    """Some backup was begun in the time in which each must have a new one. Asked of our own catalogue: the
    scheduler that does not run cannot be asked, and its own tables say nothing about what it did not do."""
    limit = timedelta(hours=min(s.max_age_hours for s in sources))
    begun = max((history[s.name].begun for s in sources if s.name in history), default=None)
    do = (
        "check that Airflow's scheduler and a worker run, and that back_up_sources is not paused; meanwhile "
        "trigger it by hand"
    )
    if begun is None:
        yield problem("scheduler", "", "no backup was ever begun", do)
    elif now - begun > limit:
        found = f"no backup was begun for {span(now - begun)}, due is one every {span(limit)}"
        yield problem("scheduler", "", found, do)
    else:
        yield ok("scheduler", "", f"a backup was begun {span(now - begun)} ago")


def check_unconfigured(
    sources: Sequence[Source], history: Mapping[str, History], limits: Limits
) -> Iterable[Check]:
    """A source that has backups and is no longer in config/sources.yaml may have been lost by a slip."""
    known = {s.name for s in sources} | set(limits.retired_sources)
    for name in sorted(n for n, h in history.items() if n not in known and h.kept):
        yield warning(
            "unconfigured",
            name,
            f"has {history[name].kept} backups and is not in config/sources.yaml",
            "put it back, or name it under `retired_sources` in config/doctor.yaml",
        )


def check_open(rows: Sequence[Open], limits: Limits, now: datetime) -> Iterable[Check]:
    """No backup lacks copies, waits for a decision or is unfinished longer than allowed."""
    yield from _left(
        "degraded",
        [r for r in rows if r.status == "degraded"],
        limits.degraded_hours,
        now,
        "lacks copies",
        "heal_copies does not complete it: see the check `region`, and the task's log",
    )
    yield from _left(
        "suspect",
        [r for r in rows if r.status == "suspect"],
        limits.suspect_hours,
        now,
        "waits for a decision",
        "`tidewatch backup show BACKUP`, then `tidewatch backup accept` or `reject`",
    )
    yield from _left(
        "unfinished",
        [r for r in rows if r.status in ("staging", "staged")],
        limits.unfinished_hours,
        now,
        "is unfinished",
        "if no task works on it any more, clear the failed tasks of its run, or run back_up_sources again",
    )


def _left(
    name: str, rows: Sequence[Open], hours: float, now: datetime, what: str, do: str
) -> Iterable[Check]:
    old = [r for r in rows if now - r.started_at > timedelta(hours=hours)]
    for row in old:
        found = f"{what} for {span(now - row.started_at)}, allowed are {span(timedelta(hours=hours))}"
        yield problem(name, row.backup_id, found, do.replace("BACKUP", row.backup_id))
    if not old:
        yield ok(name, "", f"{len(rows)} for now, none too long" if rows else "none")


def _short(text: str) -> str:
    return text if len(text) <= 300 else text[:299] + "…"
