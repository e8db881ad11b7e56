"""Contents that need not be sent again, checked with the regions: a catalogue can be out of date."""

from collections.abc import Mapping, Sequence

from tidewatch.core.errors import ObjectMissing, TidewatchError
from tidewatch.core.regions import Region
from tidewatch.vault.layout import region_key
from tidewatch.vault.manifest import ObjectEntry


def still_there(known: Mapping[str, ObjectEntry], regions: Sequence[Region]) -> dict[str, ObjectEntry]:
    """`known` without the objects that no region shows under its present bucket and prefix.

    One region that has an object is enough: the others are completed from it by healing. A region that does
    not answer says nothing; when none answers, all are kept, and the upload fails for that reason. One
    request an object where all is well.
    """
    wanted = {entry.key: entry for entry in known.values()}
    answered = False
    for region in regions:
        try:
            for key, entry in list(wanted.items()):
                if _has(region, entry):
                    del wanted[key]
                answered = True
        except TidewatchError:
            continue
    gone = wanted if answered else {}
    return {sha256: entry for sha256, entry in known.items() if entry.key not in gone}


def _has(region: Region, entry: ObjectEntry) -> bool:
    try:
        return region.store.head(region_key(region.config.prefix, entry.key)).size == entry.cipher_size
    except ObjectMissing:
        return False
