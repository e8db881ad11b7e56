"""Cutting an archive into its blocks, and passing them on in pieces."""

import io
import os
import struct
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatch.core.errors import IntegrityError, UnsupportedVersion
from tidewatch.restore import roles
from tidewatch.restore.spool import Closed, Room, Spool
from tidewatch.restore.toc import Begin, End, Entry, Head, pieces, read_head

HEAD = Head(b"head", 4, "ops", ())


def integer(value: int) -> bytes:
    return b"\0" + struct.pack("<i", value)


def data(number: int, chunks: list[bytes]) -> bytes:
    body = b"".join(integer(len(c)) + c for c in chunks if c)
    return b"\x01" + integer(number) + body + integer(0)


def blobs(number: int, contents: list[bytes]) -> bytes:
    body = b"".join(
        integer(oid) + (integer(len(c)) + c if c else b"") + integer(0) for oid, c in enumerate(contents, 1)
    )
    return b"\x03" + integer(number) + body + integer(0)


blocks_of = st.lists(
    st.tuples(st.booleans(), st.lists(st.binary(max_size=40), max_size=5)), min_size=0, max_size=6
)


class Dribble:
    """A stream that gives so many bytes at a time."""

    def __init__(self, body: bytes, step: int) -> None:
        self._file, self._step = io.BytesIO(body), step

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, self._step))


NAMES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=12)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@given(st.lists(st.tuples(NAMES, NAMES, NAMES, st.sampled_from(["new", "old", "above"])), max_size=4))
@settings(deadline=None)
def test_new_tables_are_emptied_in_the_transaction_that_fills_them_and_no_others(
    tables: list[tuple[str, str, str, str]],
) -> None:
    raw, expected, entries = b"begin", b"begin", []
    for number, (schema, table, column, kind) in enumerate(tables):
        name = f"{quoted(schema)}.{quoted(table + 'x' if kind == 'above' else table)}"
        copy = f"COPY {name} ({quoted(column)}) FROM stdin;\n"
        fresh = (
            f"TRUNCATE TABLE ONLY {name}; COPY {name} ({quoted(column)}) FROM stdin WITH (FREEZE);\n"
            if kind == "new"
            else copy
        )
        needs = (1000 + number,) if kind == "old" else (number,)
        entries.append(
            Entry(number, table, "TABLE DATA", "data", "", schema, "", "", needs, True, copy, len(raw))
        )
        raw += integer(len(copy.encode())) + copy.encode() + b"more"
        expected += integer(len(fresh.encode())) + fresh.encode() + b"more"
    head = Head(raw, 4, "ops", tuple(entries))
    assert head.into_new(set(range(len(tables)))).raw == expected


@given(blocks_of, st.integers(1, 60), st.integers(0, 30))
@settings(deadline=None)
def test_blocks_come_out_as_they_went_in_however_they_arrive(
    made: list[tuple[bool, list[bytes]]], step: int, ahead: int
) -> None:
    whole = [blobs(n, c) if large else data(n, c) for n, (large, c) in enumerate(made)]
    body = b"".join(whole)
    found: list[bytes] = []
    numbers: list[int] = []
    is_open = False
    for piece in pieces(HEAD, body[:ahead], Dribble(body[ahead:], step)):
        if isinstance(piece, Begin):
            assert not is_open
            is_open = True
            numbers.append(piece.number)
            found.append(b"")
        elif isinstance(piece, End):
            is_open = False
        else:
            assert is_open
            found[-1] += piece
    assert not is_open
    assert (found, numbers) == (whole, list(range(len(made))))


@given(blocks_of.filter(bool), st.integers(1, 60), st.data())
@settings(deadline=None)
def test_an_archive_that_is_cut_inside_a_block_is_an_error(
    made: list[tuple[bool, list[bytes]]], step: int, drawn: st.DataObject
) -> None:
    whole = [blobs(n, c) if large else data(n, c) for n, (large, c) in enumerate(made)]
    body = b"".join(whole)
    ends = {sum(map(len, whole[:n])) for n in range(len(whole) + 1)}
    cut = drawn.draw(st.integers(0, len(body)).filter(lambda at: at not in ends))
    with pytest.raises(IntegrityError):
        list(pieces(HEAD, b"", Dribble(body[:cut], step)))


def test_what_is_no_archive_of_a_known_format_is_told() -> None:
    for body, error in (
        (b"", IntegrityError),
        (b"PGDMP\x01\x10", IntegrityError),
        (b"SELECT 1;" * 9, IntegrityError),
        (b"PGDMP\x01\x63\x00\x04\x08\x01" + bytes(200), UnsupportedVersion),
        (b"PGDMP\x01\x10\x00\x04\x08\x03" + bytes(200), IntegrityError),
    ):
        with pytest.raises(error):
            read_head(io.BytesIO(body))


@given(st.lists(st.binary(max_size=300), max_size=20))
@settings(deadline=None, max_examples=30)
def test_what_is_spooled_comes_out_whole_while_it_is_written(written: list[bytes]) -> None:
    spool, (reading, writing) = Spool(Path(tempfile.gettempdir()), Room(1 << 30)), os.pipe()
    got: list[bytes] = []

    def read() -> None:
        with os.fdopen(reading, "rb") as file:
            got.append(file.read())

    def pass_on() -> None:
        spool.into(writing)
        os.close(writing)

    threads = [threading.Thread(target=each) for each in (read, pass_on)]
    for thread in threads:
        thread.start()
    for piece in written:
        spool.append(piece)
    spool.end()
    for thread in threads:
        thread.join()
    assert got == [b"".join(written)]


def test_who_waits_for_room_is_let_go_when_nobody_reads_any_more(tmp_path: Path) -> None:
    room = Room(10)
    spool = Spool(tmp_path, room)
    spool.append(b"x" * 10)
    ended = threading.Event()

    def write() -> None:
        try:
            spool.append(b"y")
        except Closed:
            ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    room.close()
    thread.join(30)
    assert ended.is_set()
    spool.close()
    with pytest.raises(Closed):
        spool.into(1)


def test_a_script_of_roles_is_cut_at_its_semicolons_and_nowhere_else() -> None:
    script = (
        "--\n-- PostgreSQL database cluster dump; a comment\n--\n\n\\restrict abc\n\n"
        'CREATE ROLE "a;b ""c""";\nALTER ROLE "a;b ""c""" WITH LOGIN;\n'
        "COMMENT ON ROLE x IS 'it''s; -- not a comment';\n\\unrestrict abc\n"
    )
    assert list(roles.statements(script)) == [
        'CREATE ROLE "a;b ""c""";',
        'ALTER ROLE "a;b ""c""" WITH LOGIN;',
        "COMMENT ON ROLE x IS 'it''s; -- not a comment';",
    ]
