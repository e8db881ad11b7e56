"""Attempts that ended before a verdict: each `backup.started` in the ledger gets its end there too."""

from datetime import datetime

from tidewatch.backup import records
from tidewatch.backup.context import BackupContext
from tidewatch.core.database import Connection
from tidewatch.evidence import ledger
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
    ledger.append(
        conn,
        kind="backup.failed",
        subject=backup_id,
        now=now,
        body={
            "policy": records.policy(ctx.regions_file).model_dump(),
            "source": row.source,
            "source_type": row.source_type,
            "data_class": row.data_class,
            "backup_id": backup_id,
            "run": records.run(row.run, None).model_dump(),
            "stage": "stage",
            "error": (row.error or "")[:2000],
        },
    )
