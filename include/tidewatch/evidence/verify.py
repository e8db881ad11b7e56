"""Does the ledger hold together, and does it still hold what was anchored?

One pass over all records recomputes every hash and every link. What one database can say about itself ends
there: whoever may disable its triggers can rewrite the chain from some record on, or cut its end,
consistently. That is found by comparing with a head that was signed and kept elsewhere (`expect`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tidewatch.core.canonical import canonical_bytes, sha256_hex
from tidewatch.core.database import Connection, execute, statement
from tidewatch.core.errors import LedgerError, TidewatchError
from tidewatch.evidence.record import GENESIS, Head, read_entry

_FETCH = 500
_MAX_PROBLEMS = 20


@dataclass(frozen=True)
class LedgerReport:
    """`problems` (at most 20, then a count) are sentences, the first about `first_bad_seq`.

    `records` is the number of rows read, `head` the last of them (0 and 64 zeros when there is none).
    """

    ok: bool
    records: int
    head: Head
    problems: list[str]
    first_bad_seq: int | None = None

    def raise_if_broken(self) -> None:
        """Raises LedgerError with the first problem."""
        if not self.ok:
            raise LedgerError(
                "The evidence ledger does not hold together",
                expected="an unbroken chain from record 1 to the anchored head",
                found=self.problems[0],
                do="keep this database as it is, compare with the signed heads in the regions' manifests and "
                "with backups of this database, and find out who can disable its triggers (docs/ledger.md)",
            )


def verify(conn: Connection, *, expect: Head | None = None, since: Head | None = None) -> LedgerReport:
    """Read the whole ledger in one snapshot and check it; memory stays flat.

    With `since`, a head that an earlier complete pass ended with, only the records from that one on are read
    (it must still be there, with that hash): what was altered before it is not found, what was cut or
    rewritten is.

    `expect` is a head known from outside (`evidence.anchor`): the record of that seq must be there with that
    hash. Without it, a cut or a consistent rewriting at the end of the chain cannot be found.
    """
    checker = _Checker(expect, since)
    with conn.transaction(), conn.cursor(name="tidewatch_ledger_verify") as cursor:
        cursor.itersize = _FETCH
        cursor.execute(statement("evidence/verify"), {"since_seq": since.seq if since else None})
        stored = checker.read(cursor)
    if checker.count == 0 and since is not None:
        return verify(conn, expect=since)  # that record is gone: what is left is read whole
    if checker.count == 0:  # no row carried the head
        ends = execute(conn, "evidence/ends").fetchone()
        if ends is not None and ends["records"] > 0:
            return verify(conn, expect=expect)  # the first records came in between the two statements
        stored = Head(ends["seq"], ends["hash"]) if ends else None
    checker.finish(stored)
    return checker.report()


@dataclass
class _Checker:
    expect: Head | None
    since: Head | None = None
    count: int = 0
    last: Head = field(default_factory=lambda: Head(0, GENESIS))
    expected_found: bool = False
    problems: list[str] = field(default_factory=list)
    first_bad: int | None = None
    total_problems: int = 0

    def __post_init__(self) -> None:
        if self.since is not None and self.since.seq > 0:
            self.last = Head(self.since.seq - 1, "")

    def read(self, rows: Iterable[Mapping[str, Any]]) -> Head | None:
        stored: Head | None = None
        for row in rows:
            self.count += 1
            stored = _stored_head(row)
            self._check(row)
            # The chain goes on from what the row claims: one altered record must not blame all after it.
            self.last = Head(row["seq"] or 0, row["hash"] or "")
        return stored

    def _check(self, row: Mapping[str, Any]) -> None:
        seq: int | None = row["seq"]
        following = self.last.seq + 1
        if seq is None or seq < following:  # only when somebody dropped the primary key as well
            self._problem(seq or following, f"a row with the seq {seq} stands after record {self.last.seq}")
            return
        if seq > following:
            gone = (
                f"record {following} is" if seq == following + 1 else f"records {following} to {seq - 1} are"
            )
            self._problem(following, f"{gone} missing before record {seq}")
        linked = seq == following and self.last.hash != ""
        problem = record_problem(row, self.last.hash if linked else None)
        if problem:
            self._problem(seq, problem)
        if self.since is not None and seq == self.since.seq and row["hash"] != self.since.hash:
            self._problem(
                seq,
                f"record {seq} has the hash {row['hash']}, but when it was last checked it was "
                f"{self.since.hash}: this record or one before it was rewritten",
            )
        if self.expect is not None and seq == self.expect.seq:
            self.expected_found = True
            if row["hash"] != self.expect.hash:
                self._problem(
                    seq,
                    f"record {seq} has the hash {row['hash']}, but the anchored head of record {seq} is "
                    f"{self.expect.hash}: this record or one before it was rewritten",
                )

    def finish(self, stored: Head | None) -> None:
        if stored is None:
            self._problem(
                self.last.seq + 1, "the row of evidence.head is missing: it was removed past the triggers"
            )
        elif stored.seq > self.last.seq:
            self._problem(
                self.last.seq + 1,
                f"the chain ends at record {self.last.seq}, but evidence.head says {stored.seq}: "
                f"records were cut from the end, from record {self.last.seq + 1} on",
            )
        elif stored.seq < self.last.seq:
            self._problem(
                stored.seq + 1,
                f"evidence.head says that record {stored.seq} is the last, but record {stored.seq + 1} is "
                "there: it did not come in through the ledger",
            )
        elif stored.hash != self.last.hash:
            self._problem(
                self.last.seq,
                f"the last record {self.last.seq} has the hash {self.last.hash}, but evidence.head says "
                f"{stored.hash}",
            )
        if self.expect is not None and not self.expected_found and self.expect != Head(0, GENESIS):
            self._problem(
                self.last.seq + 1,
                f"the chain ends at record {self.last.seq}, but record {self.expect.seq} with the hash "
                f"{self.expect.hash} was anchored: records were cut from the end, from record "
                f"{self.last.seq + 1} on"
                if self.expect.seq > self.last.seq
                else f"record {self.expect.seq} with the hash {self.expect.hash} was anchored, but is gone",
            )

    def _problem(self, seq: int, text: str) -> None:
        self.total_problems += 1
        if self.first_bad is None or seq < self.first_bad:
            self.first_bad = seq
            self.problems.insert(0, text)
        elif len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(text)
        del self.problems[_MAX_PROBLEMS:]

    def report(self) -> LedgerReport:
        problems = list(self.problems)
        if self.total_problems > len(problems):
            problems.append(f"and {self.total_problems - len(problems)} more")
        return LedgerReport(not problems, self.count, self.last, problems, self.first_bad)


def record_problem(row: Mapping[str, Any], prev: str | None) -> str | None:
    """What is wrong with one row (seq, at as text, kind, subject, entry, hash), or None.

    `prev` is the hash of the record before; None when that record is missing, so that the link cannot be
    judged.
    """
    seq, entry = row["seq"], row["entry"]
    if entry is None or row["hash"] is None:
        return f"record {seq}: it was emptied"
    computed = sha256_hex(entry.encode())
    if computed != row["hash"]:
        return (
            f"record {seq}: its entry hashes to {computed}, but the record says {row['hash']}: it was altered"
        )
    try:
        value = read_entry(entry)
        canonical = canonical_bytes(value).decode()
    except (ValueError, RecursionError, TidewatchError) as error:
        return (
            f"record {seq}: its entry cannot be read as canonical JSON ({type(error).__name__}): it was "
            f"replaced"
        )
    if canonical != entry:
        return f"record {seq}: its entry is not in canonical form: it was not written by the ledger"
    columns = {"seq": seq, "at": row["at"], "kind": row["kind"], "subject": row["subject"]}
    for name, shown in columns.items():
        if value[name] != shown:
            return (
                f"record {seq}: the column {name} says {shown!r}, but the entry says "
                f"{str(value[name])[:200]!r}"
            )
    if prev is not None and value["prev"] != prev:
        return (
            f"record {seq}: it follows a record with the hash {value['prev']}, but record {seq - 1} has "
            f"{prev}: "
            f"one of the two was replaced"
        )
    return None


def _stored_head(row: Mapping[str, Any]) -> Head | None:
    return None if row["head_seq"] is None else Head(row["head_seq"], row["head_hash"])
