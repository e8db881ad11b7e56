"""Do the regions answer, was each probed lately, do clocks agree, and do all vouch for this very ledger?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidewatch.backup.anchors import Anchor
from tidewatch.backup.health.check import Check, Failure, ok, problem, span, unknown, warning
from tidewatch.backup.health.limits import Limits
from tidewatch.backup.probe import place_of
from tidewatch.core.regions import Region, RegionConfig
from tidewatch.vault.catalogue import Probe


@dataclass(frozen=True)
class Answered:
    """A region answered. `skew_seconds`: its clock minus ours; None when it sends no time."""

    skew_seconds: float | None


def check_regions(
    regions: Sequence[RegionConfig], answers: Mapping[str, Answered | Failure], limits: Limits
) -> Iterable[Check]:
    """Each region answers, and tells our time."""
    for region in regions:
        answer = answers[region.name]
        if isinstance(answer, Failure):
            kind = problem if region.required else warning
            yield kind("region", region.name, answer.found, answer.do)
            continue
        yield ok("region", region.name, "answers")
        if answer.skew_seconds is None:
            yield ok("clock", region.name, "it sends no time; the daily probe measures it")
        else:
            yield check_clock(region.name, answer.skew_seconds, limits)


def check_clock(subject: str, skew_seconds: float, limits: Limits) -> Check:
    found = f"{skew_seconds:+.0f} s against this machine"
    if abs(skew_seconds) <= limits.clock_skew_seconds:
        return ok("clock", subject, found)
    return problem(
        "clock",
        subject,
        f"{found}, allowed are {limits.clock_skew_seconds:.0f} s",
        "if every clock differs, this machine's is wrong: set it by NTP; otherwise correct that one",
    )


def check_probes(
    regions: Sequence[Region], probes: Mapping[str, Probe], limits: Limits, now: datetime
) -> Iterable[Check]:
    """Each region was probed lately, where it is now, and found usable."""
    limit = timedelta(hours=limits.probe_hours)
    for region in regions:
        probe, name = probes.get(region.name), region.name
        again = f"`tidewatch region probe {name} --record`, and look at the Dag probe_regions"
        if probe is None:
            yield problem("probe", name, "it was never probed", again)
            continue
        if probe.report.get("place", place_of(region)) != place_of(region):
            found = f"the last probe was of {probe.report['place']}, the region is now {place_of(region)}"
            yield warning("probe", name, found, f"{again}; the next backup asks it, too")
            continue
        age = now - probe.at
        if not probe.report.get("usable"):
            lacking = [
                a["question"]
                for a in probe.report.get("answers", [])
                if a.get("required") and not a.get("ok")
            ]
            found = f"the probe of {span(age)} ago found it lacking: {', '.join(lacking) or 'see the probe'}"
            yield problem("probe", name, found, again)
        elif age > limit:
            yield problem("probe", name, f"last probed {span(age)} ago, allowed are {span(limit)}", again)
        else:
            yield ok("probe", name, f"usable, probed {span(age)} ago")


def check_heads(
    anchors: Mapping[str, tuple[Anchor | None, list[str]] | Failure],
    hashes: Mapping[int, str] | Failure,
    last: int,
) -> Iterable[Check]:
    """The newest head that each region's anchors and manifests carry is a record of our ledger.

    `hashes` are those of our records at the anchored places, `last` is the number of our last record. A
    region that vouches for what is not here holds the end of a longer, or another, ledger.
    """
    do = (
        "keep this database as it is; `tidewatch ledger verify --region REGION`, then docs/ledger.md; if the "
        "database was lost and made anew, `tidewatch catalog rebuild`"
    )
    for region, found in anchors.items():
        if isinstance(found, Failure):
            yield unknown("head", region, found.found)
            continue
        anchor, problems = found
        advice = do.replace("REGION", region)
        if problems:
            yield problem("head", region, "; ".join(problems[:3]), advice)
        elif anchor is None:
            yield warning(
                "head", region, "it carries no head of this ledger yet", "run `tidewatch evidence anchor`"
            )
        elif isinstance(hashes, Failure):
            yield unknown("head", region, "the database does not answer")
        elif (ours := hashes.get(anchor.head.seq)) is None:
            text = (
                f"{anchor.carrier} there vouches for record {anchor.head.seq}, but this ledger ends at "
                f"{last}: records were cut off, or the region holds another ledger's end"
            )
            yield problem("head", region, text, advice)
        elif ours != anchor.head.hash:
            text = (
                f"{anchor.carrier} there vouches for another record {anchor.head.seq} than this ledger "
                "has: it was rewritten, or there are two ledgers"
            )
            yield problem("head", region, text, advice)
        else:
            yield ok("head", region, f"vouches for record {anchor.head.seq} of {last}")
