"""Is a copy still what its manifest says? Read from the region itself, without the catalogue."""

from dataclasses import dataclass
from datetime import datetime

from tidewatch.core.errors import ObjectMissing, TidewatchError
from tidewatch.core.progress import Progress, silent
from tidewatch.core.regions import Region
from tidewatch.core.signing import Verifier
from tidewatch.vault.layout import BackupPath, region_key, source_of
from tidewatch.vault.manifest import Manifest, ReadBack, open_manifest
from tidewatch.vault.readback import Mode, read_back


@dataclass(frozen=True)
class CopyReport:
    """What one region shows of one backup. `manifest` is None when it is missing or not to be trusted."""

    region: str
    manifest: Manifest | None
    objects: list[ReadBack]
    problem: str | None

    @property
    def ok(self) -> bool:
        return self.problem is None and all(answer.ok for answer in self.objects)

    @property
    def wrong(self) -> str:
        """Everything that is not as it should be, in one line; empty when nothing is."""
        found = [f"{a.key.rpartition('/')[2]}: {a.problem}" for a in self.objects if not a.ok]
        return "; ".join(([self.problem] if self.problem else []) + found)


def verify_copy(
    region: Region,
    backup_id: str,
    key: Verifier,
    *,
    now: datetime,
    mode: Mode = "full",
    progress: Progress = silent,
) -> CopyReport:
    """Fetch the manifest from `region`, check its signature, read every object back and compare.

    Never raises for what a region does or shows: that is the report's `problem`.
    """
    path = BackupPath(region.config.prefix, source_of(backup_id), backup_id)
    try:
        manifest = open_manifest(region.store.read(path.manifest_key), key)
    except ObjectMissing:
        return CopyReport(region.name, None, [], "there is no manifest of this backup")
    except TidewatchError as error:
        return CopyReport(region.name, None, [], str(error))
    if manifest.backup_id != backup_id:
        return CopyReport(
            region.name, None, [], f"the manifest there is that of another backup, {manifest.backup_id}"
        )
    answers: list[ReadBack] = []
    for entry in manifest.objects:
        progress(f"{region.name}: {entry.name}")
        full_key = region_key(region.config.prefix, entry.key)
        until = _promised(manifest, entry.key) or now
        try:
            answers.append(read_back(region, full_key, entry, until, mode, now=now))
        except TidewatchError as error:
            return CopyReport(region.name, manifest, answers, str(error))
    return CopyReport(region.name, manifest, answers, None)


def of_its_regions(reports: list[CopyReport]) -> list[CopyReport]:
    """Without the regions that the backup was never meant for, as its signed manifest says: a source may be
    kept in some of the regions only."""
    meant = {copy.region for r in reports if r.manifest for copy in r.manifest.copies}
    return [r for r in reports if r.manifest or r.region in meant or not meant]


def _promised(manifest: Manifest, relative: str) -> datetime | None:
    """Until when the object was locked when the backup was made: the shortest lock of its copies."""
    dates = [
        answer.retain_until
        for copy in manifest.copies
        for answer in copy.objects
        if answer.ok and answer.retain_until and answer.key.endswith(relative)
    ]
    return min(dates, default=None)
