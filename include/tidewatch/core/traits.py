"""What a store was found to do, as far as the way we write to it depends on it.

Found out by trying (`backup/probe`), never by asking the provider's manual. What is not known is taken for
the worse: conditions are checked by listing, checksums by reading back in full.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

Condition = Literal["honoured", "ignored", "refused", "unknown"]
"""What a store does with `If-None-Match: *`. `refused`: it fails every request that carries it."""
Checksum = Literal["checked", "ignored", "refused", "unknown"]
"""What a store does with the SHA-256 of a request. `checked`: rejects a wrong one and tells the right one
later; only then is what it tells worth anything."""

SKEW_ALLOWED = timedelta(minutes=5)
"""How far a store's clock may be off. Signatures of requests stop working at 15 minutes; retention is counted
by the store's clock."""

FRESH = timedelta(days=2)
"""For how long a probe is believed; the Dag `probe_regions` asks every day."""


@dataclass(frozen=True)
class StoreTraits:
    """The answers of one probe that decide how we write and read."""

    conditional_put: Condition = "unknown"
    conditional_complete: Condition = "unknown"
    """The condition at CompleteMultipartUpload, which is newer than the one at PutObject."""
    sha256_put: Checksum = "unknown"
    sha256_parts: Checksum = "unknown"
    unfit: tuple[str, ...] = ()
    """What a backup needs and the store was found not to do; a region that did not answer is not unfit."""

    @property
    def writes_once(self) -> bool:
        """Whether the store itself refuses a second write of a key."""
        return self.conditional_put == "honoured"

    def to_json(self) -> dict[str, Any]:
        """JSON types; `read_traits` reads it again."""
        return asdict(self) | {"unfit": list(self.unfit)}


UNKNOWN = StoreTraits()


def read_traits(found: object) -> StoreTraits:
    """The traits in a stored probe. What is missing or of another version is unknown."""
    if not isinstance(found, Mapping):
        return UNKNOWN
    unfit = found.get("unfit")
    return StoreTraits(
        conditional_put=_one_of(found.get("conditional_put"), Condition),
        conditional_complete=_one_of(found.get("conditional_complete"), Condition),
        sha256_put=_one_of(found.get("sha256_put"), Checksum),
        sha256_parts=_one_of(found.get("sha256_parts"), Checksum),
        unfit=tuple(str(each) for each in unfit) if isinstance(unfit, list) else (),
    )


def _one_of(value: object, allowed: Any) -> Any:
    return value if value in get_args(allowed) else "unknown"


def is_fresh(probed_at: datetime, now: datetime) -> bool:
    """Whether a probe of that moment is still believed. One from the future was made by another clock."""
    return timedelta(minutes=-5) <= now - probed_at <= FRESH
