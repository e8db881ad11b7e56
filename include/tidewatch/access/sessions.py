"""Signing in by name and password, and the sessions that follow. In the caller's transaction.

The browser holds 256 random bits; the table holds their SHA-256, so that nobody who reads the table can use
it. A session ends 30 minutes after the last page, and 12 hours after it began, whatever happens.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidewatch.access import passwords
from tidewatch.access.roles import Person, known_roles
from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute, lock_number
from tidewatch.evidence import ledger, schemas

IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=12)
_SEEN_EVERY = timedelta(minutes=1)
"""A page changes `seen_at` only when it is older: pages stay reads."""


@dataclass(frozen=True)
class Limit:
    """So many wrong passwords within that time, then nobody is let in by what is counted."""

    failures: int
    within: timedelta


# Guessing at one person from one place is slowed down at once; from many places, or at many people, later: a
# limit by name alone would let anybody lock anybody out.
HERE = Limit(5, timedelta(minutes=15))
PLACE = Limit(50, timedelta(minutes=15))
NAME = Limit(100, timedelta(hours=1))


class TooManyTries(Exception):
    """Wait: too many wrong passwords lately."""


def sign_in(
    conn: Connection, name: str, password: str, *, address: str, previous: str | None, now: datetime
) -> str | None:
    """The token of a new session; None for a wrong name or password. The session of the token `previous`
    ends: nobody goes on under a token that was known before. Raises TooManyTries.

    The caller commits in every case: a failure that is rolled back is not counted."""
    moment = require_utc(now)
    # One after the other: many guesses at once would all be made before the first is counted.
    conn.execute("select pg_advisory_xact_lock(%s)", (lock_number(f"tidewatch.sign_in.{address}"),))
    counted = {_digest(f"{name}\0{address}"): HERE, _digest(f"\0{address}"): PLACE, _digest(name): NAME}
    if any(_exhausted(conn, what, limit, moment) for what, limit in counted.items()):
        raise TooManyTries
    row = execute(conn, "access/password", {"name": name}).fetchone()
    if not passwords.fits(password, row["password"] if row else None):
        for what in counted:
            execute(conn, "access/add_failure", {"what": what, "now": moment})
        execute(conn, "access/forget_failures", {"before": moment - NAME.within})
        return None
    if previous:
        end(conn, previous)
    token = secrets.token_urlsafe(32)
    execute(conn, "access/forget_sessions", {"begun": moment - LONGEST, "seen": moment - IDLE})
    execute(conn, "access/begin_session", {"token": _digest(token), "name": name, "now": moment})
    body = schemas.SessionBegun(name=name)
    ledger.append(conn, kind=body.KIND, subject=name, body=body, now=moment)
    return token


def find(conn: Connection, token: str, *, now: datetime) -> Person | None:
    """Who has this session, with the roles that the person has now; None when it is over."""
    moment = require_utc(now)
    row = execute(
        conn,
        "access/find_session",
        {"token": _digest(token), "begun": moment - LONGEST, "seen": moment - IDLE},
    ).fetchone()
    if row is None:
        return None
    if row["seen_at"] < moment - _SEEN_EVERY:
        execute(conn, "access/seen", {"token": _digest(token), "now": moment})
    key = hashlib.sha256(b"tidewatch console forms\0" + token.encode()).digest()
    return Person(row["name"], known_roles(row["roles"]), key)


def end(conn: Connection, token: str) -> None:
    """The session is over, if there is one."""
    execute(conn, "access/end_session", {"token": _digest(token)})


def _exhausted(conn: Connection, what: str, limit: Limit, now: datetime) -> bool:
    row = execute(conn, "access/count_failures", {"what": what, "since": now - limit.within}).fetchone()
    return row is not None and row["failures"] >= limit.failures


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
