"""A `Rig` with a retention policy whose backups can be made older than they are, locks included."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from backup_rig import Rig, run_sql

from tidewatch.backup.context import BackupContext
from tidewatch.core.regions import Region
from tidewatch.core.retention import RetentionFile

DAILY = {"default": {"daily": 2, "timezone": "UTC"}}


def noon(days_ago: int) -> datetime:
    """Noon UTC, so many days ago."""
    today = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days_ago)


class HistoryRig(Rig):
    """`made(days_ago)` is a backup of that day."""

    policy: dict[str, Any] | None = DAILY

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._runs = itertools.count(1)

    @property
    def media(self) -> Path:
        return self.home / "media"

    @property
    def ctx(self) -> BackupContext:
        file = None if self.policy is None else RetentionFile.model_validate(self.policy)
        return replace(super().ctx, retention=file)

    def write(self, name: str) -> None:
        """A file with content of its own."""
        (self.media / name).write_bytes(name.encode() * 1000)

    def made(self, days_ago: int, *names: str) -> str:
        """A backup after the files `names` were written, which says that it is of `days_ago` days ago. Its
        locks have ended, like all others."""
        for name in names:
            self.write(name)
        backup_id = self.back_up("media", f"run-{next(self._runs)}").backup_id
        self.age(backup_id, days_ago)
        return backup_id

    def age(self, backup_id: str, days_ago: int) -> None:
        run_sql(
            self.warehouse,
            f"update vault.backups set snapshot_at = '{noon(days_ago)}', keep_until = null "
            f"where backup_id = '{backup_id}'",
        )
        self.unlock()

    def unlock(self) -> None:
        """Every lock ends now, in the regions and in the catalogue."""
        for region in self.regions:
            for version in region.store.list_versions(""):
                if not version.delete_marker:
                    region.store.client.put_object_retention(
                        Bucket=region.config.bucket, Key=version.key, VersionId=version.version_id,
                        BypassGovernanceRetention=True,
                        Retention={
                            "Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) - timedelta(seconds=5)
                        },
                    )  # fmt: skip
        run_sql(
            self.warehouse,
            "update vault.copies set retain_until = now() - interval '5 seconds' "
            "where retain_until is not null",
        )

    def keys_in(self, region: Region, backup_id: str = "") -> list[str]:
        """Names (below the backup's folder) of every version in a region, hidden ones included."""
        found = [v.key for v in region.store.list_versions("") if f"/{backup_id}" in v.key]
        return sorted(key.partition(f"{backup_id}/")[2] if backup_id else key for key in found)
