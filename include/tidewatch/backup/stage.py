"""Step one of a backup: read the source once and send it to its regions. Nothing is proved yet.

Order of statements, and what a death after each leaves behind:

1. plan, residency                      nothing
2. lock of the source                   nothing: the lock ends with the session
3. catalogue `staging`, ledger started  a row that the next attempt marks abandoned
4. objects uploaded                     objects that no manifest names; their backup_id is never used again
5. catalogue `staged` with the draft of the manifest, ledger staged: one transaction
"""

import platform
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psycopg

from tidewatch.backup import messages, records
from tidewatch.backup.announce import announce
from tidewatch.backup.capture import Captured, capture_files, capture_postgres
from tidewatch.backup.context import BackupContext
from tidewatch.backup.endings import abandon_dead, record_failed
from tidewatch.backup.keys.recipients import notice_change
from tidewatch.backup.known import reusable
from tidewatch.backup.lock import source_lock
from tidewatch.backup.plan import PlannedSource
from tidewatch.backup.probe import learn
from tidewatch.backup.prove import unfit
from tidewatch.backup.upload import Uploader
from tidewatch.core.database import Connection
from tidewatch.core.errors import TidewatchError
from tidewatch.core.sources import PostgresSource
from tidewatch.evidence import ledger
from tidewatch.notices import outbox
from tidewatch.vault import catalogue, contents
from tidewatch.vault.layout import new_backup_id
from tidewatch.vault.manifest import Encryption, Manifest, Policy, RunRef, Totals


@dataclass(frozen=True)
class Staged:
    """A backup that is uploaded and not yet proved. Names and counts only: fit for XCom."""

    backup_id: str
    source: str
    snapshot_at: datetime
    plain_bytes: int
    stored_bytes: int
    rows: int | None
    tables: int | None
    files: int | None
    received_by: tuple[str, ...]
    missed_by: Mapping[str, str] = field(default_factory=dict)
    """Region -> why it has no copy yet."""
    resumed: bool = False
    """An earlier call of the same run had done it."""

    def as_dict(self) -> dict[str, Any]:
        """JSON types."""
        return asdict(self) | {
            "snapshot_at": self.snapshot_at.isoformat(),
            "received_by": list(self.received_by),
        }


def stage(ctx: BackupContext, source: str, run: RunRef, *, schedule: str | None = None) -> Staged:
    """Back `source` up to its regions for `run`. Idempotent: a second call for the same run returns the first
    one's result, whatever has become of that backup since.

    A region that fails is left behind; when none is left, or the source fails, the attempt is recorded as
    failed and the error raised. Raises Busy while another process works on the source. What forbids the
    backup before it begins (residency, a missing key) is told as a notice too.
    """
    try:
        planned = ctx.planned(source)
        _ = ctx.recipients, ctx.signing_key  # a missing key must be told before an hour of reading
    except TidewatchError as error:
        announce(ctx.connect, messages.source_failed(source, run, error), ctx.now(), ctx.progress)
        raise
    with source_lock(ctx, source) as conn:
        learn(ctx, conn)
        found = catalogue.find(conn, source, run.run_id)
        if found is not None and found.status != "staging":
            conn.commit()
            return _resumed(conn, planned, found)
        for dead in abandon_dead(ctx, conn, source, now=ctx.now()):
            ctx.progress(f"{source}: attempt {dead} had ended without a word and is abandoned")
        conn.commit()
        backup_id = new_backup_id(source, ctx.now(), secrets.token_bytes(2))
        began = ctx.now()
        catalogue.begin(
            conn,
            backup_id=backup_id,
            source=source,
            source_type=planned.source.type,
            data_class=planned.source.data_class,
            run=run,
            now=began,
        )
        notice_change(conn, ctx.recipients.key_ids, backup_id, began)
        body = records.started(planned, ctx.regions_file, backup_id, run, schedule, began)
        ledger.append(conn, kind=body.KIND, subject=backup_id, body=body, now=began)
        conn.commit()
        ctx.progress(f"{source}: begun as {backup_id}")
        try:
            return _attempt(ctx, conn, planned, backup_id, run, schedule, began)
        except TidewatchError as error:
            _record_failure(ctx, conn, planned, backup_id, run, error)
            raise


def _attempt(
    ctx: BackupContext,
    conn: Connection,
    planned: PlannedSource,
    backup_id: str,
    run: RunRef,
    schedule: str | None,
    began: datetime,
) -> Staged:
    source = planned.source

    def alive() -> None:
        conn.execute("select 1")
        conn.commit()

    uploader = Uploader(ctx, source.name, backup_id, planned.regions, alive, dropped=unfit(planned.regions))
    for reason in uploader.dropped.values():
        ctx.progress(f"{source.name}: {reason}")
    if isinstance(source, PostgresSource):
        captured = capture_postgres(ctx, source, uploader)
    else:
        held = contents.holdings(conn, source.name, ctx.recipients.key_ids)
        conn.commit()
        known = contents.contents_in(conn, reusable(held, source.name, planned.regions))
        conn.commit()
        captured = capture_files(ctx, source, uploader, known)
    draft = _draft(ctx, planned, backup_id, run, schedule, began, captured)
    ctx.progress(f"{source.name}: everything is sent")
    catalogue.mark_staged(conn, draft)
    for copy in uploader.known_copies(draft.objects):
        catalogue.set_copy(conn, copy)
    received = tuple(r.name for r in uploader.live)
    body = records.staged(draft, ctx.regions_file, captured.content_sha256, received, list(uploader.dropped))
    ledger.append(conn, kind=body.KIND, subject=backup_id, body=body, now=ctx.now())
    conn.commit()
    ctx.progress(f"{source.name}: staged")
    return _staged(draft, received, dict(uploader.dropped))


def _draft(
    ctx: BackupContext,
    planned: PlannedSource,
    backup_id: str,
    run: RunRef,
    schedule: str | None,
    began: datetime,
    captured: Captured,
) -> Manifest:
    own = [o for o in captured.objects if o.backup_id == backup_id]
    database = captured.database
    totals = Totals(
        objects=len(captured.objects),
        plain_size=sum(o.plain_size for o in captured.objects),
        cipher_size=sum(o.cipher_size for o in captured.objects),
        new_plain_size=sum(o.plain_size for o in own),
        new_cipher_size=sum(o.cipher_size for o in own),
        tables=len(database.tables) if database else None,
        rows=database.rows if database else None,
        files=sum(f.type in {"file", "hardlink"} for f in captured.files)
        if captured.files is not None
        else None,
        excluded=captured.excluded if captured.files is not None else None,
    )
    tools = {
        "tidewatch": _own_version(),
        "python": platform.python_version(),
        "zstandard": version("zstandard"),
        "pyrage": version("pyrage"),
        **captured.tools,
    }
    return Manifest(
        backup_id=backup_id,
        source=planned.source.name,
        source_type=planned.source.type,
        data_class=planned.source.data_class,
        policy=Policy(id=ctx.regions_file.policy_id, version=ctx.regions_file.policy_version),
        snapshot_at=captured.snapshot_at,
        started_at=began,
        ended_at=max(ctx.now(), began),  # a clock may be set back
        run=run,
        schedule=schedule,
        tools=tools,
        objects=captured.objects,
        database=database,
        replay=captured.replay,
        files=captured.files,
        encryption=Encryption(key_ids=list(ctx.recipients.key_ids)),
        timings=captured.timings,
        totals=totals,
        notes=captured.notes,
    )


def _own_version() -> str:
    try:
        return version("tidewatch")
    except PackageNotFoundError:
        return "source checkout"


def _record_failure(
    ctx: BackupContext,
    conn: Connection,
    planned: PlannedSource,
    backup_id: str,
    run: RunRef,
    error: TidewatchError,
) -> None:
    """Catalogue, ledger, notice. Where even that fails, the next attempt finds the row and abandons it."""
    try:
        conn.rollback()
        catalogue.fail(conn, backup_id, str(error), now=ctx.now())
        outbox.post(conn, messages.source_failed(planned.source.name, run, error), ctx.now())
        record_failed(ctx, conn, backup_id, now=ctx.now())
        conn.commit()
    except (psycopg.Error, TidewatchError) as second:
        ctx.progress(f"{planned.source.name}: the failure could not be recorded ({type(second).__name__})")


def _resumed(conn: Connection, planned: PlannedSource, found: catalogue.Backup) -> Staged:
    draft = found.manifest
    rows = catalogue.copies(conn, found.backup_id)
    conn.commit()
    missed = {c.region: c.error or "failed" for c in rows if c.state == "failed"}
    received = tuple(r.name for r in planned.regions if r.name not in missed)
    return _staged(draft, received, missed, resumed=True)


def _staged(
    draft: Manifest, received: tuple[str, ...], missed: dict[str, str], *, resumed: bool = False
) -> Staged:
    totals = draft.totals
    return Staged(
        draft.backup_id,
        draft.source,
        draft.snapshot_at,
        totals.plain_size,
        totals.cipher_size,
        totals.rows,
        totals.tables,
        totals.files,
        received,
        missed,
        resumed,
    )
