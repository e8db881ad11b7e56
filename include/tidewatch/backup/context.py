"""What every backup function is given: configuration, connections, keys, clock. Built once by CLI and
Dags.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from tidewatch.backup.fanout import PART_SIZE
from tidewatch.backup.plan import PlannedSource, plan_source
from tidewatch.core.clock import Clock
from tidewatch.core.config import read_yaml
from tidewatch.core.connections import Resolver
from tidewatch.core.database import Connection, connect
from tidewatch.core.errors import ConfigError
from tidewatch.core.names import named
from tidewatch.core.progress import Progress, silent
from tidewatch.core.regions import Region, RegionsFile, open_regions
from tidewatch.core.retention import RetentionFile
from tidewatch.core.settings import Settings
from tidewatch.core.signing import KeyRing, SigningKey
from tidewatch.core.sources import SourcesFile
from tidewatch.vault.envelope import Recipients, load_recipients


@dataclass(frozen=True)
class Tuning:
    """How objects are sent. Bytes and seconds; see `fanout.FanOut`."""

    part_size: int = PART_SIZE
    queue_parts: int = 4
    stall_seconds: float = 60.0
    max_drag: float = 1.0
    progress_seconds: float = 5.0


@dataclass(frozen=True)
class BackupContext:
    """`connect` opens a session on the warehouse; keys are read when they are first needed."""

    settings: Settings
    connect: Callable[[], Connection]
    sources: SourcesFile
    regions_file: RegionsFile
    regions: tuple[Region, ...]
    resolver: Resolver
    clock: Clock
    progress: Progress = silent
    tuning: Tuning = field(default_factory=Tuning)
    retention: RetentionFile | None = None
    """None: there is no config/retention.yaml. Then nothing expires, and locks last `lock_days`."""

    @cached_property
    def signing_key(self) -> SigningKey:
        """Raises ConfigError."""
        return SigningKey.load(self.settings.signing_key_file)

    @cached_property
    def ring(self) -> KeyRing:
        """The public keys of the verify key file and our own. Where that file is missing or broken, our own
        alone: a backup must not fail for want of an old key; `tidewatch doctor` tells of the file."""
        try:
            known = KeyRing.load(self.settings.verify_key_file)
        except ConfigError:
            return KeyRing((self.signing_key.public,))
        return known.with_key(self.signing_key.public)

    @cached_property
    def recipients(self) -> Recipients:
        """Raises ConfigError."""
        return load_recipients(self.settings.recipients_file)

    def now(self) -> datetime:
        return self.clock()

    def planned(self, source: str) -> PlannedSource:
        """The plan of one source. Raises NotFound, ConfigError, ResidencyError."""
        return plan_source(self.sources.source(source), self.regions_file, self.regions)

    def region(self, name: str) -> Region:
        """Raises NotFound."""
        return named(self.regions, name, "region", "config/regions.yaml")


def read_retention(settings: Settings) -> RetentionFile | None:
    """config/retention.yaml, None where there is none. Raises ConfigError."""
    file = settings.config_dir / "retention.yaml"
    return read_yaml(file, RetentionFile) if file.exists() else None


def build_context(
    settings: Settings,
    resolver: Resolver,
    *,
    clock: Clock,
    progress: Progress = silent,
    tuning: Tuning | None = None,
) -> BackupContext:
    """Read config/sources.yaml, config/regions.yaml and, where there is one, config/retention.yaml; resolve
    the regions.

    Raises ConfigError, MissingConnection, RegionMisconfigured. Opens no connection yet.
    A region whose connection is missing or wrong fails when it is used, as one that is down does: the others
    get their copies.
    """
    sources = read_yaml(settings.config_dir / "sources.yaml", SourcesFile)
    regions_file = read_yaml(settings.config_dir / "regions.yaml", RegionsFile)
    dsn = resolver(settings.warehouse_connection).postgres_dsn()
    return BackupContext(
        settings=settings,
        connect=lambda: connect(dsn, application_name="tidewatch backup"),
        sources=sources,
        regions_file=regions_file,
        regions=tuple(open_regions(regions_file, resolver, strict=False)),
        resolver=resolver,
        clock=clock,
        progress=progress,
        tuning=tuning or Tuning(),
        retention=read_retention(settings),
    )
