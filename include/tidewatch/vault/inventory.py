"""What lies in a region, seen through a listing of every version: hidden and replaced objects too.

A delete marker, or other bytes under the same key, hide an object from a plain listing; a locked version
below them is still there. So whoever asks what a region holds asks for versions.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tidewatch.core.anchorkeys import AnchorName, parse_anchor_key
from tidewatch.core.errors import ConfigError
from tidewatch.core.objectstore import ListedVersion
from tidewatch.core.regions import Region
from tidewatch.vault.layout import BackupPath, region_key

_PROBE = re.compile(
    r"^probes/(\d{4}-\d{2}-\d{2})/(?:(?:put|parts|attributes|trailing|clock|hold)-[0-9a-f]{8}|locked|clock|checksum)$"
)
"""The names that probes give; `clock` and `checksum` are of earlier ones."""


@dataclass
class Folder:
    """The versions under the place of one backup id, in key order, those of one key newest first."""

    path: BackupPath
    versions: list[ListedVersion] = field(default_factory=list)

    @property
    def backup_id(self) -> str:
        return self.path.backup_id

    @property
    def manifests(self) -> list[ListedVersion]:
        """Versions and delete markers of manifest.json."""
        return [v for v in self.versions if v.key == self.path.manifest_key]

    @property
    def decisions(self) -> list[ListedVersion]:
        """Versions and delete markers of decision.json."""
        return [v for v in self.versions if v.key == self.path.decision_key]

    @property
    def touched_at(self) -> datetime:
        """When something here was last written, by the store's clock."""
        return max(v.last_modified for v in self.versions)


@dataclass(frozen=True)
class ProbeVersion:
    """Something a probe wrote; `day` is the folder's name, midnight UTC."""

    version: ListedVersion
    day: datetime


@dataclass(frozen=True)
class AnchorVersion:
    """A signed head of the ledger (evidence/anchoring.py). It is nobody's orphan, whatever its age."""

    version: ListedVersion
    name: AnchorName


@dataclass(frozen=True)
class Stray:
    """Something under the prefix that is no part of the layout."""

    version: ListedVersion


def survey(region: Region, below: str = "") -> Iterator[Folder | ProbeVersion | AnchorVersion | Stray]:
    """Everything under the region's prefix (or only under `<prefix>/<below>`), in key order. One folder at
    a time is held in memory.

    Raises RegionError when the region cannot be listed to its end: what was yielded is then not all.
    """
    prefix = region.config.prefix
    folder: Folder | None = None
    for version in region.store.list_versions(region_key(prefix, below)):
        place = place_of(prefix, version.key)
        if isinstance(place, BackupPath):
            if folder is None or folder.path != place:
                if folder is not None:
                    yield folder
                folder = Folder(place)
            folder.versions.append(version)
        elif isinstance(place, datetime):
            yield ProbeVersion(version, place)
        elif place is not None:
            yield AnchorVersion(version, place)
        else:
            yield Stray(version)
    if folder is not None:
        yield folder


def place_of(prefix: str, key: str) -> BackupPath | datetime | AnchorName | None:
    """The backup that `key` belongs to, the day of the probe that wrote it, or the head that is anchored
    there; None: none of these.

    Strict: only keys that we ourselves would have written belong to anything.
    """
    lead = region_key(prefix, "")
    if not key.startswith(lead):
        return None
    relative = key[len(lead) :]
    if probe := _PROBE.fullmatch(relative):
        try:
            return datetime.strptime(probe[1], "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            return None
    if anchor := parse_anchor_key(prefix, key):
        return anchor
    parts = relative.split("/")
    if len(parts) not in (5, 6):
        return None
    try:
        path = BackupPath(prefix, parts[0], parts[3])
        own = {path.manifest_key, path.decision_key}
        if len(parts) == 6:
            own = {path.object_key(parts[5])}
    except ConfigError:
        return None
    return path if key in own else None


def readable(versions: Sequence[ListedVersion]) -> list[ListedVersion]:
    """Those with bytes, newest first: what to try when the newest one is not to be trusted."""
    return [v for v in versions if not v.delete_marker]
