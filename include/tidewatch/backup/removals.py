"""Removing for ever: what attempts left behind, and expired backups.

The list of removals is committed before the first of them, so that a process that is killed leaves no removal
without its record in the ledger.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from tidewatch.backup.context import BackupContext
from tidewatch.core.database import Connection, execute, statement
from tidewatch.core.errors import RegionRefused, TidewatchError
from tidewatch.core.regions import Region

Cause = Literal["orphan", "expired"]
Place = tuple[str, str]
"""Key, and version or upload id."""


@dataclass(frozen=True)
class Removal:
    """One object version, delete marker or unfinished upload that is to go."""

    object_key: str
    version_id: str
    kind: Literal["version", "upload"]
    bytes: int
    backup_id: str | None
    """None: a probe's."""

    @property
    def place(self) -> Place:
        return self.object_key, self.version_id


def planned(conn: Connection, region: str, cause: Cause) -> list[Removal]:
    """What is planned and not recorded yet, in order of key and id (code points)."""
    rows = execute(conn, "backup/removals", {"region": region, "cause": cause})
    return [Removal(**row) for row in rows]


def plan(conn: Connection, region: str, cause: Cause, removals: Iterable[Removal], now: datetime) -> None:
    """Commit to the list. Only what stands in it may be removed."""
    common = {"region": region, "planned_at": now, "cause": cause}
    with conn.cursor() as cursor:
        cursor.executemany(statement("backup/plan_removal"), [{**common, **asdict(r)} for r in removals])
    conn.commit()


def forget(conn: Connection, region: str, cause: Cause) -> None:
    """The list is recorded, or was not done after all. In the caller's transaction."""
    execute(conn, "backup/forget_removals", {"region": region, "cause": cause})


def delete(ctx: BackupContext, region: Region, key: str, version_id: str) -> bool:
    """False: it is there still. Deleting what is gone is no error."""
    try:
        region.store.delete(key, version_id)
    except TidewatchError as error:
        kind = "refused" if isinstance(error, RegionRefused) else "not deleted"
        ctx.progress(f"{region.name}: {key} {kind}: {error.found}")
        return False
    ctx.progress(f"{region.name}: {key} is removed")
    return True


def digest_of(done: Sequence[Removal]) -> str:
    """SHA-256 over `<key> <id>` lines of what was removed, in the order of `planned`."""
    digest = hashlib.sha256()
    for each in done:
        digest.update(f"{each.object_key} {each.version_id}\n".encode())
    return digest.hexdigest()
