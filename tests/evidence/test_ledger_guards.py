"""The database itself refuses every change, to the owner of the tables too, and says why."""

from collections.abc import Iterator

import psycopg
import pytest
from ledger_tools import NOW, add

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.database import Connection, connect
from tidewatch.core.errors import LedgerError
from tidewatch.evidence.ledger import GENESIS, append, head, records, verify
from tidewatch.evidence.record import entry_text

INSERT = "insert into evidence.ledger (seq, at, kind, subject, entry, hash) values (%s, %s, %s, %s, %s, %s)"

WRITER_GRANTS = (
    "usage on schema evidence",
    "select, insert on evidence.ledger",
    "select, update on evidence.head",
    "execute on function evidence.lock_head()",
)


@pytest.fixture
def conn(warehouse: str) -> Iterator[Connection]:
    with connect(warehouse, application_name="tests", autocommit=True) as connection:
        add(connection, 1)
        add(connection, 2)
        yield connection


@pytest.fixture
def owner(conn: Connection) -> Iterator[Connection]:
    """An ordinary role that owns the schema and its tables, without being a superuser."""
    conn.execute("create role tidewatch_owner_of_test")
    for what in ("schema evidence", "table evidence.ledger", "table evidence.head"):
        conn.execute(f"alter {what} owner to tidewatch_owner_of_test".encode())
    conn.execute("grant execute on all functions in schema evidence to tidewatch_owner_of_test")
    conn.execute("set role tidewatch_owner_of_test")
    yield conn
    conn.execute("reset role")
    conn.execute("reassign owned by tidewatch_owner_of_test to current_user")
    conn.execute("drop owned by tidewatch_owner_of_test")
    conn.execute("drop role tidewatch_owner_of_test")


CHANGES = [
    "update evidence.ledger set subject = 'x'",
    "update evidence.ledger set subject = 'x' where false",
    "delete from evidence.ledger where seq = 2",
    "delete from evidence.ledger where false",
    "truncate evidence.ledger",
    "truncate evidence.ledger, evidence.head",
    "insert into evidence.ledger select * from evidence.ledger where seq = 1 "
    "on conflict (seq) do update set kind = 'a.b'",
    "merge into evidence.ledger l using evidence.head h on l.seq = h.seq when matched then delete",
    "with gone as (delete from evidence.ledger returning *) select count(*) from gone",
    "delete from evidence.head",
    "truncate evidence.head",
    "insert into evidence.head values (false, 0, repeat('0', 64))",
]


@pytest.mark.parametrize("change", CHANGES)
def test_update_delete_and_truncate_are_refused_to_the_owner_with_a_clear_message(
    owner: Connection, change: str
) -> None:
    with pytest.raises(
        psycopg.errors.RestrictViolation, match=r"is append-only: [A-Z]+ is refused"
    ) as caught:
        owner.execute(change.encode())
    assert "append a new one" in (caught.value.diag.message_hint or "")
    assert len(list(records(owner))) == 2
    assert verify(owner).ok


@pytest.mark.parametrize("change", CHANGES)
def test_they_are_refused_in_replica_mode_too(conn: Connection, change: str) -> None:
    conn.execute("set session_replication_role = replica")
    with pytest.raises(psycopg.errors.RestrictViolation, match="is append-only"):
        conn.execute(change.encode())
    assert verify(conn).ok


@pytest.mark.parametrize(
    "change",
    [
        "update evidence.head set seq = 1, hash = (select hash from evidence.ledger where seq = 1)",
        "update evidence.head set seq = 3",
        "update evidence.head set hash = repeat('a', 64)",
        "update evidence.head set only_row = only_row",
    ],
)
def test_the_head_cannot_be_set(owner: Connection, change: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match=r"follows evidence.ledger and cannot be set"):
        owner.execute(change.encode())
    assert verify(owner).ok


@pytest.mark.parametrize(
    ("seq", "words"), [(1, "record 1 cannot follow"), (2, "record 2 cannot"), (4, "record 4 cannot")]
)
def test_a_record_that_repeats_or_leaves_out_a_number_is_refused(
    owner: Connection, seq: int, words: str
) -> None:
    entry = entry_text(seq, NOW, "test.fact", "s", {}, head(owner).hash)
    with pytest.raises(psycopg.errors.CheckViolation, match=words):
        owner.execute(INSERT, (seq, NOW, "test.fact", "s", entry, sha256_hex(entry.encode())))


def test_a_record_that_follows_the_wrong_hash_is_refused(owner: Connection) -> None:
    entry = entry_text(3, NOW, "test.fact", "s", {}, GENESIS)
    with pytest.raises(psycopg.errors.CheckViolation, match="does not say what its columns say"):
        owner.execute(INSERT, (3, NOW, "test.fact", "s", entry, sha256_hex(entry.encode())))


def test_a_record_with_the_wrong_hash_is_refused(owner: Connection) -> None:
    entry = entry_text(3, NOW, "test.fact", "s", {}, head(owner).hash)
    with pytest.raises(psycopg.errors.CheckViolation, match="is not the SHA-256 of its entry"):
        owner.execute(INSERT, (3, NOW, "test.fact", "s", entry, sha256_hex(entry.encode() + b"\n")))


@pytest.mark.parametrize(
    ("column", "value"),
    [("kind", "test.other"), ("subject", "t"), ("at", NOW.replace(microsecond=1)), ("seq", 4)],
)
def test_a_record_whose_entry_says_something_else_than_its_columns_is_refused(
    owner: Connection, column: str, value: object
) -> None:
    said = {"seq": 3, "at": NOW, "kind": "test.fact", "subject": "s"}
    entry = entry_text(**{**said, column: value}, body={}, prev=head(owner).hash)  # type: ignore[arg-type]
    with pytest.raises(psycopg.errors.CheckViolation, match="does not say what its columns say"):
        owner.execute(INSERT, (*said.values(), entry, sha256_hex(entry.encode())))


@pytest.mark.parametrize("entry", ["", "{}", "not json", "[]"])
def test_an_entry_that_is_no_record_is_refused(owner: Connection, entry: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="does not say"):
        owner.execute(INSERT, (3, NOW, "test.fact", "s", entry, sha256_hex(entry.encode())))


def test_an_entry_whose_body_is_not_json_is_refused(owner: Connection) -> None:
    entry = entry_text(3, NOW, "test.fact", "s", {"a": 1}, head(owner).hash).replace('{"a":1}', '{"a":1,}')
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        owner.execute(INSERT, (3, NOW, "test.fact", "s", entry, sha256_hex(entry.encode())))


def test_two_records_in_one_statement_are_refused(owner: Connection) -> None:
    first = entry_text(3, NOW, "test.fact", "s", {}, head(owner).hash)
    second = entry_text(4, NOW, "test.fact", "s", {}, sha256_hex(first.encode()))
    rows = [(n, NOW, "test.fact", "s", e, sha256_hex(e.encode())) for n, e in ((3, first), (4, second))]
    with pytest.raises(psycopg.errors.CheckViolation, match=r"appended one at a time|record 4 cannot follow"):
        owner.execute(INSERT + ", (%s, %s, %s, %s, %s, %s)", (*rows[0], *rows[1]))
    assert verify(owner).records == 2


def test_a_subject_with_quotes_and_backslashes_passes_the_frame_check(conn: Connection) -> None:
    record = append(conn, kind="test.fact", subject='a "quoted" \\ back\\\\slash "', body={}, now=NOW)
    assert record.subject == 'a "quoted" \\ back\\\\slash "'
    assert verify(conn).ok


def test_what_the_database_refuses_reaches_the_caller_as_a_ledger_error(conn: Connection) -> None:
    with pytest.raises(LedgerError, match="ledger_kind_check"):
        append(conn, kind="NotAKind", subject="s", body={}, now=NOW)
    assert add(conn, 3).seq == 3


def test_a_role_without_rights_sees_nothing(conn: Connection) -> None:
    conn.execute("create role tidewatch_stranger_of_test")
    try:
        conn.execute("set role tidewatch_stranger_of_test")
        for query in ("select * from evidence.ledger", "select * from evidence.lock_head()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(query.encode())
    finally:
        conn.execute("reset role")
        conn.execute("drop role tidewatch_stranger_of_test")


def test_a_writer_needs_no_more_than_the_documented_grants(conn: Connection) -> None:
    conn.execute("create role tidewatch_writer_of_test")
    try:
        for grant in WRITER_GRANTS:
            conn.execute(f"grant {grant} to tidewatch_writer_of_test".encode())
        conn.execute("set role tidewatch_writer_of_test")
        assert add(conn, 3).seq == 3
        assert verify(conn).ok
    finally:
        conn.execute("reset role")
        conn.execute("drop owned by tidewatch_writer_of_test")
        conn.execute("drop role tidewatch_writer_of_test")
