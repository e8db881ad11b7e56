"""What a record of the ledger is: the text that is hashed, and how it is read back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tidewatch.core.canonical import canonical_bytes
from tidewatch.core.clock import iso
from tidewatch.core.errors import IntegrityError, LedgerError

GENESIS = "0" * 64
"""`prev` of record 1, and the hash of the head of an empty ledger."""

MAX_ENTRY_BYTES = 4 * 1024 * 1024
_KEYS = frozenset({"at", "body", "kind", "prev", "seq", "subject"})


@dataclass(frozen=True)
class Record:
    """One record as it stands in the ledger. `at` is UTC; `body` is what the stored text says."""

    seq: int
    at: datetime
    kind: str
    subject: str
    body: Mapping[str, Any]
    prev: str
    hash: str


@dataclass(frozen=True)
class Head:
    """The end of the chain: the last `seq` and its hash; 0 and 64 zeros when there is no record."""

    seq: int
    hash: str


def entry_text(seq: int, at: datetime, kind: str, subject: str, body: Mapping[str, Any], prev: str) -> str:
    """The RFC 8785 text of a record, the text that is hashed and stored. Raises LedgerError."""
    try:
        raw = canonical_bytes(
            {"at": iso(at), "body": dict(body), "kind": kind, "prev": prev, "seq": seq, "subject": subject}
        )
    except (IntegrityError, RecursionError) as error:
        raise LedgerError(
            f"The body of the record {kind} of {subject!r} cannot be written exactly",
            expected="JSON: text, booleans, null, finite numbers, integers within +-(2^53 - 1), lists, "
            "objects whose keys are text",
            found=_reason(error),
            do="pass larger numbers, decimals and times as strings, and leave out what is not a number (NaN)",
        ) from error
    if len(raw) > MAX_ENTRY_BYTES:
        raise LedgerError(
            f"The record {kind} of {subject!r} is too large",
            expected=f"at most {MAX_ENTRY_BYTES} bytes",
            found=f"{len(raw)} bytes",
            do="put the content into an object of its own and record its SHA-256",
        )
    return raw.decode()


def read_entry(entry: str) -> dict[str, Any]:
    """The JSON object of an entry. Raises ValueError when it is not a JSON object of the six keys."""
    value = json.loads(entry)
    if not isinstance(value, dict) or set(value) != _KEYS or not isinstance(value["body"], dict):
        raise ValueError("not an object of at, body, kind, prev, seq, subject")
    if type(value["seq"]) is not int:  # `true` is equal to 1 in Python
        raise ValueError("seq is not an integer")
    return value


def parse_record(entry: str, digest: str) -> Record:
    """The record of a stored text and its hash (which is not checked: `verify` does). Raises LedgerError."""
    try:
        value = read_entry(entry)
        at = datetime.fromisoformat(value["at"])
    except (ValueError, RecursionError) as error:
        raise LedgerError(
            "A record of the ledger cannot be read",
            expected="canonical JSON of at, body, kind, prev, seq, subject",
            found=_reason(error),
            do="the text was altered in the database; run `tidewatch ledger verify`",
        ) from error
    return Record(value["seq"], at, value["kind"], value["subject"], value["body"], value["prev"], digest)


def _reason(error: BaseException) -> str:
    if isinstance(error, IntegrityError):
        return error.found
    if isinstance(error, RecursionError):
        return "lists or objects nested too deep"
    return str(error)[:300]
