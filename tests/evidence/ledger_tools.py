"""Helpers of the ledger tests: a fixed time, and what a superuser can do past the triggers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from tidewatch.core.canonical import canonical_bytes, sha256_hex
from tidewatch.core.database import Connection
from tidewatch.evidence.ledger import Record, append
from tidewatch.evidence.record import read_entry

NOW = datetime(2026, 11, 22, 3, 4, 5, 678901, tzinfo=UTC)


def add(conn: Connection, number: int, **body: Any) -> Record:
    return append(conn, kind="test.fact", subject=f"subject {number}", body={"n": number, **body}, now=NOW)


@contextmanager
def triggers_off(conn: Connection) -> Iterator[None]:
    """What the owner of the database can do, and the ledger cannot prevent."""
    for table in ("ledger", "head"):
        conn.execute(f"alter table evidence.{table} disable trigger all")
    yield
    for table, names in {
        "ledger": ("check_record", "advance_head", "refuse_change", "refuse_truncate"),
        "head": ("check_head", "refuse_change", "refuse_truncate"),
    }.items():
        for name in names:
            conn.execute(f"alter table evidence.{table} enable always trigger {name}")


def forge(conn: Connection, seq: int, changes: Mapping[str, Any]) -> None:
    """Replace the entry of `seq` by a well-formed one with `changes`, and its hash by the right one."""
    row = conn.execute("select entry from evidence.ledger where seq = %s", (seq,)).fetchone()
    assert row is not None
    entry = canonical_bytes({**read_entry(row["entry"]), **changes}).decode()
    conn.execute(
        "update evidence.ledger set entry = %s, hash = %s where seq = %s",
        (entry, sha256_hex(entry.encode()), seq),
    )


def move_head(conn: Connection) -> None:
    """Make evidence.head agree with whatever is last in the ledger now."""
    conn.execute(
        "update evidence.head set (seq, hash) = (select coalesce(max(seq), 0), "
        "coalesce((array_agg(hash order by seq desc))[1], repeat('0', 64)) from evidence.ledger)"
    )
