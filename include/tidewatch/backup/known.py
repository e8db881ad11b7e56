"""Which objects of earlier backups a new one may refer to: asked of the regions, since a catalogue can be out
of date.

An object is used again when the regions that answer, or two of them, show it and the catalogue says that it
was verified there. A region that lacks it is completed by healing, like one that lacks what is sent today: so
a region that is dead for days, or new, costs no second upload of everything to the others. A region that
shows the object although it was never verified there, or in another size, puts it in doubt: healing cannot
replace what lies under a write-once key, so its contents are sent again.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from tidewatch.core.errors import TidewatchError
from tidewatch.core.regions import Region
from tidewatch.vault.contents import Holding
from tidewatch.vault.layout import region_key, source_prefix

_ENOUGH = 2
"""So many regions must show an object, or all that answer: one copy more than the one that may be lost."""

_Shown = Mapping[str, Mapping[str, int] | None]
"""Region -> full key -> bytes; None for a region that does not answer."""


def reusable(holdings: Sequence[Holding], source: str, regions: Sequence[Region]) -> list[Holding]:
    """Those of `holdings` (of one source) that a new backup to `regions` may refer to, in their order.

    One listing a region. When none answers all are given back, and the backup fails for that reason.
    """
    if not holdings:
        return []
    with ThreadPoolExecutor(len(regions), thread_name_prefix="known") as pool:
        shown = dict(
            zip([r.name for r in regions], pool.map(lambda r: _list(r, source), regions), strict=True)
        )
    answering = [r for r in regions if shown[r.name] is not None]
    return [h for h in holdings if not answering or _usable(h, answering, shown)]


def _usable(holding: Holding, answering: Sequence[Region], shown: _Shown) -> bool:
    verified = 0
    for region in answering:
        size = (shown[region.name] or {}).get(region_key(region.config.prefix, holding.entry.key))
        if size is None:
            continue
        if region.name not in holding.regions or size != holding.entry.cipher_size:
            return False
        verified += 1
    return verified >= min(_ENOUGH, len(answering))


def _list(region: Region, source: str) -> dict[str, int] | None:
    try:
        return {row.key: row.size for row in region.store.list(source_prefix(region.config.prefix, source))}
    except TidewatchError:
        return None
