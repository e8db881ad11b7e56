"""Append to the evidence ledger, and read it.

A record is the RFC 8785 text of `{"at", "body", "kind", "prev", "seq", "subject"}`; its hash is the SHA-256
of that text in UTF-8; `prev` is the hash of the record before, 64 zeros for the first. The text is stored
exactly as hashed.

Lock order: `append` locks the head of the chain until the caller's transaction ends. Append *last*, after
every other row lock of the transaction, and commit soon: writers then queue for one lock that nobody holds
while waiting for another, so they cannot deadlock. A transaction that is rolled back leaves neither a record
nor a gap.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any

import psycopg

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import LedgerError
from tidewatch.evidence.record import GENESIS, Head, Record, entry_text, parse_record
from tidewatch.evidence.schemas import Body, checked_body
from tidewatch.evidence.verify import LedgerReport, verify

__all__ = [
    "GENESIS",
    "Head",
    "LedgerBusy",
    "LedgerReport",
    "Record",
    "append",
    "head",
    "lock_head",
    "newest",
    "records",
    "transaction",
    "verify",
]

_PAGE = 1000


class LedgerBusy(LedgerError):
    """The head of the chain was not to be had in this transaction; the transaction can be run again."""

    retryable = True


def append(
    conn: Connection, *, kind: str, subject: str, body: Mapping[str, Any] | Body, now: datetime
) -> Record:
    """Append one record in the caller's transaction (see the lock order above); it exists once that commits.

    On a connection in autocommit mode the record is a transaction of its own. `body` is a model of
    `evidence.schemas`, or a mapping: of a kind that has a model it must fit the model, of any other kind it
    is any JSON object (integers within +-(2^53 - 1), finite floats, text of any form: nothing is normalised).

    Raises LedgerError for a body that cannot be written exactly or does not fit its kind, LedgerBusy when
    another transaction keeps the head for more than 60 s.
    """
    content = checked_body(kind, body)
    moment = require_utc(now)
    try:
        with transaction(conn):
            last = lock_head(conn, f"The record {kind} of {subject!r} could not be appended")
            entry = entry_text(last.seq + 1, moment, kind, subject, content, last.hash)
            digest = sha256_hex(entry.encode())
            execute(
                conn,
                "evidence/append",
                {
                    "seq": last.seq + 1,
                    "at": moment,
                    "kind": kind,
                    "subject": subject,
                    "entry": entry,
                    "hash": digest,
                },
            )
    except psycopg.errors.IntegrityError as error:
        raise _refused(kind, subject, error) from error
    return parse_record(entry, digest)


def lock_head(conn: Connection, what: str) -> Head:
    """The head of the chain, which is this transaction's until it ends.

    For whoever must look before it appends, and nobody else may append in between. Raises LedgerBusy, whose
    `what` is the one given, when another transaction keeps it for more than 60 s.
    """
    try:
        last = execute(conn, "evidence/lock_head").fetchone()
    except _CONTENDED as error:
        raise LedgerBusy(
            what,
            expected="the head of the ledger within 60 s",
            found=f"{type(error).__name__}: another transaction holds it, or moved it after this one took "
            f"its snapshot",
            do="run the transaction again; append last in it and commit soon. pg_blocking_pids() names who "
            "waits for whom",
        ) from error
    except psycopg.errors.NoDataFound as error:
        raise LedgerError(
            "The ledger has lost its head",
            expected="one row in evidence.head",
            found="none",
            do="somebody removed it past the triggers; run `tidewatch ledger verify` with the last anchored "
            "head",
        ) from error
    assert last is not None  # noqa: S101 - the function returns one row or raises
    return Head(last["seq"], last["hash"])


def records(
    conn: Connection, since_seq: int = 1, kind: str | None = None, subject: str | None = None
) -> Iterator[Record]:
    """Records from `since_seq` on, in order, optionally of one kind and one subject; read page by page."""
    following = since_seq
    while True:
        page = execute(
            conn,
            "evidence/records",
            {"since_seq": following, "kind": kind, "subject": subject, "page": _PAGE},
        ).fetchall()
        for row in page:
            yield parse_record(row["entry"], row["hash"])
        if len(page) < _PAGE:
            return
        following = page[-1]["seq"] + 1


def newest(conn: Connection, kind: str) -> Record | None:
    """The last record of a kind, if there is one."""
    row = execute(conn, "evidence/newest", {"kind": kind}).fetchone()
    return parse_record(row["entry"], row["hash"]) if row else None


def head(conn: Connection) -> Head:
    """The head as the database keeps it. `verify` proves it."""
    row = execute(conn, "evidence/head").fetchone()
    if row is None:
        raise LedgerError(
            "The ledger has lost its head",
            expected="one row in evidence.head",
            found="none",
            do="run `tidewatch ledger verify` with the last anchored head",
        )
    return Head(row["seq"], row["hash"])


def transaction(conn: Connection) -> AbstractContextManager[object]:
    """The caller's transaction; one of its own on a connection in autocommit mode."""
    # Not `conn.transaction()` in every case: on an idle connection without autocommit that would commit at
    # its end, before the caller has decided to.
    return conn.transaction() if conn.autocommit else nullcontext()


_CONTENDED = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
)


def _refused(kind: str, subject: str, error: psycopg.errors.IntegrityError) -> LedgerError:
    detail = error.diag.message_detail or ""
    return LedgerError(
        f"The database refused the record {kind!r} of {subject!r}",
        expected="a kind such as backup.committed (at most 100 characters); a subject of 1 to 400 "
        "characters without "
        "control characters; the next seq, the hash of the record before, the SHA-256 of the entry",
        found=f"{error.diag.message_primary or type(error).__name__} {detail}".strip()[:600],
        do="correct the kind or the subject; append through tidewatch.evidence.ledger.append only",
    )
