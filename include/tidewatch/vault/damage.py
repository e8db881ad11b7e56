"""An object that a region no longer has, or has with other bytes: known at once to all who refer to it."""

from datetime import datetime

from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute
from tidewatch.vault.catalogue import Copy, set_copy


def object_damaged(conn: Connection, copy: Copy, *, now: datetime) -> list[str]:
    """Mark `copy` (state failed, with the reason) and the same object of every other backup that refers to
    it. Sealed backups among them become degraded. Returns the ids of all, sorted.

    Works inside the caller's transaction; a second call changes nothing more.
    """
    set_copy(conn, copy)
    parameters = {
        "region": copy.region,
        "object_key": copy.object_key,
        "error": copy.error,
        "now": require_utc(now),
    }
    execute(conn, "vault/object_damaged", parameters)
    rows = execute(conn, "vault/degrade_holders", parameters)
    return sorted({copy.backup_id, *(row["backup_id"] for row in rows)})
