"""Post a notice in the transaction that made its fact; deliver what was posted, each to each channel once.

A delivery is recorded as `sending` and committed before anything is sent, and as `sent` right after the
service accepted it. A deliverer that is killed between those two has sent the message or not, and nobody can
know: after the lease (ten minutes) it is sent again, and its text then says that it may be a repeat. The same
holds for a service that did not answer in time. Outside that instant nothing is sent twice, however many
deliverers run.
"""

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.pq import TransactionStatus

from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import TidewatchError
from tidewatch.evidence.ledger import append
from tidewatch.evidence.schemas import NoticeFailed
from tidewatch.notices.channels import Channel, Failure
from tidewatch.notices.notice import Notice

log = logging.getLogger(__name__)

MAX_AGE = timedelta(days=3)
LEASE = timedelta(minutes=10)
"""Longer than one send can take (a minute) and than the clocks of two machines differ."""
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=1)
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}


@dataclass(frozen=True)
class Delivered:
    """What one call of `deliver` did, and what is left: `pending` will be tried by a later call.

    `problems` names the channels that cannot be used, and why (without the address).
    """

    sent: int
    failed: int
    pending: int
    given_up: int = 0
    problems: tuple[str, ...] = ()


def post(conn: Connection, notice: Notice, now: datetime) -> bool:
    """Put `notice` into the outbox, in the caller's transaction. False: this fact was already told.

    Post before appending to the ledger: when another transaction posts the same fact just now, this waits
    for it, and that must not happen while holding the head of the ledger.
    """
    row = execute(conn, "notices/post", {**notice.model_dump(), "posted_at": require_utc(now)}).fetchone()
    if row is not None:
        log.log(_LEVELS[notice.severity], "notice %s: %s", notice.fact, notice.title_en)
    return row is not None


def deliver(
    conn: Connection,
    channels: Sequence[Channel],
    now: datetime,
    *,
    max_age: timedelta = MAX_AGE,
    limit: int = 200,
) -> Delivered:
    """Send what is due, the most urgent first, at most `limit` messages; commits after every step.

    `conn` must not be inside a transaction. A failed delivery is tried again after 1, 2, 4 ... minutes, at
    most an hour apart, until the notice is older than `max_age`; its first failure is recorded in the ledger.
    Any number of deliverers may run at once.
    """
    _require_no_transaction(conn)
    clock = _clock(require_utc(now))
    names = [c.name for c in channels]
    by_name = {c.name: c for c in channels}
    for channel in channels:
        _enqueue(conn, channel, clock(), max_age)
    given_up = _give_up(conn, names, clock(), max_age)
    # What fails in this call is due again later, by a clock that this call does not reach.
    due_at, oldest = clock(), clock() - max_age
    sent = failed = 0
    while sent + failed < limit:
        claim = uuid.uuid4()
        row = _claim(conn, names, claim, due_at, oldest, clock() + LEASE)
        if row is None:
            break
        channel = by_name[row.pop("channel")]
        attempts, maybe_repeat = row.pop("attempts"), row.pop("maybe_repeat")
        notice = Notice.model_validate(row)
        failure = channel.send(notice, maybe_repeat=maybe_repeat)
        if failure is None:
            sent += 1
            with conn.transaction():
                key = {"fact": notice.fact, "channel": channel.name, "claim": claim, "now": clock()}
                execute(conn, "notices/sent", key)
        else:
            failed += 1
            _record_failure(conn, notice, channel, claim, attempts, failure, clock())
    problems = tuple(str(c.problem) for c in channels if c.problem is not None)
    return Delivered(sent, failed, _pending(conn, names), given_up, problems)


def retry_after(attempts: int) -> timedelta:
    """How long to wait after the failure of attempt number `attempts` (from 1): 1, 2, 4 ... 60 minutes."""
    return min(FIRST_RETRY * (1 << min(attempts - 1, 10)), LONGEST_RETRY)


def _clock(now: datetime) -> Callable[[], datetime]:
    # A call can take minutes; leases and times must move on with it.
    start = time.monotonic()
    return lambda: now + timedelta(seconds=time.monotonic() - start)


def _require_no_transaction(conn: Connection) -> None:
    if conn.info.transaction_status != TransactionStatus.IDLE:
        raise TidewatchError(
            "Notices cannot be delivered inside a transaction",
            expected="a connection that is idle: what is about to be sent is committed before it is sent",
            found="a transaction that somebody began on this connection",
            do="commit first, or give deliver() a connection of its own",
        )


def _enqueue(conn: Connection, channel: Channel, now: datetime, max_age: timedelta) -> None:
    with conn.transaction():
        execute(conn, "notices/know_channel", {"channel": channel.name, "now": now})
        execute(
            conn,
            "notices/enqueue",
            {"channel": channel.name, "severities": channel.severities, "max_age": max_age},
        )


def _give_up(conn: Connection, names: list[str], now: datetime, max_age: timedelta) -> int:
    reason = f"older than {max_age} before a deliverer came to it"
    with conn.transaction():
        rows = execute(
            conn,
            "notices/give_up",
            {"channels": names, "now": now, "oldest": now - max_age, "reason": reason},
        ).fetchall()
        for row in rows:
            log.error("notice %s was given up on channel %s: it is too old", row["fact"], row["channel"])
        for row in rows:
            if row["failed_before"] is None:
                _into_ledger(conn, row["fact"], row["channel"], row["severity"], reason, now, now)
    return len(rows)


def _claim(
    conn: Connection,
    names: list[str],
    claim: uuid.UUID,
    due_at: datetime,
    oldest: datetime,
    lease_until: datetime,
) -> dict[str, Any] | None:
    with conn.transaction():
        return execute(
            conn,
            "notices/claim",
            {
                "channels": names,
                "claim": claim,
                "due_at": due_at,
                "oldest": oldest,
                "lease_until": lease_until,
            },
        ).fetchone()


def _record_failure(
    conn: Connection,
    notice: Notice,
    channel: Channel,
    claim: uuid.UUID,
    attempts: int,
    failure: Failure,
    now: datetime,
) -> None:
    next_try = now + retry_after(attempts)
    log.warning("notice %s, attempt %d: %s", notice.fact, attempts, failure.reason)
    with conn.transaction():
        row = execute(
            conn,
            "notices/failed",
            {
                "fact": notice.fact,
                "channel": channel.name,
                "claim": claim,
                "error": failure.reason,
                "unsure": failure.unsure,
                "next_try_at": next_try,
                "now": now,
            },
        ).fetchone()
        if row is not None and row["first"]:
            _into_ledger(conn, notice.fact, channel.name, notice.severity, failure.reason, now, next_try)


def _into_ledger(
    conn: Connection, fact: str, channel: str, severity: str, error: str, now: datetime, next_try: datetime
) -> None:
    body = NoticeFailed.model_validate(
        {
            "fact": fact,
            "channel": channel,
            "severity": severity,
            "error": error,
            "failed_at": now,
            "next_try_at": next_try,
        }
    )
    append(conn, kind=body.KIND, subject=fact, body=body, now=now)


def _pending(conn: Connection, names: list[str]) -> int:
    with conn.transaction():
        row = execute(conn, "notices/pending", {"channels": names}).fetchone()
    return int(row["pending"]) if row else 0
