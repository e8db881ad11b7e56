"""Attempts that ended before a verdict: each `backup.started` in the ledger gets its end there too."""

from datetime import datetime

from tidewatch.backup import records
from tidewatch.backup.context import BackupContext
from tidewatch.core.database import Connection
from tidewatch.evidence import ledger, schemas
from tidewatch.vault import catalogue


def abandon_dead(
    ctx: BackupContext, conn: Connection, source: str, run_id: str | None = None, *, now: datetime
) -> list[str]:
    """Mark `staging` attempts of the source (of one run, or of all) as abandoned and record it; their ids.

    Only for a caller that holds the lock of the source. Appends to the ledger in the caller's transaction:
    write what else belongs into it before, and commit soon.
    """
    ended = catalogue.abandon_dead(conn, source, run_id, now=now)
    for backup_id in ended:
        record_failed(ctx, conn, backup_id, now=now)
    return ended


def record_failed(ctx: BackupContext, conn: Connection, backup_id: str, *, now: datetime) -> None:
    """Append the end of an attempt that the catalogue has as failed or abandoned, with the error it has."""
    row = catalogue.get(conn, backup_id)
    body = schemas.BackupFailed(
        policy=records.policy(ctx.regions_file),
        source=row.source,
        source_type=row.source_type,
        data_class=row.data_class,
        backup_id=backup_id,
        run=records.run(row.run, None),
        stage="stage",
        error=row.error or "",
    )
    ledger.append(conn, kind=body.KIND, subject=backup_id, body=body, now=now)
