"""Findings: what is not as it must be, from the moment it is found until something shows that it is gone.

A finding is opened and closed by a record of the ledger; the table `evidence.findings` is made of those
records so that it can be searched. Whoever finds the same thing again (`key`) finds the open one: it is
counted, never opened twice, and never closed by being left out.

Lock order: opening and closing take the head of the ledger first and hold it until the caller's transaction
ends, as `ledger.append` does. Call them last in a transaction, and commit soon.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from psycopg.types.json import Jsonb

from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute
from tidewatch.core.redaction import redact
from tidewatch.evidence.ledger import append, lock_head, transaction
from tidewatch.evidence.schemas import FindingClosed, FindingOpened, checked_body

Severity = Literal["warning", "critical"]


@dataclass(frozen=True)
class Finding:
    """One finding as the table has it; times are UTC. `closed_*` are None while it is open."""

    finding_id: int
    key: str
    kind: str
    severity: Severity
    source: str | None
    region: str | None
    subject: str
    said_zh: str
    said_en: str
    detail: Mapping[str, Any]
    opened_at: datetime
    last_seen_at: datetime
    times_seen: int
    opened_seq: int
    closed_at: datetime | None
    closed_by: str | None
    closed_why: str | None
    closed_seq: int | None


def open_finding(
    conn: Connection,
    *,
    key: str,
    kind: str,
    severity: Severity,
    source: str | None,
    region: str | None,
    subject: str,
    said_zh: str,
    said_en: str,
    detail: Mapping[str, Any],
    now: datetime,
) -> Finding:
    """Open a finding, or count the open one of this key as seen again; it still says what it said first.

    `key` and `subject` have 1 to 400 characters; `kind` is like `restore.failed`; `detail` is a JSON object.
    Secrets in texts are redacted. In the caller's transaction. Raises LedgerError, LedgerBusy.
    """
    moment = require_utc(now)
    body = checked_body(
        FindingOpened.KIND,
        {
            "key": _writable(key),
            "finding": kind,
            "severity": severity,
            "source": source,
            "region": region,
            "said_zh": _writable(said_zh),
            "said_en": _writable(said_en),
            "detail": _writable(dict(detail)),
            "opened_at": moment,
        },
    )
    with transaction(conn):
        lock_head(conn, f"The finding {key!r} could not be opened")
        known = execute(conn, "evidence/finding_open", {"key": body["key"]}).fetchone()
        if known is not None:
            return _one(conn, "finding_seen", {"finding_id": known["finding_id"], "now": moment})
        record = append(conn, kind=FindingOpened.KIND, subject=_writable(subject), body=body, now=moment)
        values = {name: body[name] for name in ("key", "severity", "source", "region", "said_zh", "said_en")}
        more = {"kind": kind, "subject": record.subject, "detail": Jsonb(body["detail"]), "now": moment}
        return _one(conn, "finding_add", {**values, **more, "seq": record.seq})


def close_finding(conn: Connection, key: str, *, by: str, why: str, now: datetime) -> Finding | None:
    """Close the open finding of this key; None when there is none (again is not twice).

    `by` is what shows that it is gone (a test's id) or the person who says so, `why` a sentence. In the
    caller's transaction. Raises LedgerError, LedgerBusy.
    """
    moment = require_utc(now)
    with transaction(conn):
        known = held_open(conn, key)
        if known is None:
            return None
        closed_at = max(moment, known.opened_at)  # clocks of several machines differ
        body = checked_body(
            FindingClosed.KIND,
            {
                "key": known.key,
                "finding": known.kind,
                "opened_seq": known.opened_seq,
                "times_seen": known.times_seen,
                "closed_by": _writable(by),
                "why": _writable(why),
                "closed_at": closed_at,
            },
        )
        record = append(conn, kind=FindingClosed.KIND, subject=known.subject, body=body, now=moment)
        values = {"finding_id": known.finding_id, "now": closed_at, "seq": record.seq}
        return _one(conn, "finding_close", {**values, "by": body["closed_by"], "why": body["why"]})


def held_open(conn: Connection, key: str) -> Finding | None:
    """The open finding of this key; until the caller's transaction ends nobody else opens or closes one.

    Raises LedgerBusy.
    """
    lock_head(conn, f"The finding {key!r} could not be closed")
    row = execute(conn, "evidence/finding_open", {"key": _writable(key)}).fetchone()
    return None if row is None else _finding(row)


def open_findings(conn: Connection, *, kind: str | None = None) -> list[Finding]:
    """What is open now, the oldest first; of one kind only where one is given."""
    return _many(conn, only_open=True, kind=kind, since=None, until=None)


def findings(conn: Connection, *, since: datetime, until: datetime) -> list[Finding]:
    """What was open at any moment from `since` on and before `until`, the oldest first."""
    return _many(conn, only_open=False, kind=None, since=require_utc(since), until=require_utc(until))


def _many(conn: Connection, **filters: Any) -> list[Finding]:
    return [_finding(row) for row in execute(conn, "evidence/findings", filters)]


def _one(conn: Connection, name: str, parameters: dict[str, Any]) -> Finding:
    row = execute(conn, f"evidence/{name}", parameters).fetchone()
    assert row is not None  # noqa: S101 - written under the head's lock
    return _finding(row)


def _finding(row: Mapping[str, Any]) -> Finding:
    return Finding(**{field.name: row[field.name] for field in fields(Finding)})


def _writable(value: Any) -> Any:
    """`value` as PostgreSQL and the ledger can hold it, without secrets: names of tables and files come in
    here, and answers of servers."""
    if isinstance(value, str):
        return redact(value.encode("utf-8", "replace").decode()).replace("\0", "\\0")
    if isinstance(value, Mapping):
        return {_writable(name): _writable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(item) for item in value]
    return value
