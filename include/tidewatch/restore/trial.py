"""One backup restored from one region, for real, and compared with what was backed up. Nothing is recorded
here: `drill` does that."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from psycopg import sql

from tidewatch.core.database import Connection, connect, execute
from tidewatch.core.errors import (
    IntegrityError,
    NotFound,
    ObjectMissing,
    TargetError,
    TargetUnreachable,
    TidewatchError,
)
from tidewatch.restore.checks import Check, constraints_hold, database_checks, first_problem, passed
from tidewatch.restore.choose import Chosen, choose
from tidewatch.restore.context import RestoreContext
from tidewatch.restore.database import load
from tidewatch.restore.fetch import Fetched, fetch
from tidewatch.restore.files import unpack
from tidewatch.restore.indexes import indexes_are_sound
from tidewatch.restore.results import Planned
from tidewatch.restore.scratch import scratch_server
from tidewatch.restore.target_database import Target, require_fit, require_room
from tidewatch.restore.targets import Targets
from tidewatch.restore.trees import tree_checks


@dataclass
class Trial:
    """What was found. `phases`: seconds of prepare (choosing, starting the scratch server), fetch, decrypt,
    load and check. `rto_seconds`: all of it, None unless the copy could be compared to its end."""

    manifest_sha256: str | None = None
    snapshot_at: datetime | None = None
    phases: dict[str, float] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    rto_seconds: float | None = None
    newest_row_at: datetime | None = None
    newest_from: str | None = None
    """The column it was read from; None: the time of the snapshot stands for it."""

    @property
    def passed(self) -> bool:
        return self.rto_seconds is not None and first_problem(self.checks) is None

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the seconds inside to a phase."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.monotonic() - began


class _Over(Exception):
    """A check failed after which nothing more can be asked."""


def restore_and_check(ctx: RestoreContext, planned: Planned, targets: Targets, place: Path) -> Trial:
    """Restore `planned` within `place` (of `scratch_directory`) and ask every question.

    What the region holds being wrong or missing is a check that failed. Raises the TidewatchError of what
    keeps the test from being made at all: region or machine out of order, no key, no server program.
    """
    trial, began = Trial(), time.monotonic()
    try:
        chosen = _chosen(ctx, planned, trial)
        if chosen.manifest.database is not None:
            _database(ctx, chosen, targets, place, trial)
        else:
            _files(ctx, chosen, place, trial)
    except _Over:
        return trial
    trial.rto_seconds = time.monotonic() - began
    return trial


def _chosen(ctx: RestoreContext, planned: Planned, trial: Trial) -> Chosen:
    region = ctx.region(planned.region)
    with trial.phase("prepare"), _asking(trial, "manifest", "a signed manifest in the region"):
        chosen = choose(ctx, planned.source, region=region, at=None, backup_id=planned.backup_id)
    trial.manifest_sha256, trial.snapshot_at = chosen.manifest_sha256, chosen.manifest.snapshot_at
    trial.newest_row_at = trial.snapshot_at
    trial.remarks += chosen.remarks
    trial.checks.append(passed("manifest", "signed and genuine"))
    return chosen


def _fetched(ctx: RestoreContext, chosen: Chosen, workdir: Path, trial: Trial) -> Fetched:
    with trial.phase("fetch"), _asking(trial, "objects", f"{len(chosen.manifest.objects)} objects as signed"):
        # From this region and no other: another one's good copy would hide that this one's is bad.
        fetched = fetch(ctx, chosen, workdir, regions=())
    trial.checks.append(passed("objects", f"{len(chosen.manifest.objects)} objects as signed"))
    return fetched


def _database(ctx: RestoreContext, chosen: Chosen, targets: Targets, place: Path, trial: Trial) -> None:
    backup = chosen.manifest.database
    assert backup is not None  # noqa: S101 - the caller has looked
    major = backup.server_version_num // 10000
    with contextlib.ExitStack() as stack:
        with trial.phase("prepare"):
            scratch = stack.enter_context(
                scratch_server(
                    ctx.settings, place, major, extra=targets.server_settings, superuser=targets.superuser
                )
            )
            require_fit(Target(scratch.dsn), chosen.manifest)
        fetched = _fetched(ctx, chosen, scratch.work, trial)
        with _asking(trial, "load", "a backup that loads without an error"):
            loaded = load(ctx, chosen, fetched, scratch.dsn, workdir=scratch.work)
        trial.phases |= loaded.seconds
        trial.remarks += loaded.remarks
        trial.checks.append(passed("load", "loaded without an error"))
        with trial.phase("check"):
            conn = stack.enter_context(
                connect(scratch.dsn, application_name="tidewatch restore test", autocommit=True)
            )
            checks, remarks = database_checks(conn, backup, chosen.manifest.replay, progress=ctx.progress)
            _newest(conn, targets, chosen.manifest.snapshot_at, trial)
            checks.append(constraints_hold(conn))
            checks.append(indexes_are_sound(scratch, scratch.dsn, major))
        trial.checks += checks
        trial.remarks += remarks


def _files(ctx: RestoreContext, chosen: Chosen, place: Path, trial: Trial) -> None:
    work = place / "work"  # private: what is unpacked has the modes it had
    manifest = chosen.manifest
    needed = sum(f.size for f in manifest.files or []) + sum(o.cipher_size for o in manifest.objects)
    require_room(work, needed, "the restore test")
    fetched = _fetched(ctx, chosen, work, trial)
    with _asking(trial, "load", "a backup that unpacks without an error"):
        unpacked = unpack(ctx, chosen, fetched, work / "tree")
    trial.phases |= unpacked.seconds
    trial.checks.append(passed("load", "unpacked without an error"))
    with trial.phase("check"):
        trial.checks += tree_checks(work / "tree", manifest.files or [])


@contextlib.contextmanager
def _asking(trial: Trial, name: str, expected: str) -> Iterator[None]:
    """What is wrong with the backup ends the trial with a failed check; other errors pass through."""
    try:
        yield
    except TargetUnreachable:
        raise
    except (IntegrityError, NotFound, ObjectMissing, TargetError) as error:
        # Stored bytes that are found wrong while they are opened are the region's, not the loading's.
        wrong = "objects" if isinstance(error, IntegrityError) and name == "load" else name
        trial.checks = [c for c in trial.checks if c.name != wrong]
        trial.checks.append(_failed(wrong, expected, error))
        raise _Over from error


def _failed(name: str, expected: str, error: TidewatchError) -> Check:
    return Check(name, False, error.expected or expected, error.found, error.what, 1)


def _newest(conn: Connection, targets: Targets, snapshot_at: datetime, trial: Trial) -> None:
    """The latest time in the source's columns that is not after the snapshot: rows dated into the future say
    nothing about when they were written."""
    best: datetime | None = None
    for column in targets.newest:
        schema, table, name = column.split(".")
        kind = _type(conn, schema, table, name)
        if kind is None:
            trial.remarks.append(
                f"{column}, which config/restore_tests.yaml names, is no time in this backup"
            )
            continue
        zoned = kind == "timestamp with time zone"
        value = sql.SQL("{}" if zoned else "({}::timestamp at time zone 'UTC')").format(sql.Identifier(name))
        query = sql.SQL("select max({0}) as newest from {1} where isfinite({0}) and {0} <= {2}").format(
            value, sql.Identifier(schema, table), sql.Literal(snapshot_at)
        )
        row = conn.execute(query).fetchone()
        found = row["newest"] if row else None
        if found is not None and (best is None or found > best):
            best, trial.newest_from = found, column
    if best is not None:
        trial.newest_row_at = best.astimezone(UTC)


def _type(conn: Connection, schema: str, table: str, column: str) -> str | None:
    names = {"schema": schema, "table": table, "column": column}
    row = execute(conn, "restore/column_type", names).fetchone()
    known = ("timestamp with time zone", "timestamp without time zone", "date")
    return row["data_type"] if row and row["data_type"] in known else None
