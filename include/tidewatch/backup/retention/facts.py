"""What the catalogue knows and restore tests found, as the plan wants it. SQL: sql/retention/."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from tidewatch.backup.retention.plan import Hold, Known
from tidewatch.core.database import Connection, execute


@dataclass(frozen=True)
class Facts:
    """A backup, and what the ledger is told when its time is over."""

    known: Known
    keep_until: datetime | None
    data_class: str
    manifest_sha256: str
    generations: tuple[str, ...]


def facts_of(conn: Connection, source: str, regions: Collection[str]) -> list[Facts]:
    """Backups of the source that have a manifest and were not removed, the oldest first."""
    parameters = {"source": source, "regions": list(regions)}
    return [
        Facts(
            Known(
                row["backup_id"],
                row["status"],
                row["snapshot_at"],
                frozenset(row["verified_in"]),
                row["locked_until"],
                row["doubted"],
            ),
            row["keep_until"],
            row["data_class"],
            row["manifest_sha256"],
            tuple(row["generations"]),
        )
        for row in execute(conn, "retention/known", parameters)
    ]


def former(conn: Connection, source: str) -> list[Known]:
    """Backups of the source that were removed, the oldest first."""
    return [Known(**row) for row in execute(conn, "retention/former", {"source": source})]


def holds(conn: Connection, *, source: str | None = None, lifted: bool = False) -> list[Hold]:
    """Legal holds in force, the oldest first; with `lifted` also those that were."""
    return [Hold(**row) for row in execute(conn, "retention/holds", {"source": source, "all": lifted})]
