"""Where the signed heads of the ledger lie in a region, beside the backups.

    <prefix>/anchors/<seq, 16 digits>-<the first 16 hex digits of the hash>.json

One object a head: the same head is never written twice, another record of the same number has a place of its
own beside it, and the order of the keys is the order of the records.
"""

import re
from dataclasses import dataclass

_NAME = re.compile(r"anchors/(\d{16})-([0-9a-f]{16})\.json")


@dataclass(frozen=True)
class AnchorName:
    """What the key of an anchor says of the head in it."""

    seq: int
    hash16: str


def anchors_prefix(prefix: str) -> str:
    """What to list to see every anchor of a region."""
    return f"{prefix}/anchors/" if prefix else "anchors/"


def anchor_key(prefix: str, seq: int, digest: str) -> str:
    """The key of the anchor of record `seq` with the hash `digest` (64 hex digits)."""
    return f"{anchors_prefix(prefix)}{seq:016d}-{digest[:16]}.json"


def parse_anchor_key(prefix: str, key: str) -> AnchorName | None:
    """What `key` says; None for a key that we would not have written."""
    lead = anchors_prefix(prefix).removesuffix("anchors/")
    match = _NAME.fullmatch(key[len(lead) :]) if key.startswith(lead) else None
    return AnchorName(int(match[1]), match[2]) if match else None
