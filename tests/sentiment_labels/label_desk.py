"""Where labels are given in the tests: a connection, a clock that moves on, and short forms."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tidewatch.core.database import Connection
from tidewatch.evidence.ledger import Record, head, records
from tidewatch.sentiment.labels.posts import Label, Post
from tidewatch.sentiment.labels.store import Given, Outcome, append_labels

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
SHA = "0123456789abcdef" * 4


class Desk:
    """`desk.give("li.wei", "好", "positive")` appends one label a minute after the one before."""

    def __init__(self, conn: Connection, dsn: str) -> None:
        self.conn, self.dsn = conn, dsn
        self.now = NOW
        self._ledger_before = head(conn).seq
        conn.commit()

    def later(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now

    def append(self, *given: Given, source: Any = "import", origin: str = "file:a") -> list[Outcome]:
        """Outcomes in the order of `given`, whose numbers are taken from their places."""
        placed = [Given(n, g.post, g.label, g.annotator, g.labelled_at) for n, g in enumerate(given)]
        outcomes = append_labels(self.conn, placed, source=source, origin=origin, now=self.later())
        self.conn.commit()
        return [outcomes[n] for n in range(len(placed))]

    def give(self, annotator: str, text: str, label: Label, native_id: str | None = None) -> Outcome:
        (outcome,) = self.append(given(annotator, text, label, native_id), origin=f"file:{self.now}")
        return outcome

    def rows(self, query: str) -> list[dict[str, Any]]:
        return self.conn.execute(query).fetchall()  # type: ignore[arg-type]

    def count(self, table: str) -> int:
        return int(self.rows(f"select count(*) as n from {table}")[0]["n"])

    def records(self, kind: str) -> list[Record]:
        """What this test has put into the ledger."""
        return list(records(self.conn, since_seq=self._ledger_before + 1, kind=kind))

    def votes(self) -> set[tuple[str, str, str]]:
        """(annotator, text, label) of what counts now."""
        found = self.rows(
            "select annotator, text, label from sentiment.votes join sentiment.texts using (text_sha256)"
        )
        return {(r["annotator"], r["text"], r["label"]) for r in found}


def given(
    annotator: str, text: str, label: Label, native_id: str | None = None, at: datetime | None = None
) -> Given:
    return Given(0, Post(text, "weibo" if native_id else None, native_id), label, annotator, at)
