"""A ledger that began anew: what it says of the chain before it."""

import contextlib
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import LedgerError
from tidewatch.evidence.ledger import records
from tidewatch.evidence.record import Head
from tidewatch.evidence.schemas import CatalogRebuilt, LostHead


@dataclass(frozen=True)
class NewChain:
    """Record `seq`, written `at`, says that another chain ended before this one: `before` is its last head
    that a region vouches for."""

    seq: int
    at: datetime
    before: LostHead

    @property
    def sentence(self) -> str:
        b = self.before
        return (
            f"This chain is not the first: record {self.seq} (catalog.rebuilt, {self.at:%Y-%m-%d %H:%M}Z) "
            f"says that another one was lost with its database. Its last signed head is record {b.seq} "
            f"{b.hash}, signed {b.signed_at:%Y-%m-%d %H:%M}Z in {b.backup_id or 'an anchor of its own'}"
        )


def chain_before(conn: Connection) -> NewChain | None:
    """The newest word of this ledger on a chain before it; None when there was none. A record that was
    altered says nothing: that it was is for `verify` to tell."""
    newest: NewChain | None = None
    with contextlib.suppress(LedgerError, ValidationError):
        for record in records(conn, kind=CatalogRebuilt.KIND):
            lost = CatalogRebuilt.model_validate(record.body).chain_before
            if lost is not None and (newest is None or lost.signed_at >= newest.before.signed_at):
                newest = NewChain(record.seq, record.at, lost)
    return newest


def not_in_this_ledger(conn: Connection, heads: list[Head]) -> set[int]:
    """Positions in `heads` of those that are no record of this ledger. The head of an empty ledger is in
    every one."""
    if not heads:
        return set()
    rows = execute(
        conn, "evidence/unknown_heads", {"seqs": [h.seq for h in heads], "hashes": [h.hash for h in heads]}
    )
    return {row["n"] - 1 for row in rows}
