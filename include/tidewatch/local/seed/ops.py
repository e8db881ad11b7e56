"""The `ops` database: seed it, let days pass in it.

Everything follows from seed, scale and date: nothing asks the clock, so two seedings hold equal rows.
"""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from random import Random

from psycopg import sql

from tidewatch.core.database import Connection, connect, lock_number, statement
from tidewatch.core.errors import ConfigError
from tidewatch.local.seed.day import Step, add_contact, play_day
from tidewatch.local.seed.office import CHINA, Office, describe_office, furnish, write_reports
from tidewatch.local.seed.report import SeedReport
from tidewatch.local.seed.tables import COLUMNS, Batch, move_sequences
from tidewatch.local.seed.world import World, load_world

HISTORY_DAYS = 120
_FLUSH_DAYS = 20  # bounds the memory: that many days of rows wait at most
_CONTACTS = 1500
_APPLICATION = "tidewatch seed"


def seed_ops(dsn: str, *, scale: float = 1.0, seed: int = 20260101, today: date) -> SeedReport:
    """Make schema `ops` and fill it with the 120 days before `today` (the last one is yesterday).

    Scale 1 is about 43,000 rows and 20 MB; rows grow in proportion, the office itself does not. A database
    that was seeded before stays as it is, whatever seed and scale are asked for, and its counts come back
    with `created=False`. All or nothing: a seeding that is killed leaves no trace. The role must be allowed
    to create roles. Raises ConfigError for a scale that is not positive, or a schema `ops` not of our making.
    """
    if not scale > 0:
        raise ConfigError(
            "The scale of the sample data is not usable",
            expected="a number above 0 (1 is about 43,000 rows)", found=str(scale), do="give another scale",
        )  # fmt: skip
    with connect(dsn, application_name=_APPLICATION) as conn:
        _one_at_a_time(conn)
        created = not _is_seeded(conn)
        if created:
            first_day = today - timedelta(days=HISTORY_DAYS)
            conn.execute(statement("demo/ops_schema"))
            _fill(conn, scale, seed, first_day)
            conn.execute(
                "insert into ops.demo_state (seed, scale, first_day, last_day) values (%s, %s, %s, %s)",
                (seed, scale, first_day, today - timedelta(days=1)),
            )
            conn.execute("select ops.ensure_metrics_month(%s)", (today,))
            _settle(conn)
        return _report(conn, created=created)


def age_ops(dsn: str, days: int = 1) -> SeedReport:
    """Let `days` more days pass: new posts, comments, complaints, figures, and progress of open complaints.

    Ageing by two days equals ageing twice by one. Returns the counts after it. Raises ConfigError when the
    database was not seeded or `days` is negative.
    """
    if days < 0:
        raise ConfigError(
            "Time does not run backwards in the sample data", expected="0 days or more", found=str(days),
            do="give another number of days",
        )  # fmt: skip
    with connect(dsn, application_name=_APPLICATION) as conn:
        _one_at_a_time(conn)
        if not _is_seeded(conn):
            raise ConfigError(
                "This database holds no sample data", expected="a database filled by seed_ops",
                found="no schema `ops`", do="run the seeding first",
            )  # fmt: skip
        for _ in range(days):
            _pass_day(conn)
        _settle(conn)
        return _report(conn, created=False)


def _one_at_a_time(conn: Connection) -> None:
    conn.execute("select pg_advisory_xact_lock(%s)", (lock_number("tidewatch.seed"),))


def _is_seeded(conn: Connection) -> bool:
    found = conn.execute(
        "select to_regnamespace('ops') is not null as schema, "
        "to_regclass('ops.demo_state') is not null as ours"
    ).fetchone()
    if found and found["schema"] and not found["ours"]:
        raise ConfigError(
            "The database has a schema `ops` that is not sample data", expected="an empty database",
            found="schema ops without the table ops.demo_state", do="seed another database",
        )  # fmt: skip
    return bool(found and found["ours"])


def _fill(conn: Connection, scale: float, seed: int, first_day: date) -> None:
    office, world, batch = describe_office(first_day), World(scale=scale), Batch()
    rng = Random(f"{seed}/office")
    last_day = first_day + timedelta(days=HISTORY_DAYS - 1)
    furnish(office, batch, first_day, last_day, scale, rng)
    _first_contacts(first_day, world, batch, rng)
    for number in range(HISTORY_DAYS):
        play_day(first_day + timedelta(days=number), seed, office, world, batch)
        if number % _FLUSH_DAYS == 0:
            batch.flush(conn, cases=False)
    batch.flush(conn)
    move_sequences(conn)
    write_reports(conn, rng)


def _first_contacts(first_day: date, world: World, batch: Batch, rng: Random) -> None:
    kinds = ("customer", "creator", "journalist", "regulator", "partner")
    for _ in range(max(round(_CONTACTS * world.scale), 5)):
        day = first_day - timedelta(days=1 + int(rng.random() * 700))
        at = datetime.combine(day, time(int(rng.random() * 24), int(rng.random() * 60)), CHINA)
        lang = "zh" if rng.random() < 0.85 else "en"
        add_contact(at, lang, rng.choices(kinds, (80, 10, 5, 1, 4))[0], world, batch, rng)


def _pass_day(conn: Connection) -> None:
    state = conn.execute("select seed, scale, first_day, last_day from ops.demo_state").fetchone()
    assert state is not None  # noqa: S101  `_is_seeded` has seen the table, and the row is of its transaction
    day = state["last_day"] + timedelta(days=1)
    office = describe_office(state["first_day"])
    world = load_world(conn, state["scale"], day, _languages(office))
    batch = Batch()
    steps = play_day(day, state["seed"], office, world, batch)
    conn.execute("select ops.ensure_metrics_month(%s)", (day + timedelta(days=1),))
    batch.flush(conn)
    move_sequences(conn)
    for step in steps:
        _take(conn, step)
    conn.execute("update ops.demo_state set last_day = %s", (day,))


def _languages(office: Office) -> dict[int, str]:
    return {account.id: account.lang for account in office.accounts}


def _take(conn: Connection, step: Step) -> None:
    """The trigger writes the event; `updated_at` is given, so the clock is not asked."""
    conn.execute(
        "update ops.complaints set status = %(status)s, assignee_id = %(assignee)s, updated_at = %(at)s, "
        "satisfaction = %(pleased)s, closed_at = %(closed)s where id = %(id)s",
        {"id": step.id, "status": step.status, "assignee": step.assignee_id, "at": step.at,
         "pleased": step.satisfaction, "closed": step.at if step.status == "closed" else None},
    )  # fmt: skip


def _settle(conn: Connection) -> None:
    conn.execute("refresh materialized view ops.account_days")
    for table in COLUMNS:
        conn.execute(sql.SQL("analyze {}").format(sql.Identifier("ops", table)))


def _report(conn: Connection, *, created: bool) -> SeedReport:
    counts: Mapping[str, int] = {
        table: conn.execute(
            sql.SQL("select count(*) as n from {}").format(sql.Identifier("ops", table))
        ).fetchone()["n"]  # type: ignore[index]  # an aggregate always has a row
        for table in COLUMNS
    }
    size = conn.execute(
        "select sum(pg_total_relation_size(c.oid))::bigint as bytes from pg_class c "
        "where c.relnamespace = 'ops'::regnamespace and c.relkind in ('r', 'm')"
    ).fetchone()
    return SeedReport(counts=dict(counts), bytes=size["bytes"] if size else 0, created=created)
