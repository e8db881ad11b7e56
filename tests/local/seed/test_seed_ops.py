"""The `ops` sample database: equal for equal seeds, grows with scale and time, really used features."""

import hashlib
import re
import secrets
import subprocess
from collections.abc import Callable, Iterator
from datetime import date, datetime, time

import psycopg
import pytest
from psycopg import sql

from tidewatch.core.errors import ConfigError
from tidewatch.local.postgres import LocalPostgres
from tidewatch.local.seed import age_ops, seed_ops
from tidewatch.local.seed.grammar import load
from tidewatch.local.seed.office import CHINA
from tidewatch.local.seed.tables import COLUMNS, LEGACY

TODAY = date(2026, 3, 31)
SMALL = 0.05


@pytest.fixture
def new_database(pg_server: LocalPostgres) -> Iterator[Callable[[], str]]:
    """Makes as many empty databases as a comparison needs."""
    made: list[str] = []

    def make() -> str:
        made.append(f"t_{secrets.token_hex(6)}")
        pg_server.create_database(made[-1])
        return pg_server.dsn(made[-1])

    yield make
    for name in made:
        pg_server.drop_database(name)


def content(dsn: str) -> dict[str, str]:
    """Relation -> digest of its rows, whatever their order; also sequences and large objects."""
    found = {}
    with psycopg.connect(dsn, options="-c timezone=UTC") as conn:
        names = conn.execute(
            "select relname, relkind::text from pg_class where relnamespace = 'ops'::regnamespace "
            "and relkind in ('r', 'm', 'S')"
        ).fetchall()
        for name, kind in names:
            query = "select {} from {}" if kind == "S" else "select {} from {} t"
            shown = sql.SQL("last_value::text, is_called" if kind == "S" else "t::text")
            rows = conn.execute(sql.SQL(query).format(shown, sql.Identifier("ops", name))).fetchall()
            found[name] = hashlib.sha256(repr(sorted(rows)).encode()).hexdigest()
        objects = conn.execute("select oid, lo_get(oid) from pg_largeobject_metadata order by oid").fetchall()
        found["large objects"] = hashlib.sha256(repr(objects).encode()).hexdigest()
    return found


def one(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as conn:
        row = conn.execute(query.encode()).fetchone()
        return row[0] if row else None


def test_the_same_seed_scale_and_day_give_identical_rows(
    database: str, new_database: Callable[[], str]
) -> None:
    seed_ops(database, scale=SMALL, today=TODAY)
    other = new_database()
    seed_ops(other, scale=SMALL, today=TODAY)
    assert content(database) == content(other)
    assert len(content(database)) > 25


def test_another_seed_gives_other_rows(database: str, new_database: Callable[[], str]) -> None:
    seed_ops(database, scale=SMALL, today=TODAY)
    other = new_database()
    seed_ops(other, scale=SMALL, seed=7, today=TODAY)
    mine, theirs = content(database), content(other)
    assert all(mine[table] != theirs[table] for table in ("posts", "comments", "contacts", "complaints"))


def test_rows_grow_in_proportion_to_the_scale(database: str, new_database: Callable[[], str]) -> None:
    small = seed_ops(database, scale=SMALL, today=TODAY)
    large = seed_ops(new_database(), scale=4 * SMALL, today=TODAY)
    for table in ("posts", "comments", "complaints", "complaint_events", "contacts", "post_metrics"):
        assert 3 < large.counts[table] / small.counts[table] < 5, table
    assert large.counts["staff"] == small.counts["staff"]


def test_scale_one_is_about_forty_thousand_rows_and_twenty_megabytes(database: str) -> None:
    report = seed_ops(database, today=TODAY)
    assert report.created
    assert 38_000 < report.total < 46_000
    assert 15e6 < report.bytes < 25e6
    assert one(database, "select count(*) from ops.comments") == report.counts["comments"]


def test_a_seeded_database_is_left_as_it_is(database: str) -> None:
    first = seed_ops(database, scale=SMALL, today=TODAY)
    before = content(database)
    again = seed_ops(database, scale=1.0, seed=7, today=date(2026, 6, 1))
    assert content(database) == before
    assert again.counts == first.counts
    assert (first.created, again.created) == (True, False)


def test_nothing_lies_after_the_last_day(database: str) -> None:
    seed_ops(database, scale=SMALL, today=TODAY)
    midnight = datetime.combine(TODAY, time(), CHINA)
    for column, table in (
        ("created_at", "posts"), ("created_at", "comments"), ("updated_at", "complaints"),
        ("at", "complaint_events"), ("created_at", "contacts"), ("upper(lasted)", "incidents"),
    ):  # fmt: skip
        latest = one(database, f"select max({column}) from ops.{table}")
        assert isinstance(latest, datetime)
        assert latest < midnight, table


def test_ageing_by_two_days_equals_ageing_twice_by_one(
    database: str, new_database: Callable[[], str]
) -> None:
    other = new_database()
    for dsn in (database, other):
        seed_ops(dsn, scale=4 * SMALL, today=TODAY)
    at_once = age_ops(database, 2)
    age_ops(other, 1)
    stepwise = age_ops(other, 1)
    assert content(database) == content(other)
    assert at_once.counts == stepwise.counts


def test_ageing_adds_a_day_and_lets_open_complaints_move_on(database: str) -> None:
    before = seed_ops(database, scale=4 * SMALL, today=TODAY)
    after = age_ops(database, 2)  # the last of March and the first of April: another partition
    for table in ("posts", "comments", "complaints", "complaint_events", "post_metrics"):
        assert after.counts[table] > before.counts[table], table
    assert one(database, "select last_day from ops.demo_state") == date(2026, 4, 1)
    assert one(database, "select count(*) from ops.post_metrics_2026_04") != 0
    moved = one(database, "select count(*) from ops.complaint_events where detail ->> 'by' = 'trigger'")
    assert isinstance(moved, int)
    assert moved > 0
    late = one(database, "select max(at) from ops.complaint_events")
    assert isinstance(late, datetime)
    assert late < datetime(2026, 4, 2, tzinfo=CHINA)


def test_a_post_has_figures_of_its_first_three_days(database: str) -> None:
    seed_ops(database, scale=4 * SMALL, today=TODAY)
    age_ops(database, 3)  # so that posts of the last seeded days get theirs from what the database knows
    with psycopg.connect(database, options="-c timezone=Asia/Shanghai") as conn:
        wrong = conn.execute(
            "select p.id from ops.posts p left join ops.post_metrics m on m.post_id = p.id "
            "where p.state = 'published' "
            "and p.published_at::date <= (select last_day - 2 from ops.demo_state) "
            "group by p.id having array_agg(m.day - p.published_at::date order by m.day) "
            "is distinct from array[0, 1, 2]"
        ).fetchall()
    assert wrong == []


def test_every_status_of_a_complaint_is_its_last_event(database: str) -> None:
    seed_ops(database, scale=4 * SMALL, today=TODAY)
    age_ops(database, 3)
    wrong = one(
        database,
        "select count(*) from ops.complaints c where status is distinct from (select new_status "
        "from ops.complaint_events e where e.complaint_id = c.id order by at desc, id desc limit 1)",
    )
    assert wrong == 0


def test_a_seeding_that_fails_leaves_no_trace(database: str) -> None:
    with psycopg.connect(database) as conn:
        conn.execute("select lo_create(310001)")  # the number the first report wants, at the very end
    with pytest.raises(psycopg.errors.UniqueViolation):
        seed_ops(database, scale=SMALL, today=TODAY)
    assert one(database, "select to_regnamespace('ops')") is None


def test_hostile_texts_come_back_character_for_character(database: str) -> None:
    seed_ops(database, today=TODAY)
    hostile = load("hostile")
    with psycopg.connect(database) as conn:
        rows = conn.execute(
            sql.SQL('select "Raw Text" from {} limit %s').format(sql.Identifier("ops", LEGACY)),
            (len(hostile),),
        ).fetchall()
        assert [row[0] for row in rows] == hostile
        used = {row[0] for row in conn.execute("select body from ops.comments")}
    assert len(used & set(hostile)) > len(hostile) // 2
    for mark in ("<script>", "=HYPERLINK(", "\u200b", "\u202e", "\n", "\\N", "'", '"'):
        assert any(mark in text for text in hostile), mark


def test_nobody_real_can_be_reached_by_the_data(database: str) -> None:
    seed_ops(database, scale=4 * SMALL, today=TODAY)
    reserved = re.compile(
        r"\+44 (7700 900\d{3}|20 7946 0\d{3}|1(13|14|15|16|17|21|31|41|51|61) 496 0\d{3}|1632 960\d{3})"
        r"|\+1 \d{3}-555-01\d\d"
    )
    with psycopg.connect(database) as conn:
        for phone, email, wechat in conn.execute("select phone, email, wechat_id from ops.contacts"):
            assert reserved.fullmatch(phone), phone
            assert re.search(r"@(example\.(com|net|org)|[a-z]+\.example)$", email), email
            assert wechat is None or len(wechat) > 20
        for table in COLUMNS:
            text = conn.execute(
                sql.SQL("select string_agg(t::text, ' ') from {} t").format(sql.Identifier("ops", table))
            ).fetchone()
            assert text is not None
            for host in re.findall(r"\w@([\w-]+\.[\w.-]+\w)|https?://([\w.-]+)", text[0]):
                assert re.search(r"(^|\.)example(\.com|\.net|\.org)?$", "".join(host)), (table, host)
            if table in ("posts", "comments", "complaints", "contacts", "response_templates"):
                # Not inside a longer run of letters and digits: those are order numbers and digests.
                assert not re.search(r"(?<![\w-])(\+?86[ -]?)?1[3-9]\d{9}(?!\w)", text[0]), table


def test_row_level_security_and_column_grants_hold(database: str) -> None:
    report = seed_ops(database, scale=4 * SMALL, today=TODAY)
    with psycopg.connect(database) as conn:
        conn.execute("set role ops_reader")
        seen = conn.execute("select count(*) from ops.contacts").fetchone()
        assert seen is not None
        assert 0 < seen[0] < report.counts["contacts"]
        conn.execute("select name from ops.staff")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("select email from ops.staff")


def test_the_database_uses_what_real_databases_use(database: str) -> None:
    seed_ops(database, scale=SMALL, today=TODAY)
    kinds = {
        "partitions": "select count(*) from pg_inherits where inhparent = 'ops.post_metrics'::regclass",
        "generated columns": "select count(*) from pg_attribute where attgenerated = 's'",
        "identity columns": "select count(*) from pg_attribute where attidentity <> ''",
        "enums": "select count(*) from pg_type where typtype = 'e' and typnamespace = 'ops'::regnamespace",
        "domains": "select count(*) from pg_type where typtype = 'd' and typnamespace = 'ops'::regnamespace",
        "triggers": "select count(*) from pg_trigger where not tgisinternal",
        "policies": "select count(*) from pg_policies where schemaname = 'ops'",
        "large objects": "select count(*) from pg_largeobject_metadata",
        "view rows": "select count(*) from ops.open_complaints",
        "materialized rows": "select count(*) from ops.account_days",
        "comments": "select count(*) from pg_description where objoid = 'ops.posts'::regclass",
        "duplicate rows": f'select count(*) - count(distinct t::text) from ops."{LEGACY}" t',
        "threads": "select count(*) from ops.comments where parent_id is not null",
    }
    assert {kind: one(database, query) for kind, query in kinds.items() if not one(database, query)} == {}


def test_the_database_survives_dump_and_restore(
    database: str, pg_server: LocalPostgres, new_database: Callable[[], str]
) -> None:
    seed_ops(database, scale=SMALL, today=TODAY)
    other = new_database()
    dump = subprocess.run(
        [pg_server.bin_dir / "pg_dump", "-Fc", f"--dbname={database}"], capture_output=True, check=True
    )
    subprocess.run(
        [pg_server.bin_dir / "pg_restore", "--exit-on-error", f"--dbname={other}"],
        input=dump.stdout, capture_output=True, check=True,
    )  # fmt: skip
    assert content(other) == content(database)
    assert age_ops(other, 1).counts == age_ops(database, 1).counts  # sequences go on where they were


def test_wrong_wishes_are_refused_with_the_way_out(database: str) -> None:
    with pytest.raises(ConfigError, match="above 0"):
        seed_ops(database, scale=0, today=TODAY)
    with pytest.raises(ConfigError, match="no sample data"):
        age_ops(database)
    with pytest.raises(ConfigError, match="0 days or more"):
        age_ops(database, -1)
    with psycopg.connect(database) as conn:
        conn.execute("create schema ops")
    with pytest.raises(ConfigError, match="seed another database"):
        seed_ops(database, scale=SMALL, today=TODAY)
