"""A finding is opened once, counted when seen again, and closed with a reason, all of it in the ledger."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from ledger_tools import NOW
from test_ledger_guards import WRITER_GRANTS

from tidewatch.core.database import Connection, connect
from tidewatch.core.errors import LedgerError
from tidewatch.core.settings import load_settings
from tidewatch.evidence.findings import Finding, close_finding, findings, open_finding, open_findings
from tidewatch.evidence.ledger import records, verify

HOUR = timedelta(hours=1)
FINDING_GRANT = "select, insert, update on evidence.findings"


@pytest.fixture
def conn(warehouse: str) -> Iterator[Connection]:
    with connect(warehouse, application_name="tests") as connection:
        yield connection


def found(conn: Connection, key: str = "restore:ops:cn-east", hours: int = 0, **changes: Any) -> Finding:
    given: dict[str, Any] = {
        "key": key,
        "kind": "restore.failed",
        "severity": "critical",
        "source": "ops",
        "region": "cn-east",
        "subject": "rt-1",
        "said_zh": "恢复失败",
        "said_en": "The restore failed",
        "detail": {"table": "public.posts", "rows": 3},
        "now": NOW + hours * HOUR,
    }
    return open_finding(conn, **{**given, **changes})


def kinds(conn: Connection) -> list[str]:
    return [record.kind for record in records(conn)]


def test_a_finding_is_opened_with_a_record_that_says_the_same(conn: Connection) -> None:
    opened = found(conn)
    (record,) = records(conn)
    assert (record.kind, record.subject, record.seq) == ("finding.opened", "rt-1", opened.opened_seq)
    assert record.body["key"] == opened.key
    assert record.body["detail"] == opened.detail == {"table": "public.posts", "rows": 3}
    assert (opened.opened_at, opened.last_seen_at, opened.times_seen) == (NOW, NOW, 1)
    assert opened.closed_at is opened.closed_by is opened.closed_why is opened.closed_seq is None
    assert open_findings(conn) == [opened]


def test_seen_again_it_is_counted_and_not_recorded_again(conn: Connection) -> None:
    first = found(conn)
    again = found(conn, hours=2, said_en="Another text", detail={})
    assert (again.finding_id, again.times_seen, again.last_seen_at) == (first.finding_id, 2, NOW + 2 * HOUR)
    assert again.said_en == first.said_en
    assert kinds(conn) == ["finding.opened"]
    assert found(conn, hours=-1).last_seen_at == again.last_seen_at, "a clock behind turns nothing back"


def test_it_is_closed_once_and_opened_anew_afterwards(conn: Connection) -> None:
    opened = found(conn)
    found(conn, hours=1)
    closed = close_finding(conn, opened.key, by="rt-2", why="a later test passed", now=NOW + 2 * HOUR)
    assert closed is not None
    assert (closed.closed_by, closed.closed_why, closed.closed_at) == (
        "rt-2",
        "a later test passed",
        NOW + 2 * HOUR,
    )
    record = list(records(conn))[-1]
    assert (record.kind, record.seq, record.subject) == ("finding.closed", closed.closed_seq, "rt-1")
    assert (record.body["opened_seq"], record.body["times_seen"]) == (opened.opened_seq, 2)
    assert close_finding(conn, opened.key, by="x", why="y", now=NOW) is None
    assert open_findings(conn) == []
    assert found(conn, hours=3).finding_id != opened.finding_id
    assert kinds(conn) == ["finding.opened", "finding.closed", "finding.opened"]
    assert verify(conn).ok


def test_a_finding_closed_by_a_clock_behind_is_closed_when_it_was_opened(conn: Connection) -> None:
    opened = found(conn)
    closed = close_finding(conn, opened.key, by="rt-2", why="passed", now=NOW - HOUR)
    assert closed is not None
    assert closed.closed_at == NOW


def test_closing_without_saying_who_or_why_is_refused(conn: Connection) -> None:
    opened = found(conn)
    for by, why in (("", "why"), ("who", "")):
        with pytest.raises(LedgerError, match=r"does not fit a record finding\.closed"):
            close_finding(conn, opened.key, by=by, why=why, now=NOW)
    assert open_findings(conn) == [opened]


def test_a_period_has_what_was_open_at_any_moment_of_it(conn: Connection) -> None:
    before, across, within, after = (
        found(conn, key, hours=h) for key, h in (("a", 0), ("b", 1), ("c", 3), ("d", 9))
    )
    close_finding(conn, before.key, by="x", why="y", now=NOW + HOUR)
    close_finding(conn, across.key, by="x", why="y", now=NOW + 4 * HOUR)
    period = findings(conn, since=NOW + 2 * HOUR, until=NOW + 9 * HOUR)
    assert [f.key for f in period] == [across.key, within.key]
    assert [f.key for f in open_findings(conn, kind="restore.failed")] == [within.key, after.key]
    assert open_findings(conn, kind="other.kind") == []


def test_the_transaction_is_the_callers(warehouse: str, conn: Connection) -> None:
    found(conn)
    conn.rollback()
    assert (open_findings(conn), kinds(conn)) == ([], [])
    with connect(warehouse, application_name="tests", autocommit=True) as other:
        found(other)
    assert [f.times_seen for f in open_findings(conn)] == [1]


def test_findings_of_several_writers_at_once_are_opened_once_and_lock_nobody_out(warehouse: str) -> None:
    def write(keys: str) -> None:
        with connect(warehouse, application_name="tests") as conn:
            for key in keys:  # in other orders: would deadlock if each key had a lock of its own
                found(conn, key)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, ("ab", "ba", "ab", "ba")))
    with connect(warehouse, application_name="tests") as conn:
        assert sorted((f.key, f.times_seen) for f in open_findings(conn)) == [("a", 4), ("b", 4)]
        assert kinds(conn) == ["finding.opened"] * 2


def test_a_role_that_only_writes_can_open_and_close(warehouse: str) -> None:
    with connect(warehouse, application_name="tests", autocommit=True) as conn:
        conn.execute("create role tidewatch_finder_of_test")
        try:
            for grant in (*WRITER_GRANTS, FINDING_GRANT):
                conn.execute(f"grant {grant} to tidewatch_finder_of_test".encode())
            conn.execute("set role tidewatch_finder_of_test")
            opened = found(conn)
            assert close_finding(conn, opened.key, by="x", why="y", now=NOW) is not None
        finally:
            conn.execute("reset role")
            conn.execute("drop owned by tidewatch_finder_of_test")
            conn.execute("drop role tidewatch_finder_of_test")
    page = (load_settings().project / "docs" / "ledger.md").read_text(encoding="utf-8")
    assert f"grant {FINDING_GRANT} to writer;" in page


def test_texts_of_others_are_redacted_and_always_writable(conn: Connection) -> None:
    hostile = "postgres://u:hunter2@db/x \x00 \ud83d"
    opened = found(conn, said_en=hostile, detail={"list": [hostile], "n\0": {"deep": hostile}})
    assert "hunter2" not in f"{opened}{[r.body for r in records(conn)]}"
    assert verify(conn).ok


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": ""},
        {"key": "x" * 401},
        {"kind": "failed"},
        {"severity": "fatal"},
        {"subject": ""},
        {"detail": {"rate": float("nan")}},
    ],
)
def test_a_finding_that_is_none_is_refused_before_anything_is_written(
    conn: Connection, wrong: dict[str, Any]
) -> None:
    with pytest.raises(LedgerError):
        found(conn, **wrong)
    conn.rollback()
    assert (open_findings(conn), kinds(conn)) == ([], [])
