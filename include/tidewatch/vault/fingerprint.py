"""The fingerprint of a database: what it held at one snapshot, in digests.

Taken in a REPEATABLE READ READ ONLY transaction, so every query sees the same rows; a pg_dump that adopts the
exported snapshot of that transaction sees them too. It covers what pg_dump saves: ordinary and unlogged
tables, partitions, materialized views, configuration tables of extensions, sequences, large objects, the
schema, grants, and the roles besides. What cannot be read is an error that names it, never a gap.

The digests do not depend on the order of rows or on the settings of server and session (they are pinned), and
those of rows not on the major version of PostgreSQL either. Definitions are written by the server's own
functions, whose wording changes between major versions: compare schemas on one major version.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql

from tidewatch.core.canonical import digest
from tidewatch.core.database import Connection, execute, statement
from tidewatch.core.errors import SourceError, SourcePermission
from tidewatch.core.progress import Progress, silent
from tidewatch.vault.copyrows import RowReader
from tidewatch.vault.facts import (
    DatabaseFingerprint,
    LargeObjects,
    SequenceFingerprint,
    TableFingerprint,
)
from tidewatch.vault.rowset import RowSet
from tidewatch.vault.schema_facts import extensions, grant_digests, role_digests, schema_digests
from tidewatch.vault.session import changed, pin, reading, rows_as_stored, translated

__all__ = ["DatabaseFingerprint", "fingerprint_database", "lock_relations", "with_sequences_after"]

_LOCKS_A_STATEMENT = 200
_SEQUENCES_A_QUERY = 200
_TABLES_A_SAVEPOINT = 64
_PROGRESS_EVERY_S = 5.0
_NAMED_AT_MOST = 20
_ROW_KINDS = ("r", "m")


@dataclass(frozen=True)
class _Relation:
    """A row of sql/vault/relations.sql."""

    oid: int
    schema_name: str
    name: str
    relkind: str
    relispartition: bool
    relispopulated: bool
    relfilenode: int
    extension_condition: str | None
    of_extension: bool
    schema_usage: bool
    readable: bool
    hides_rows: bool
    only_on_primary: bool
    columns: list[str] | None

    @property
    def label(self) -> str:
        return f"{self.schema_name}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema_name, self.name)

    @property
    def kind(self) -> Literal["table", "partition", "matview", "extension_config"]:
        if self.relkind == "m":
            return "matview"
        if self.of_extension:
            return "extension_config"
        return "partition" if self.relispartition else "table"


def fingerprint_database(
    conn: Connection, *, progress: Progress = silent, lock_timeout_seconds: int = 30
) -> DatabaseFingerprint:
    """Read everything once and return its digests; memory does not grow with the data.

    `conn` is in a REPEATABLE READ READ ONLY transaction, which stays open and keeps the locks. Raises
    SourcePermission (naming all that may not be read), SourceChanged (locked, dropped or rewritten
    meanwhile), SourceUnreachable, SourceError.
    """
    with reading("the catalogue of the database"):
        pin(conn, lock_timeout_seconds=lock_timeout_seconds)
        relations = _relations(conn)
    _lock(conn, relations)
    with reading("sequences"):
        sequences = _sequences(conn, relations)
    tables = _tables(conn, [r for r in relations if r.relkind in _ROW_KINDS], progress)
    large_objects = _large_objects(conn)
    with reading("the definitions in the catalogue"):
        schema_objects, schema_sha256 = schema_digests(conn)
        facts = execute(conn, "vault/database_facts").fetchone() or {}
        return DatabaseFingerprint(
            **facts,
            tables=tables,
            foreign_tables=[r.label for r in relations if r.relkind == "f"],
            sequences=sequences,
            large_objects=large_objects,
            extensions=extensions(conn),
            schema_objects=schema_objects,
            schema_sha256=schema_sha256,
            grants=grant_digests(conn),
            roles=role_digests(conn),
            content_sha256=_content(tables, large_objects),
        )


def lock_relations(conn: Connection, *, lock_timeout_seconds: int = 30) -> int:
    """Lock every table against being altered, dropped or truncated until the transaction ends, and check that
    none was since the snapshot; returns their number. Readers and writers are not disturbed.

    `fingerprint_database` does the same first. Call it before starting pg_dump, so that pg_dump, which takes
    its own locks later, finds what the snapshot shows.
    """
    with reading("the catalogue of the database"):
        pin(conn, lock_timeout_seconds=lock_timeout_seconds)
        relations = _relations(conn)
    _lock(conn, relations)
    return sum(r.relkind in ("r", "p") for r in relations)


def with_sequences_after(conn: Connection, fingerprint: DatabaseFingerprint) -> DatabaseFingerprint:
    """`fingerprint` with the values that its sequences have now, after the dump. Any open transaction will
    do: sequences show their present value to every snapshot."""
    with reading("sequences"):
        now = {(s.schema_name, s.name): s for s in _sequences(conn, _relations(conn))}
    updated = []
    for before in fingerprint.sequences:
        after = now.get((before.schema_name, before.name))
        if after is None:
            raise changed(f"sequence {before.label}", "no such sequence any more")
        values = {"last_value_after": after.last_value, "is_called_after": after.is_called}
        updated.append(before.model_copy(update=values))
    return fingerprint.model_copy(update={"sequences": updated})


# -- which relations ---------------------------------------------------------------------------------------


def _relations(conn: Connection) -> list[_Relation]:
    """All relations in an order of our own (code points, not the server's collation)."""
    found = [_Relation(**row) for row in execute(conn, "vault/relations")]
    relations = sorted(found, key=lambda r: (r.schema_name, r.name))
    _refuse_unreadable(conn, relations)
    _refuse_on_standby(conn, relations)
    return relations


def _refuse_on_standby(conn: Connection, relations: Sequence[_Relation]) -> None:
    """pg_dump would leave the rows out without a word."""
    if lost := [r for r in relations if r.only_on_primary]:
        raise SourceError(
            "A standby server does not have the rows of unlogged tables",
            expected="tables whose rows can be read here",
            found=f"a standby server, and unlogged: {_names([r.label for r in lost])}",
            do=f"back up the primary, or there, as the owner: ALTER TABLE {_list(conn, lost[:1])} "
            "SET LOGGED (of a sequence: ALTER SEQUENCE)",
        )


def _refuse_unreadable(conn: Connection, relations: Sequence[_Relation]) -> None:
    read = [r for r in relations if r.relkind in (*_ROW_KINDS, "p", "S")]
    schemas = sorted({r.schema_name for r in read if not r.schema_usage})
    tables = [r for r in read if r.relkind != "S" and not r.readable]
    sequences = [r for r in read if r.relkind == "S" and not r.readable]
    hidden = [r for r in read if r.hides_rows]
    large_objects = [str(r["oid"]) for r in execute(conn, "vault/unreadable_large_objects")]
    if not (schemas or tables or sequences or hidden or large_objects):
        return
    role = (conn.execute("select quote_ident(current_user) as role").fetchone() or {})["role"]
    found, do = [], []
    if schemas:
        found.append("no USAGE on schemas " + _names(schemas))
        do.append(f"GRANT USAGE ON SCHEMA {_list(conn, schemas)} TO {role};")
    if tables:
        found.append("no SELECT on tables " + _names([t.label for t in tables]))
        do.append(f"GRANT SELECT ON {_list(conn, tables)} TO {role};")
    if sequences:
        found.append("no SELECT on sequences " + _names([s.label for s in sequences]))
        do.append(f"GRANT SELECT ON SEQUENCE {_list(conn, sequences)} TO {role};")
    if hidden:
        found.append("row-level security hides rows of " + _names([t.label for t in hidden]))
        do.append(f"ALTER ROLE {role} BYPASSRLS;")
    if large_objects:
        found.append("no SELECT on large objects " + _names(large_objects))
        do.append(f"GRANT SELECT ON LARGE OBJECT {', '.join(large_objects)} TO {role};")
    raise SourcePermission(
        f"The backup role {role} may not read all of the database",
        expected="a role that may read everything (pg_read_all_data with BYPASSRLS on 14 and later)",
        found="; ".join(found),
        do="as the owner: " + " ".join(do),
    )


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED_AT_MOST])
    more = len(names) - _NAMED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown


def _list(conn: Connection, things: Sequence[_Relation] | Sequence[str]) -> str:
    """All of them, quoted, ready to be pasted into a GRANT."""
    parts = [sql.Identifier(t) if isinstance(t, str) else t.identifier for t in things]
    return sql.SQL(", ").join(parts).as_string(conn)


# -- locks -------------------------------------------------------------------------------------------------


def _lock(conn: Connection, relations: Sequence[_Relation]) -> None:
    tables = [r for r in relations if r.relkind in ("r", "p")]
    for start in range(0, len(tables), _LOCKS_A_STATEMENT):
        batch = tables[start : start + _LOCKS_A_STATEMENT]
        try:
            with conn.transaction():
                _lock_tables(conn, batch, sql.SQL(""))
        except psycopg.errors.LockNotAvailable as error:
            raise translated(_blocked(conn, batch), error) from error
        except psycopg.Error as error:
            raise translated("one of the tables " + _names([r.label for r in batch]), error) from error
    for view in relations:
        if view.relkind == "m":
            with reading(f"materialized view {view.label}"):
                # LOCK TABLE does not take materialized views; planning a query locks it just as well.
                conn.execute(sql.SQL("explain select from only {}").format(view.identifier))
    _refuse_changed(conn, relations)


def _lock_tables(conn: Connection, tables: Sequence[_Relation], option: sql.SQL) -> None:
    names = sql.SQL(", ").join(sql.SQL("only {}").format(t.identifier) for t in tables)
    conn.execute(sql.SQL("lock table {} in access share mode {}").format(names, option))


def _blocked(conn: Connection, tables: Sequence[_Relation]) -> str:
    """PostgreSQL does not say which table the lock was refused for: try each."""
    blocked = []
    for table in tables:
        try:
            with conn.transaction():
                _lock_tables(conn, [table], sql.SQL("nowait"))
        except psycopg.errors.LockNotAvailable:
            blocked.append(table.label)
    return "table " + (_names(blocked) or "one of " + _names([t.label for t in tables]))


def _refuse_changed(conn: Connection, relations: Sequence[_Relation]) -> None:
    stored = [r for r in relations if r.relkind in (*_ROW_KINDS, "p")]
    parameters = {
        "oids": [r.oid for r in stored],
        "names": [r.identifier.as_string(conn) for r in stored],
        "filenodes": [r.relfilenode for r in stored],
    }
    with reading("the catalogue of the database"):
        moved = {row["oid"] for row in execute(conn, "vault/relations_now", parameters)}
    if moved:
        names = _names([r.label for r in stored if r.oid in moved])
        raise changed(f"table {names}", "dropped, renamed or rewritten after the snapshot was taken")


# -- content -----------------------------------------------------------------------------------------------


class _Meter:
    """Says every few seconds how far the reading is."""

    def __init__(self, progress: Progress, tables: int) -> None:
        self._progress = progress
        self._tables = tables
        self._began = self._said = time.monotonic()
        self._rows = 0
        self._done = 0

    def batch(self, rows_of_table: int, label: str) -> None:
        now = time.monotonic()
        if now - self._said >= _PROGRESS_EVERY_S:
            self._said = now
            self._line(now, self._rows + rows_of_table, f", in {label}")

    def table(self, rows: int) -> None:
        self._rows += rows
        self._done += 1

    def end(self) -> None:
        self._line(time.monotonic(), self._rows, "")

    def _line(self, now: float, rows: int, where: str) -> None:
        rate = rows / max(now - self._began, 1e-6)
        self._progress(
            f"fingerprint: {self._done}/{self._tables} tables, {rows} rows, {rate:.0f} rows/s{where}"
        )


def _tables(conn: Connection, relations: Sequence[_Relation], progress: Progress) -> list[TableFingerprint]:
    meter = _Meter(progress, len(relations))
    with reading("rows"):
        reader = RowReader(conn)
    tables = []
    for start in range(0, len(relations), _TABLES_A_SAVEPOINT):
        # Reading locks every index of a table too. Going back to a savepoint releases those locks, so the
        # server's lock table has to hold one for each table only; the tables' own were taken before.
        with conn.transaction(force_rollback=True):
            for relation in relations[start : start + _TABLES_A_SAVEPOINT]:
                with reading(f"table {relation.label}"):
                    table = _table(reader, relation, meter)
                meter.table(table.rows)
                tables.append(table)
    meter.end()
    return tables


def _table(reader: RowReader, relation: _Relation, meter: _Meter) -> TableFingerprint:
    columns = sorted(relation.columns or [])
    rows = RowSet()
    if relation.relispopulated:
        query = (
            sql.SQL("copy (select {} from only {} {}) to stdout")
            .format(
                sql.SQL(", ").join(map(sql.Identifier, columns)),
                relation.identifier,
                # The condition is SQL text of the extension's own script, as pg_dump uses it.
                sql.SQL(relation.extension_condition or ""),
            )
            .as_bytes(reader.conn)
        )
        with rows_as_stored(reader.conn):
            rows, told = reader.read(query, lambda count: meter.batch(count, relation.label))
        # One message is one row: PostgreSQL does it so, and says at the end how many rows there were.
        if told != rows.count:
            raise SourceError(
                f"Table {relation.label} was not read row by row",
                expected=f"{told} rows, as the server counts",
                found=f"{rows.count} messages",
                do="connect to the server without a proxy that cuts or joins messages",
            )
    return TableFingerprint(
        schema_name=relation.schema_name,
        name=relation.name,
        kind=relation.kind,
        columns=columns,
        rows=rows.count,
        sha256=rows.sha256,
        populated=relation.relispopulated,
    )


def _sequences(conn: Connection, relations: Sequence[_Relation]) -> list[SequenceFingerprint]:
    sequences = [r for r in relations if r.relkind == "S"]
    found = []
    for start in range(0, len(sequences), _SEQUENCES_A_QUERY):
        batch = sequences[start : start + _SEQUENCES_A_QUERY]
        query = sql.SQL(" union all ").join(
            sql.SQL("select {}::integer as number, last_value, is_called from {}").format(
                sql.Literal(number), sequence.identifier
            )
            for number, sequence in enumerate(batch)
        )
        with conn.transaction(force_rollback=True):  # releases the locks on the sequences
            values: dict[int, dict[str, Any]] = {row.pop("number"): row for row in conn.execute(query)}
        found += [
            SequenceFingerprint(schema_name=s.schema_name, name=s.name, **values[number])
            for number, s in enumerate(batch)
        ]
    return found


def _large_objects(conn: Connection) -> LargeObjects:
    """Counted and hashed by the server, piece by piece; only hashes travel."""
    pieces, size, objects = RowSet(), 0, 0
    with (
        reading("large objects"),
        conn.cursor() as cursor,
        cursor.copy(statement("vault/large_objects")) as copy,
    ):
        for line in copy:
            _, number, length, _ = bytes(line).split(b"\t")
            objects += number == b"0"
            size += int(length)
            pieces.add_rows([line])
    return LargeObjects(count=objects, size=size, sha256=pieces.sha256)


def _content(tables: Sequence[TableFingerprint], large_objects: LargeObjects) -> str:
    included = {"schema_name", "name", "columns", "rows", "sha256"}
    rows = [t.model_dump(mode="json", include=included) for t in tables if t.kind != "matview"]
    return digest({"tables": rows, "large_objects": large_objects.model_dump(mode="json")})
