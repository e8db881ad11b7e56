"""Do the regions hold what should not be there, or should have been removed by now?"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from tidewatch.backup.context import build_context
from tidewatch.backup.health.check import Check, Failure, ok, span, warning
from tidewatch.backup.orphans import Findings, find
from tidewatch.core.clock import Clock
from tidewatch.core.connections import Resolver
from tidewatch.core.regions import Region
from tidewatch.core.settings import Settings

REMOVED_WITHIN = timedelta(days=3)
"""The Dag remove_orphans runs daily."""


def ask_orphans(settings: Settings, resolver: Resolver, clock: Clock, region: Region) -> Findings:
    """What `tidewatch orphans list` shows of one region. Raises TidewatchError."""
    context = build_context(settings, resolver, clock=clock)
    regions = tuple(region if r.name == region.name else r for r in context.regions)
    return find(replace(context, regions=regions), region)


def check_orphans(answers: Mapping[str, Findings | Failure], now: datetime) -> Iterable[Check]:
    """Nothing is in question, nothing is a stranger's, and what can be removed is removed in time."""
    for region, found in answers.items():
        look = f"`tidewatch orphans list --region {region}`"
        if isinstance(found, Failure):
            yield warning("orphans", region, f"not listed: {found.found}", found.do or look)
            continue
        problems = []
        if found.kept:
            problems.append(f"in question: {found.kept[0].what} ({found.kept[0].why})")
        if found.strays:
            problems.append(f"{found.strays} objects that are not ours, such as {found.stray_examples[0]}")
        times = [o.written_at for o in found.removable] + [u.begun_at for u in found.uploads]
        if times and now - min(times) > REMOVED_WITHIN:
            problems.append(
                f"{len(times)} that can be removed, the oldest of {span(now - min(times))} ago: the Dag "
                "remove_orphans does not run, or a store refuses it"
            )
        if problems:
            yield warning("orphans", region, "; ".join(problems), look)
        else:
            yield ok("orphans", region, f"{len(times)} to be removed, {len(found.locked)} still locked")
