"""What the database says, each question by itself: one that fails leaves the others their answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg.conninfo import make_conninfo

from tidewatch.backup.health.backups import History, Open
from tidewatch.backup.health.check import Failure
from tidewatch.backup.health.machine import CONNECT_SECONDS
from tidewatch.backup.keys.usage import hand_overs
from tidewatch.core.clock import Clock
from tidewatch.core.database import Connection, connect, execute, pending_migrations
from tidewatch.core.errors import TidewatchError
from tidewatch.evidence import ledger
from tidewatch.evidence.chains import NewChain, chain_before
from tidewatch.evidence.record import Head
from tidewatch.evidence.schemas import KeysRotated
from tidewatch.notices.channels import NoticesFile
from tidewatch.notices.notice import SEVERITIES
from tidewatch.notices.outbox import MAX_AGE
from tidewatch.vault import catalogue
from tidewatch.vault.catalogue import Probe

T = TypeVar("T")


@dataclass(frozen=True)
class Undelivered:
    """A notice that a channel did not take."""

    fact: str
    channel: str
    state: str
    posted_at: datetime


@dataclass(frozen=True)
class Server:
    """`skew_seconds`: the database's clock minus ours."""

    skew_seconds: float
    bytes: int


@dataclass(frozen=True)
class Facts:
    """Everything that the examination asks the database first."""

    server: Server | Failure
    pending: list[str] | Failure
    history: Mapping[str, History] | Failure
    open: list[Open] | Failure
    probes: Mapping[str, Probe] | Failure
    undelivered: list[Undelivered] | Failure
    changes: list[KeysRotated] | Failure
    chain: NewChain | Failure | None
    head: Head | Failure


def open_session(dsn: str, seconds: float) -> Connection:
    """A session that can only read, and whose statements end by themselves. Raises TidewatchError."""
    conn = connect(
        make_conninfo(dsn, connect_timeout=CONNECT_SECONDS),
        application_name="tidewatch doctor",
        autocommit=True,
    )
    conn.execute(
        "select set_config('statement_timeout', %s, false), "
        "set_config('default_transaction_read_only', 'on', false)",
        (f"{seconds:.0f}s",),
    )
    return conn


def ask(
    dsn: str,
    clock: Clock,
    migrations: Path,
    regions: Sequence[str],
    notices: NoticesFile | None,
    notice_age: timedelta,
    seconds: float,
) -> Facts:
    """Raises TidewatchError when there is no session at all; a question that fails is a Failure."""
    with open_session(dsn, seconds) as conn:
        return Facts(
            server=_each(lambda: _server(conn, clock)),
            pending=_each(lambda: pending_migrations(conn, migrations)),
            history=_each(lambda: {r["source"]: History(**r) for r in execute(conn, "health/history")}),
            open=_each(lambda: [Open(**r) for r in execute(conn, "health/open")]),
            probes=_each(lambda: _probes(conn, regions)),
            undelivered=_each(lambda: _undelivered(conn, notices, clock() - notice_age, clock() - MAX_AGE)),
            changes=_each(lambda: hand_overs(conn)),
            chain=_each(lambda: chain_before(conn)),
            head=_each(lambda: ledger.head(conn)),
        )


def hashes(dsn: str, seqs: Sequence[int], seconds: float) -> dict[int, str]:
    """The hashes of our records with these numbers, as far as there are such. Raises TidewatchError."""
    with open_session(dsn, seconds) as conn:
        found = _each(lambda: list(execute(conn, "health/hashes", {"seqs": list(seqs)})))
    if isinstance(found, Failure):
        raise TidewatchError(
            "The ledger cannot be read", expected="its records", found=found.found, do=found.do
        )
    return {row["seq"]: row["hash"] for row in found}


def _each(question: Callable[[], T]) -> T | Failure:
    try:
        return question()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return Failure("the database lacks a table of this Tidewatch", "run `tidewatch db migrate`")
    except psycopg.Error as error:
        found = error.diag.message_primary or type(error).__name__
        return Failure(f"the database refused the question: {found}", "look into the server's log")
    except TidewatchError as error:
        return Failure(f"{error.what}: {error.found}", error.do)


def _server(conn: Connection, clock: Clock) -> Server:
    before = clock()
    row = execute(conn, "health/server").fetchone()
    here = before + (clock() - before) / 2
    assert row is not None  # noqa: S101 - one row by its nature
    return Server((row["now"] - here).total_seconds(), row["bytes"])


def _probes(conn: Connection, regions: Sequence[str]) -> dict[str, Probe]:
    found = {name: catalogue.latest_probe(conn, name) for name in regions}
    return {name: probe for name, probe in found.items() if probe is not None}


def _undelivered(
    conn: Connection, notices: NoticesFile | None, before: datetime, since: datetime
) -> list[Undelivered]:
    channels = notices.channels if notices else []
    parameters = {
        "channels": [c.name for c in channels],
        "severities": [c.min_severity for c in channels],
        "levels": list(SEVERITIES),
        "before": before,
        # Older ones were given up and told of: a channel that works again need not stay red for ever.
        "since": since - timedelta(days=4),
    }
    return [Undelivered(**row) for row in execute(conn, "health/undelivered", parameters)]
