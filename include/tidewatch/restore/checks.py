"""What is asked of a restored database, and the words for what is not as it was."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from tidewatch.core.database import Connection, execute
from tidewatch.core.progress import Progress, silent
from tidewatch.vault.compare import Difference, compare
from tidewatch.vault.facts import DatabaseFingerprint, ReplayAnswer
from tidewatch.vault.fingerprint import fingerprint_database
from tidewatch.vault.replay import Question, answers

_REPLAY_SECONDS = 900
"""A restored database has no statistics yet: a statement may take longer than it did in the source."""


@dataclass(frozen=True)
class Check:
    """One question and its answer. Of several differences the first is named, `differences` counts them all;
    `where` says where to look."""

    name: str
    ok: bool
    expected: str
    found: str
    where: str = ""
    differences: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As restore.tests.checks has it."""
        return {
            "name": self.name,
            "ok": self.ok,
            "expected": self.expected,
            "found": self.found,
            "where": self.where,
            "differences": self.differences,
        }

    def __str__(self) -> str:
        more = f" (and {self.differences - 1} more)" if self.differences > 1 else ""
        place = f" at {self.where}" if self.where else ""
        return f"{self.name}{place}: expected {self.expected}, found {self.found}{more}"


def passed(name: str, what: str) -> Check:
    """A check that found everything as it was."""
    return Check(name, True, what, what)


def database_checks(
    conn: Connection,
    expected: DatabaseFingerprint,
    replay: Sequence[ReplayAnswer] | None,
    *,
    progress: Progress = silent,
) -> tuple[list[Check], list[str]]:
    """Compare the database behind `conn` (autocommit) with the fingerprint and the answers of the manifest.

    Returns the checks and remarks: what a restore may rightly change.
    """
    conn.execute("begin isolation level repeatable read read only")
    try:
        found = fingerprint_database(conn, progress=progress)
        checks, remarks = compared(expected, found)
        check, more = replayed(conn, replay)
    finally:
        conn.execute("rollback")
    return [*checks, check], [*remarks, *more]


def compared(expected: DatabaseFingerprint, found: DatabaseFingerprint) -> tuple[list[Check], list[str]]:
    """The comparison of two fingerprints as one check for each part."""
    result = compare(expected, found)
    content, definitions = result.of("content"), result.of("definitions")
    objects = sum(len(kind.objects) for kind in expected.schema_objects.values())
    checks = [
        _check(
            "schema",
            definitions,
            f"{objects} definitions and {len(expected.extensions)} extensions, digest "
            f"{expected.schema_sha256[:16]}",
        ),
        _check(
            "tables",
            [d for d in content if d.kind not in ("sequence", "large objects")],
            f"{len(expected.tables)} tables with {expected.rows} rows",
        ),
        _check(
            "sequences", [d for d in content if d.kind == "sequence"], f"{len(expected.sequences)} sequences"
        ),
        _check(
            "large objects",
            [d for d in content if d.kind == "large objects"],
            f"{expected.large_objects.count} large objects of {expected.large_objects.size} bytes",
        ),
        _check(
            "grants", result.of("grants"), f"owners and privileges of {len(expected.grants.objects)} objects"
        ),
        _check("roles", result.of("roles"), f"{len(expected.roles.objects)} roles and memberships"),
    ]
    return checks, [f"rebuilt, not loaded: {d}" for d in result.remarks]


def _check(name: str, differences: Sequence[Difference], what: str) -> Check:
    if not differences:
        return passed(name, what)
    first = differences[0]
    return Check(
        name, False, first.expected, first.found, f"{first.kind} {first.name}".strip(), len(differences)
    )


def replayed(conn: Connection, recorded: Sequence[ReplayAnswer] | None) -> tuple[Check, list[str]]:
    """Ask the recorded statements again, in the open transaction of `conn`, whose settings are pinned."""
    answered = [r for r in recorded or () if r.error is None]
    remarks = [
        f"statement {r.name} was not answered at backup time: {r.error}" for r in recorded or () if r.error
    ]
    asked = [Question(r.name, r.statement) for r in answered]
    now = answers(conn, asked, seconds=_REPLAY_SECONDS)
    wrong = [(a, b) for a, b in zip(answered, now, strict=True) if (a.rows, a.sha256) != (b.rows, b.sha256)]
    if not wrong:
        count = f"{len(answered)} statements with the answers of the backup"
        return passed("replay", count if recorded else "no statements were recorded"), remarks
    before, after = wrong[0]
    return Check(
        "replay", False, _answer(before), _answer(after), f"statement {before.name}", len(wrong)
    ), remarks


def _answer(answer: ReplayAnswer) -> str:
    if answer.error is not None or answer.sha256 is None:
        return f"no answer: {answer.error}"
    return f"{answer.rows} rows with digest {answer.sha256[:16]}"


def constraints_hold(conn: Connection) -> Check:
    """Validate every foreign key and check again against the rows. Only in a scratch copy: `conn` is a
    superuser's in autocommit mode, and the catalogue is changed. Constraints that are NOT VALID in the source
    stay so, and whether they are is part of the schema's digest."""
    conn.execute("set search_path to pg_catalog")  # so that names come with their schema
    rows = execute(conn, "restore/constraints").fetchall()
    execute(conn, "restore/doubt_constraints", {"oids": [row["oid"] for row in rows]})
    broken: list[tuple[str, str]] = []
    for row in rows:
        owner = row["relation"] if row["domain"] == "-" else row["domain"]
        try:
            conn.execute(_validate(row))
        except psycopg.Error as error:
            # PostgreSQL's own message can quote the row: the names are enough.
            violated = isinstance(error, psycopg.IntegrityError)
            how = "is violated" if violated else f"cannot be checked ({type(error).__name__})"
            broken.append((f"{row['name']} {how}", f"{owner}, constraint {row['name']}"))
    what = f"{len(rows)} foreign keys and checks hold for every row"
    if not broken:
        return passed("constraints", what)
    return Check("constraints", False, what, *broken[0], len(broken))


def _validate(row: dict[str, Any]) -> sql.Composed:
    # regclass and regtype give names quoted and with their schema.
    kind, owner = ("table", row["relation"]) if row["domain"] == "-" else ("domain", row["domain"])
    return sql.SQL("alter {} {} validate constraint {}").format(
        sql.SQL(kind), sql.SQL(owner), sql.Identifier(row["name"])
    )


def first_problem(checks: Iterable[Check]) -> Check | None:
    """The first check that is not as it must be."""
    return next((c for c in checks if not c.ok), None)
