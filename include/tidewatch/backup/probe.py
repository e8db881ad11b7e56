"""Tries what each region really does, keeps the answers, and hands them to those who write to the region.

The questions are those of `questions`. What a region lacks of the required answers is told as a notice, and
the region gets no copies until a later probe finds it repaired; what it lacks of the others is made up for by
listing before and after writing, by setting retention afterwards, by reading back in full.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from tidewatch.backup import messages, records
from tidewatch.backup.asking import Answer
from tidewatch.backup.context import BackupContext
from tidewatch.backup.questions import ask_everything
from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, try_lock
from tidewatch.core.regions import Region
from tidewatch.core.traits import UNKNOWN, StoreTraits, is_fresh, read_traits
from tidewatch.evidence import ledger, schemas
from tidewatch.notices import outbox
from tidewatch.vault import catalogue
from tidewatch.vault.manifest import RunRef

_UNANSWERED = ("reachable", "probe finished")
"""Said of a region that does not answer; that is no trait of its store."""


@dataclass(frozen=True)
class ProbeReport:
    """What a region does. `usable`: every required answer is as it must be."""

    region: str
    place: str
    """Endpoint and bucket: the answers are those of this place only."""
    started_at: datetime
    ended_at: datetime
    answers: tuple[Answer, ...]
    traits: StoreTraits

    @property
    def usable(self) -> bool:
        return not self.lacking

    @property
    def lacking(self) -> list[str]:
        """Required questions without the right answer."""
        return [a.question for a in self.answers if a.required and a.ok is not True]

    def as_dict(self) -> dict[str, Any]:
        """For XCom: names and words."""
        return {"region": self.region, "usable": self.usable, "lacking": self.lacking}

    def to_json(self) -> dict[str, Any]:
        """JSON types, for the catalogue and `--json`."""
        return {
            "region": self.region,
            "place": self.place,
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "usable": self.usable,
            "answers": [asdict(a) for a in self.answers],
            "traits": self.traits.to_json(),
        }


def probe(region: Region, now: datetime) -> ProbeReport:
    """Ask everything. Never raises for what the region does: a region that does not answer is an answer."""
    asked = ask_everything(region, require_utc(now), region.config.prefix)
    traits = StoreTraits(
        asked.conditional_put,
        asked.conditional_complete,
        asked.sha256_put,
        asked.sha256_parts,
        tuple(
            a.question
            for a in asked.answers
            if a.required and a.ok is False and a.question not in _UNANSWERED
        ),
    )
    answers = tuple(asked.answers)
    return ProbeReport(region.name, place_of(region), require_utc(now), asked.now(), answers, traits)


def place_of(region: Region) -> str:
    """What a probe is an answer of, as `ProbeReport.place` names it."""
    return f"{region.endpoint_url or 'AWS ' + region.address.region_name}/{region.config.bucket}"


def learn(ctx: BackupContext, conn: Connection) -> None:
    """Tell every region's store what the latest probe found. The caller ends the transaction."""
    for region in ctx.regions:
        region.store.traits = _known(ctx, conn, region) or UNKNOWN


def _known(ctx: BackupContext, conn: Connection, region: Region) -> StoreTraits | None:
    """What the latest probe found; one that is old, or of another place, says nothing."""
    latest = catalogue.latest_probe(conn, region.name)
    if latest is None or not is_fresh(latest.at, ctx.now()) or latest.report.get("place") != place_of(region):
        return None
    return read_traits(latest.report.get("traits"))


def probe_what_is_unknown(
    ctx: BackupContext, regions: Sequence[Region] | None = None, run: RunRef | None = None
) -> None:
    """Probe and record those of `regions` (all by default) without a fresh probe, and those that were found
    unfit: they may be repaired. A region that another process probes now is left to it."""
    for region in ctx.regions if regions is None else regions:
        with contextlib.closing(ctx.connect()) as conn:
            known = _known(ctx, conn, region)
            conn.commit()
            if (known is None or known.unfit) and try_lock(conn, f"tidewatch.probe.{region.name}"):
                probe_and_record(ctx, region, run)


def record_probe(ctx: BackupContext, report: ProbeReport, run: RunRef | None = None) -> None:
    """Keep the answers: catalogue, ledger, and a notice when a required one is missing. One transaction."""
    region = ctx.region(report.region)
    body = schemas.RegionProbed(
        policy=records.policy(ctx.regions_file),
        place=records.place(region),
        run=records.run(run, None) if run is not None else None,
        started_at=report.started_at,
        ended_at=report.ended_at,
        ok=report.usable,
        checks=[
            schemas.ProbeCheck(name=a.question, ok=a.ok is True, observed=f"{a.answer} {a.detail}".strip())
            for a in report.answers
        ],
    )
    with contextlib.closing(ctx.connect()) as conn:
        catalogue.save_probe(conn, report.region, report.started_at, report.to_json())
        if report.lacking:
            day = report.started_at.date().isoformat()
            outbox.post(conn, messages.region_lacks(report.region, day, report.lacking), ctx.now())
        ledger.append(conn, kind=body.KIND, subject=report.region, body=body, now=ctx.now())
        conn.commit()


def probe_and_record(ctx: BackupContext, region: Region, run: RunRef | None = None) -> ProbeReport:
    """Ask one region everything and keep the answers."""
    report = probe(region, ctx.now())
    record_probe(ctx, report, run)
    ctx.progress(f"{region.name}: " + ("usable" if report.usable else "lacks " + ", ".join(report.lacking)))
    return report


def probe_regions(
    ctx: BackupContext, names: Sequence[str] | None = None, run: RunRef | None = None
) -> list[ProbeReport]:
    """Probe the regions (all by default) one after the other and record each. Raises NotFound for a name."""
    regions = ctx.regions if names is None else [ctx.region(n) for n in names]
    return [probe_and_record(ctx, region, run) for region in regions]
