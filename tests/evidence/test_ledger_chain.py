"""The chain: what is appended verifies, and every change made past the triggers is found and named."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_tools import NOW, add, forge, move_head, triggers_off

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.database import Connection, connect
from tidewatch.core.errors import LedgerError
from tidewatch.evidence.ledger import GENESIS, Head, append, head, records, verify
from tidewatch.evidence.record import entry_text

# Not too_slow either: examples wait for a database, which on a busy machine says nothing about the strategy.
PROPERTY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SAFE = 2**53 - 1

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-SAFE, SAFE)
    | st.text(max_size=30)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda f: not SAFE < abs(f) < 1e21),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
bodies = st.dictionaries(st.text(max_size=12), json_values, max_size=5)
kinds = st.sampled_from(["test.fact", "test.other_fact", "backup2.x.y"])
subjects = st.text(
    st.characters(codec="utf-8", exclude_characters=[*map(chr, range(32)), "\x7f"]), min_size=1, max_size=40
)
times = st.datetimes(datetime(2020, 1, 1), datetime(2200, 1, 1)).map(lambda t: t.replace(tzinfo=UTC))  # noqa: DTZ001


@pytest.fixture
def conn(warehouse: str) -> Any:
    with connect(warehouse, application_name="tests") as connection:
        yield connection


@PROPERTY
@given(st.lists(st.tuples(kinds, subjects, bodies, times), max_size=8))
def test_any_sequence_of_appends_verifies_and_reads_back_as_written(
    conn: Connection, facts: list[tuple[str, str, dict[str, Any], datetime]]
) -> None:
    written = [append(conn, kind=k, subject=s, body=b, now=t) for k, s, b, t in facts]

    report = verify(conn)
    assert (report.ok, report.records, report.problems) == (True, len(facts), [])
    assert report.head == head(conn)
    assert list(records(conn)) == written
    prev = GENESIS
    for number, (record, (kind, subject, body, at)) in enumerate(zip(written, facts, strict=True), 1):
        assert (record.seq, record.kind, record.subject, record.prev) == (number, kind, subject, prev)
        assert record.at == at
        assert rfc8785.dumps(dict(record.body)) == rfc8785.dumps(body)
        prev = record.hash
    conn.rollback()


@PROPERTY
@given(kinds, subjects, bodies, times)
def test_the_stored_text_is_exactly_the_canonical_text_that_was_hashed(
    conn: Connection, kind: str, subject: str, body: dict[str, Any], at: datetime
) -> None:
    record = append(conn, kind=kind, subject=subject, body=body, now=at)
    stored = conn.execute("select * from evidence.ledger where seq = %s", (record.seq,)).fetchone()
    conn.rollback()

    assert stored is not None
    moment = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    canonical = rfc8785.dumps(
        {"at": moment, "body": body, "kind": kind, "prev": GENESIS, "seq": 1, "subject": subject}
    )
    assert stored["entry"].encode() == canonical
    assert stored["hash"] == record.hash == hashlib.sha256(canonical).hexdigest()
    assert (stored["at"], stored["kind"], stored["subject"]) == (at, kind, subject)


@pytest.mark.parametrize(
    "text",
    [
        "é",  # one code point
        "e\u0301",  # the same letter in two: it stays two
        "观潮 🌊 \U0001f469\u200d\U0001f4bb",
        "\u202egnirts \u2066hidden\u2069 \ufeff\u2028\u2029",
        '\x00\x01\x1f\x7f\x80 tab\t newline\r\n quote" backslash\\ slash/',
        '}"},"kind":"forged.kind","prev":"0","seq":9,"subject":"x"}',
        "\U0010ffff\ufffd",
    ],
)
def test_odd_text_is_kept_code_point_by_code_point(conn: Connection, text: str) -> None:
    record = append(conn, kind="test.fact", subject="s", body={text: text}, now=NOW)
    (back,) = records(conn)
    assert back.body == {text: text}
    assert back == record
    assert verify(conn).ok


@pytest.mark.parametrize("number", [0.1, -0.0, 1e-7, 5e-324, 1e15, 1e21, 1.7976931348623157e308, SAFE, -SAFE])
def test_numbers_survive_and_the_record_still_verifies(conn: Connection, number: float) -> None:
    append(conn, kind="test.fact", subject="s", body={"n": number}, now=NOW)
    (back,) = records(conn)
    assert back.body["n"] == number
    assert verify(conn).ok


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"rows": SAFE + 1}, "9007199254740992"),
        ({"rows": [-(2**53)]}, "-9007199254740992"),
        ({"share": float("nan")}, "nan"),
        ({"rows": 2.0**53}, "9007199254740992"),
        ({"rows": [1e20]}, "1e[+]20"),
        ({"share": float("inf")}, "inf"),
        ({"at": NOW}, "datetime"),
        ({"raw": b"bytes"}, "bytes"),
        ({1: "a"}, "keys must be strings"),
        ({"half": "\ud83d"}, "not Unicode"),
        ({"\ud83d": 1, "b": 2}, "not Unicode"),
    ],
)
def test_what_json_cannot_carry_exactly_is_refused_with_the_way_out(
    conn: Connection, body: dict[Any, Any], words: str
) -> None:
    with pytest.raises(LedgerError, match=words) as caught:
        append(conn, kind="test.fact", subject="s", body=body, now=NOW)
    assert "as strings" in caught.value.do
    add(conn, 1)  # the transaction is still usable
    assert verify(conn).ok


def test_a_body_nested_too_deep_and_a_body_too_large_are_refused(conn: Connection) -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(LedgerError, match="nested too deep"):
        append(conn, kind="test.fact", subject="s", body=deep, now=NOW)
    with pytest.raises(LedgerError, match="too large"):
        append(conn, kind="test.fact", subject="s", body={"a": "x" * 5_000_000}, now=NOW)


@pytest.mark.parametrize("subject", ["", "two\nlines", "x" * 401, "bell\x07"])
def test_a_subject_that_cannot_be_printed_is_refused(conn: Connection, subject: str) -> None:
    with pytest.raises(LedgerError, match="subject of 1 to 400 characters"):
        append(conn, kind="test.fact", subject=subject, body={}, now=NOW)


@pytest.mark.parametrize("kind", ["Backup.Started", "backup", "备份.开始", "a.b\n", "a..b"])
def test_a_kind_that_is_not_a_dotted_name_is_refused(conn: Connection, kind: str) -> None:
    with pytest.raises(LedgerError, match="kind such as"):
        append(conn, kind=kind, subject="s", body={}, now=NOW)


def test_the_time_is_recorded_in_utc_and_a_naive_time_is_refused(conn: Connection) -> None:
    shanghai = timezone(timedelta(hours=8))
    record = append(conn, kind="test.fact", subject="s", body={}, now=NOW.astimezone(shanghai))
    assert record.at == NOW
    assert record.at.utcoffset() == timedelta(0)
    with pytest.raises(ValueError, match="without a zone"):
        append(conn, kind="test.fact", subject="s", body={}, now=NOW.replace(tzinfo=None))


def test_records_are_filtered_by_seq_kind_and_subject_and_cross_page_borders(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewatch.evidence.ledger._PAGE", 3)
    for number in range(10):
        append(conn, kind=f"test.k{number % 2}", subject=f"s{number % 3}", body={}, now=NOW)
    assert [r.seq for r in records(conn)] == list(range(1, 11))
    assert [r.seq for r in records(conn, since_seq=9)] == [9, 10]
    assert [r.seq for r in records(conn, kind="test.k0")] == [1, 3, 5, 7, 9]
    assert [r.seq for r in records(conn, 2, kind="test.k0", subject="s0")] == [7]


# --- changes made past the triggers ---


def alter_entry(conn: Connection, seq: int) -> int:
    conn.execute(
        "update evidence.ledger set entry = replace(entry, '\"n\":', '\"m\":') where seq = %s", (seq,)
    )
    return seq


def alter_hash(conn: Connection, seq: int) -> int:
    conn.execute("update evidence.ledger set hash = reverse(hash) where seq = %s", (seq,))
    return seq


def alter_time(conn: Connection, seq: int) -> int:
    conn.execute("update evidence.ledger set at = at + interval '1 microsecond' where seq = %s", (seq,))
    return seq


def time_becomes_infinite(conn: Connection, seq: int) -> int:
    conn.execute("update evidence.ledger set at = 'infinity' where seq = %s", (seq,))
    return seq


def alter_kind(conn: Connection, seq: int) -> int:
    conn.execute("update evidence.ledger set kind = 'test.other' where seq = %s", (seq,))
    return seq


def alter_subject(conn: Connection, seq: int) -> int:
    conn.execute("update evidence.ledger set subject = 'someone else' where seq = %s", (seq,))
    return seq


def alter_entry_and_its_hash(conn: Connection, seq: int) -> int:
    forge(conn, seq, {"body": {"n": "forged"}})
    # The record is sound in itself; the link from the next one breaks (or the head, for the last one).
    last = head(conn).seq
    return seq if seq == last else seq + 1


def entry_is_not_json(conn: Connection, seq: int) -> int:
    broken = "[" * 50_000
    digest = hashlib.sha256(broken.encode()).hexdigest()
    conn.execute("update evidence.ledger set entry = %s, hash = %s where seq = %s", (broken, digest, seq))
    return seq


def entry_is_not_canonical(conn: Connection, seq: int) -> int:
    row = conn.execute("select entry from evidence.ledger where seq = %s", (seq,)).fetchone()
    assert row is not None
    spaced = json.dumps(json.loads(row["entry"]))
    digest = hashlib.sha256(spaced.encode()).hexdigest()
    conn.execute("update evidence.ledger set entry = %s, hash = %s where seq = %s", (spaced, digest, seq))
    return seq


def delete(conn: Connection, seq: int) -> int:
    conn.execute("delete from evidence.ledger where seq = %s", (seq,))
    return seq


def insert_before(conn: Connection, seq: int) -> int:
    shifted = "update evidence.ledger set seq = seq + %s where seq >= %s"
    conn.execute(shifted, (1_000_000, seq))
    conn.execute(
        "insert into evidence.ledger select 1000000 + %s - 1, at, kind, subject, entry, repeat('a', 64) "
        "from evidence.ledger limit 1",
        (seq,),
    )
    conn.execute("update evidence.ledger set seq = seq - 999999 where seq >= 1000000")
    return seq


def swap_with_next(conn: Connection, seq: int) -> int:
    last = head(conn).seq
    other = seq + 1 if seq < last else seq - 1
    conn.execute("update evidence.ledger set seq = 1000000 where seq = %s", (seq,))
    conn.execute("update evidence.ledger set seq = %s where seq = %s", (seq, other))
    conn.execute("update evidence.ledger set seq = %s where seq = 1000000", (other,))
    return min(seq, other)


def swap_columns_and_keep_the_chain_of_hashes(conn: Connection, seq: int) -> int:
    forge(conn, seq, {"seq": seq + 1})
    return seq


ALTERATIONS = [
    alter_entry,
    alter_hash,
    alter_time,
    time_becomes_infinite,
    alter_kind,
    alter_subject,
    alter_entry_and_its_hash,
    entry_is_not_json,
    entry_is_not_canonical,
    delete,
    insert_before,
    swap_with_next,
    swap_columns_and_keep_the_chain_of_hashes,
]


@settings(PROPERTY, max_examples=150)
@given(st.sampled_from(ALTERATIONS), st.integers(2, 9), st.data())
def test_a_single_change_past_the_triggers_is_found_and_its_first_bad_record_named(
    conn: Connection, change: Any, length: int, data: st.DataObject
) -> None:
    for number in range(1, length + 1):
        add(conn, number)
    seq = data.draw(st.integers(1, length))
    with triggers_off(conn):
        first_bad = change(conn, seq)
        report = verify(conn)
    conn.rollback()

    assert not report.ok
    assert report.first_bad_seq == first_bad
    assert f"{first_bad}" in report.problems[0]
    with pytest.raises(LedgerError, match=f"{first_bad}"):
        report.raise_if_broken()


@PROPERTY
@given(st.integers(1, 8), st.data())
def test_a_cut_is_found_by_the_head_and_a_cut_with_its_head_by_the_anchor(
    conn: Connection, length: int, data: st.DataObject
) -> None:
    for number in range(1, length + 1):
        add(conn, number)
    anchored = head(conn)
    left = data.draw(st.integers(0, length - 1))
    with triggers_off(conn):
        conn.execute("delete from evidence.ledger where seq > %s", (left,))
        cut = verify(conn)
        move_head(conn)
        hidden, found = verify(conn), verify(conn, expect=anchored)
    conn.rollback()

    assert (cut.ok, cut.first_bad_seq) == (False, left + 1)
    assert hidden.ok  # one database cannot know what it has forgotten: hence the anchor
    assert (found.ok, found.first_bad_seq) == (False, left + 1)
    assert "cut from the end" in found.problems[0]


@PROPERTY
@given(st.integers(2, 7), st.data())
def test_a_chain_rewritten_consistently_is_found_by_the_anchor_only(
    conn: Connection, length: int, data: st.DataObject
) -> None:
    for number in range(1, length + 1):
        add(conn, number)
    anchored = head(conn)
    start = data.draw(st.integers(1, length))
    with triggers_off(conn):
        forge(conn, start, {"body": {"n": "forged"}})
        for seq in range(start + 1, length + 1):
            row = conn.execute("select hash from evidence.ledger where seq = %s", (seq - 1,)).fetchone()
            assert row is not None
            forge(conn, seq, {"prev": row["hash"]})
        move_head(conn)
        hidden, found = verify(conn), verify(conn, expect=anchored)
    conn.rollback()

    assert hidden.ok
    assert (found.ok, found.first_bad_seq) == (False, length)
    assert "was rewritten" in found.problems[0]


def test_an_anchor_in_the_middle_of_a_sound_chain_fits(conn: Connection) -> None:
    assert verify(conn, expect=Head(0, GENESIS)).ok
    add(conn, 1)
    anchored = head(conn)
    add(conn, 2)
    assert verify(conn, expect=anchored).ok
    assert verify(conn, expect=Head(0, GENESIS)).ok
    assert not verify(conn, expect=Head(1, head(conn).hash)).ok
    assert not verify(conn, expect=Head(3, "a" * 64)).ok


def test_a_row_put_behind_the_head_and_a_removed_head_are_found(conn: Connection) -> None:
    first = add(conn, 1)
    conn.commit()
    with triggers_off(conn):
        entry = entry_text(2, NOW, "test.fact", "s", {}, first.hash)
        conn.execute(
            "insert into evidence.ledger values (2, %s, 'test.fact', 's', %s, %s)",
            (NOW, entry, sha256_hex(entry.encode())),
        )
        report = verify(conn)
        assert report.first_bad_seq == 2
        assert "did not come in through the ledger" in report.problems[0]
        conn.rollback()
    with triggers_off(conn):
        conn.execute("delete from evidence.head")
        assert "head is missing" in verify(conn).problems[0]
        with pytest.raises(LedgerError, match="lost its head"):
            head(conn)
        with pytest.raises(LedgerError, match="lost its head"):
            add(conn, 2)
        conn.rollback()
    assert verify(conn).ok


def test_an_empty_ledger_verifies_and_a_report_names_at_most_twenty_problems(conn: Connection) -> None:
    empty = verify(conn)
    assert (empty.ok, empty.records, empty.head) == (True, 0, Head(0, GENESIS))
    for number in range(30):
        add(conn, number)
    with triggers_off(conn):
        conn.execute("update evidence.ledger set kind = 'test.other'")
        report = verify(conn)
    assert len(report.problems) == 21
    assert report.problems[-1] == "and 10 more"
