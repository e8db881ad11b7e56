"""Where the parts of a backup lie in a region.

    <prefix>/<source>/<yyyy>/<mm>/<backup_id>/objects/<name>
    <prefix>/<source>/<yyyy>/<mm>/<backup_id>/manifest.json     written last, only if absent
    <prefix>/<source>/<yyyy>/<mm>/<backup_id>/decision.json     a person's word on a suspect backup

`backup_id` is `<source>-<yyyymmddThhmmssZ>-<8 hex>`: unique for each attempt, so no object is ever
rewritten. Year and month are those of the id (UTC). The prefix is the region's own; everything below it is
the same in every region and is called the relative key: that is what a manifest stores.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from tidewatch.core.clock import require_utc
from tidewatch.core.errors import ConfigError

SOURCE_PATTERN = r"[a-z][a-z0-9_]{0,39}"
BACKUP_ID_PATTERN = rf"^{SOURCE_PATTERN}-[0-9]{{8}}T[0-9]{{6}}Z-[0-9a-f]{{8}}$"
OBJECT_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$"

_BACKUP_ID = re.compile(rf"^(?P<source>{SOURCE_PATTERN})-(?P<at>\d{{8}}T\d{{6}}Z)-[0-9a-f]{{8}}$")
_OBJECT_NAME = re.compile(OBJECT_NAME_PATTERN)
_STAMP = "%Y%m%dT%H%M%SZ"
_MANIFEST = "manifest.json"
_DECISION = "decision.json"


def new_backup_id(source: str, now: datetime, entropy: bytes) -> str:
    """The id of an attempt begun at `now`. `entropy`: at least 2 random bytes, of which 12 bits are used.

    Ids of one source sort by time, to the microsecond. Raises ConfigError when `source` cannot be part of an
    object key, ValueError on too little entropy.
    """
    if len(entropy) < 2:
        raise ValueError(f"a backup id needs 2 random bytes, {len(entropy)} were given")
    moment = require_utc(now)
    backup_id = f"{source}-{moment.strftime(_STAMP)}-{moment.microsecond:05x}{entropy.hex()[:3]}"
    _parse_id(backup_id)
    return backup_id


def _parse_id(backup_id: str) -> tuple[str, datetime]:
    match = _BACKUP_ID.fullmatch(backup_id)
    if match:
        try:
            return match["source"], datetime.strptime(match["at"], _STAMP).replace(tzinfo=UTC)
        except ValueError:  # digits in the right places that are no date
            pass
    raise ConfigError(
        f"{backup_id[:80]!r} is not the id of a backup",
        expected="<source>-<yyyymmddThhmmssZ>-<8 hex digits>, source of a-z, 0-9, _",
        found=repr(backup_id[:80]),
        do="copy the id from `tidewatch backup list`, or correct the name in config/sources.yaml",
    )


def source_of(backup_id: str) -> str:
    """The source named in a backup id. Raises ConfigError."""
    return _parse_id(backup_id)[0]


def started_at(backup_id: str) -> datetime:
    """The moment named in a backup id, UTC, whole seconds. Raises ConfigError."""
    return _parse_id(backup_id)[1]


def region_key(prefix: str, relative: str) -> str:
    """The full key in a region with `prefix` of the relative key that a manifest stores."""
    return f"{prefix}/{relative}" if prefix else relative


def source_prefix(prefix: str, source: str) -> str:
    """What to list to see everything of one source in a region."""
    return region_key(prefix, f"{source}/")


@dataclass(frozen=True)
class BackupPath:
    """The place of one backup below `prefix` (the region's; empty: relative keys)."""

    prefix: str
    source: str
    backup_id: str

    def __post_init__(self) -> None:
        source, _ = _parse_id(self.backup_id)
        if source != self.source:
            raise ConfigError(
                f"Backup {self.backup_id} is not one of source {self.source}",
                expected=f"an id that begins with {self.source}-",
                found=self.backup_id,
                do="use the source that the id names",
            )

    @property
    def root(self) -> str:
        """Key prefix of everything of this backup, without a slash at the end."""
        at = started_at(self.backup_id)
        return region_key(self.prefix, f"{self.source}/{at:%Y}/{at:%m}/{self.backup_id}")

    @property
    def relative(self) -> "BackupPath":
        """The same place without the region's prefix: its keys are what manifests store."""
        return replace(self, prefix="")

    def object_key(self, name: str) -> str:
        """Key of the object `name`. Raises ConfigError for a name that is no plain file name."""
        if not _OBJECT_NAME.fullmatch(name):
            raise ConfigError(
                f"{name[:80]!r} cannot be the name of an object",
                expected="letters, digits, dot, dash and underscore, at most 200, no slash",
                found=repr(name[:80]),
                do="choose a plain file name",
            )
        return f"{self.root}/objects/{name}"

    @property
    def manifest_key(self) -> str:
        return f"{self.root}/{_MANIFEST}"

    @property
    def decision_key(self) -> str:
        return f"{self.root}/{_DECISION}"


def parse_manifest_key(key: str) -> BackupPath | None:
    """The backup whose manifest has this key, or None when `key` is anything else.

    The year and month must be those of the id: a manifest copied to another place is not that backup.
    """
    parts = key.split("/")
    if len(parts) < 5 or parts[-1] != _MANIFEST:
        return None
    try:
        path = BackupPath("/".join(parts[:-5]), parts[-5], parts[-2])
    except ConfigError:
        return None
    return path if path.manifest_key == key else None
