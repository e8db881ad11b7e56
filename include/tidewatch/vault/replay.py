"""Questions that a database answers at backup time and again after a restore.

A question is one SELECT in `sql/restore/replay/<source>.<name>.sql`. At backup time it is asked in the
backup's own snapshot, so its answer belongs to exactly the rows that were dumped. What is kept is the number
of rows and a digest of them, never a value.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tidewatch.core.database import Connection
from tidewatch.vault.copyrows import RowReader
from tidewatch.vault.facts import ReplayAnswer
from tidewatch.vault.layout import SOURCE_PATTERN
from tidewatch.vault.session import rows_as_stored

SECONDS = 60
"""What one statement may take: the source's snapshot is held open for it."""
_FILE = re.compile(rf"^(?P<source>{SOURCE_PATTERN})\.(?P<name>[a-z][a-z0-9_]{{0,59}})\.sql$")


@dataclass(frozen=True)
class Question:
    """One statement; its name is that of its file without source and ending."""

    name: str
    statement: str


def questions(sql_dir: Path, source: str) -> list[Question]:
    """The questions for a source, by name. Files whose names have another form are not questions."""
    found = []
    for path in sorted((sql_dir / "restore" / "replay").glob("*.sql")):
        parts = _FILE.fullmatch(path.name)
        if parts and parts["source"] == source:
            found.append(Question(parts["name"], path.read_text(encoding="utf-8").strip()))
    return found


def answers(conn: Connection, asked: Sequence[Question], *, seconds: float = SECONDS) -> list[ReplayAnswer]:
    """Ask each question in the open transaction of `conn`, whose settings are pinned (`session.pin`).

    Never raises for what a statement does: one that fails, or takes longer than `seconds`, is an answer with
    an `error`. The transaction is as it was before.
    """
    if not asked:
        return []
    reader: RowReader | None = None
    given = []
    for question in asked:
        try:
            reader = reader or RowReader(conn)
            given.append(_answer(reader, question, seconds))
        except psycopg.Error as error:
            given.append(
                ReplayAnswer(name=question.name, statement=question.statement, error=_words(error, seconds))
            )
    return given


def _answer(reader: RowReader, question: Question, seconds: float) -> ReplayAnswer:
    conn = reader.conn
    # On lines of its own: a statement may end with a comment.
    query = f"copy (\n{question.statement.rstrip().rstrip(';')}\n) to stdout".encode()
    with conn.transaction(force_rollback=True):  # the time limit and the locks end with it
        conn.execute("select set_config('statement_timeout', %s, true)", (str(int(seconds * 1000)),))
        with rows_as_stored(conn):
            rows, _ = reader.read(query)
    return ReplayAnswer(name=question.name, statement=question.statement, rows=rows.count, sha256=rows.sha256)


def _words(error: psycopg.Error, seconds: float) -> str:
    """Without PostgreSQL's message: it can quote a value."""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return f"it took longer than {seconds:g} s"
    return f"{type(error).__name__} ({error.sqlstate or 'the session was lost'})"
