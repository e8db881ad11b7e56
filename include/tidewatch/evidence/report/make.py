"""Makes the report of a month: once for the same facts, a new version for others.

The steps, each of which may be killed and done again: open findings for what is missing; read the facts in
one snapshot; render; keep the files under the state directory; record their digests in the ledger. A version
counts from the moment of its record. Copies in the regions follow it.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg import IsolationLevel

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.clock import Clock
from tidewatch.core.config import read_yaml
from tidewatch.core.database import Connection, execute, try_lock
from tidewatch.core.errors import Busy, ConfigError, TidewatchError
from tidewatch.core.progress import Progress, silent
from tidewatch.core.regions import Region, RegionsFile
from tidewatch.core.settings import Settings
from tidewatch.core.sources import SourcesFile
from tidewatch.evidence import ledger
from tidewatch.evidence.report import gaps, html, pdf, store, tables, view
from tidewatch.evidence.report.calendar import MISSING
from tidewatch.evidence.report.config import ControlsFile, ReportFile
from tidewatch.evidence.report.document import Document, Edition
from tidewatch.evidence.report.document import ReportFile as ReportDocument
from tidewatch.evidence.report.facts import Configuration, gather
from tidewatch.evidence.report.period import Period, period_of
from tidewatch.evidence.schemas import FileDigest, ReportMade


@dataclass(frozen=True)
class ReportContext:
    """What making a report needs. `connect` opens a session on the warehouse."""

    settings: Settings
    connect: Callable[[], Connection]
    config: Configuration
    report: ReportFile
    regions: Sequence[Region]
    """Where copies go; empty: nowhere."""
    clock: Clock
    progress: Progress = silent


@dataclass(frozen=True)
class Made:
    """One version of a month's report. `new`: this call made it; `opened`: findings that this call opened."""

    month: str
    number: int
    new: bool
    directory: Path
    files: dict[str, bytes]
    facts: Document
    facts_sha256: str
    opened: int

    @property
    def gaps(self) -> list[gaps.Gap]:
        """What the report shows to be missing, whether found now or before."""
        return gaps.gaps(self.facts)

    @property
    def missing(self) -> int:
        """Days of sources without a backup."""
        return sum(gap.kind == MISSING for gap in self.gaps)

    def as_dict(self) -> dict[str, Any]:
        """Names and counts."""
        return {
            "month": self.month,
            "version": self.number,
            "new": self.new,
            "directory": str(self.directory),
            "files": len(self.files),
            "facts_sha256": self.facts_sha256,
            "backups": len(self.facts.backups),
            "gaps": len(self.gaps),
            "days_without_backup": self.missing,
            "findings_opened": self.opened,
        }


def build_context(
    settings: Settings,
    connect: Callable[[], Connection],
    open_regions: Callable[[RegionsFile], Sequence[Region]],
    *,
    clock: Clock,
    progress: Progress = silent,
) -> ReportContext:
    """Read the configuration. Regions are opened only when copies are to go there. Raises ConfigError."""

    def read(name: str, model: type[Any]) -> Any:
        return read_yaml(settings.config_dir / name, model)

    config = Configuration(
        sources=read("sources.yaml", SourcesFile),
        regions=read("regions.yaml", RegionsFile),
        controls=read("controls.yaml", ControlsFile),
    )
    report = read("report.yaml", ReportFile)
    _check_sections(config.controls, settings)
    regions = open_regions(config.regions) if report.copy_to_regions else []
    return ReportContext(settings, connect, config, report, regions, clock, progress)


def _check_sections(file: ControlsFile, settings: Settings) -> None:
    named = {s for framework in file.frameworks for c in framework.controls for s in c.sections}
    if unknown := sorted(named - set(view.SECTIONS)):
        raise ConfigError(
            f"{settings.config_dir / 'controls.yaml'} names sections that the report does not have",
            expected="sections of " + ", ".join(view.SECTIONS),
            found=", ".join(unknown),
            do="correct the names",
        )


def make(ctx: ReportContext, month: str) -> Made:
    """The newest version of the month's report, made now if the facts are others than before.

    Raises ConfigError for a month of which no day is over, Busy while somebody else makes the same one.
    """
    now = ctx.clock()
    period = period_of(month, ctx.report.timezone, now)
    with _alone(ctx, month):
        opened = _open_gaps(ctx, period, now)
        facts = _facts(ctx, period)
        made = _newest_or_new(ctx, period, facts, now, opened)
    ctx.progress(f"{month}: version {made.number}" + (" made" if made.new else ", as before"))
    return made


def copy_to_regions(ctx: ReportContext, made: Made) -> None:
    """Write the version into every region that is open. A region that fails does not keep the others from
    their copy. Raises the first TidewatchError at the end."""
    with contextlib.closing(ctx.connect()) as conn:
        recorded = next(r for r in _editions(conn, made.month) if r["body"]["version"] == made.number)
    until = recorded["at"] + timedelta(days=ctx.report.reports_lock_days)
    failed: list[TidewatchError] = []
    for region in ctx.regions:
        try:
            store.copy_to(region, made.month, made.number, made.files, until)
            ctx.progress(f"{made.month}: version {made.number} is in {region.name}")
        except TidewatchError as error:
            failed.append(error)
            ctx.progress(f"{made.month}: {error}")
    if failed:
        raise failed[0]


def render(report: ReportDocument) -> dict[str, bytes]:
    """Every file of the report, a pure function of it."""
    files = {"report.json": tables.report_json(report), **tables.csv_files(report.facts)}
    for language in ("zh", "en"):
        page = view.page(report, language)
        files[f"report.{language}.html"] = html.render(page)
        files[f"report.{language}.pdf"] = pdf.render(page, report.facts.period.cut)
    files[store.SUMS] = store.sums(files)
    return files


def _open_gaps(ctx: ReportContext, period: Period, now: datetime) -> int:
    found = gaps.gaps(_facts(ctx, period))
    with contextlib.closing(ctx.connect()) as conn:
        opened = gaps.open_all(conn, found, now)
        conn.commit()
    return opened


def _facts(ctx: ReportContext, period: Period) -> Document:
    with contextlib.closing(ctx.connect()) as conn:
        conn.isolation_level, conn.read_only = IsolationLevel.REPEATABLE_READ, True
        return gather(conn, period, ctx.config)


def _newest_or_new(ctx: ReportContext, period: Period, facts: Document, now: datetime, opened: int) -> Made:
    """The newest version when it has these facts and these bytes: another release of what sets the pages may
    give other bytes, and they are another version."""
    digest = facts.sha256
    with contextlib.closing(ctx.connect()) as conn:
        editions = _editions(conn, period.month)
        newest = editions[0]["body"] if editions else None
        conn.commit()
        if newest and newest["facts_sha256"] == digest:
            files = _render(facts, digest, newest["version"], newest["replaces_facts_sha256"])
            if _digests(files) == newest["files"]:
                place = _keep(ctx, period.month, newest["version"], files, recorded=True)
                return Made(period.month, newest["version"], False, place, files, facts, digest, opened)
        number, before = (newest["version"] + 1, newest["facts_sha256"]) if newest else (1, None)
        files = _render(facts, digest, number, before)
        place = _keep(ctx, period.month, number, files, recorded=False)
        body = ReportMade(
            month=period.month,
            timezone=period.timezone,
            version=number,
            complete=period.complete,
            judged_until=period.judged[-1].isoformat(),
            facts_sha256=digest,
            replaces_facts_sha256=before,
            files=[FileDigest(**f) for f in _digests(files)],
            expected_days=sum(s.expected_days for s in facts.sources),
            covered_days=sum(s.covered_days for s in facts.sources),
        )
        ledger.append(conn, kind=body.KIND, subject=_subject(period.month), body=body, now=now)
        conn.commit()
    return Made(period.month, number, True, place, files, facts, digest, opened)


def _render(facts: Document, digest: str, number: int, replaces: str | None) -> dict[str, bytes]:
    edition = Edition(number=number, replaces_facts_sha256=replaces)
    return render(ReportDocument(edition=edition, facts_sha256=digest, facts=facts))


def _keep(ctx: ReportContext, month: str, number: int, files: dict[str, bytes], *, recorded: bool) -> Path:
    place = store.directory(ctx.settings.home, month, number)
    store.keep(place, files, recorded=recorded)
    return place


def _digests(files: dict[str, bytes]) -> list[dict[str, Any]]:
    return [
        {"name": name, "size": len(data), "sha256": sha256_hex(data)} for name, data in sorted(files.items())
    ]


def _editions(conn: Connection, month: str) -> list[dict[str, Any]]:
    return execute(conn, "evidence/report_editions", {"subject": _subject(month)}).fetchall()


def _subject(month: str) -> str:
    return f"compliance/{month}"


@contextlib.contextmanager
def _alone(ctx: ReportContext, month: str) -> Iterator[None]:
    """Nobody else makes this month's report meanwhile. The lock ends with the session."""
    with contextlib.closing(ctx.connect()) as conn:
        if not try_lock(conn, f"tidewatch.report.{month}"):
            raise Busy(
                f"The report of {month} is being made by somebody else",
                expected="one at a time",
                found="its lock is held by another session",
                do="wait for it: the same facts give the same report",
            )
        yield
