"""What every restore function is given. The warehouse is not needed: a restore reads regions and keys."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from tidewatch.core.clock import Clock
from tidewatch.core.config import read_yaml
from tidewatch.core.connections import Resolver
from tidewatch.core.database import Connection, connect
from tidewatch.core.errors import ConfigError
from tidewatch.core.names import named
from tidewatch.core.progress import Progress, silent
from tidewatch.core.regions import Region, RegionsFile, open_regions
from tidewatch.core.settings import Settings
from tidewatch.core.signing import KeyRing
from tidewatch.core.sources import SourcesFile
from tidewatch.vault.envelope import Identities, load_identities
from tidewatch.vault.manifest import Manifest


@dataclass(frozen=True)
class RestoreContext:
    """`connect` opens a session on the warehouse, where there is one; keys are read when first needed."""

    settings: Settings
    connect: Callable[[], Connection]
    sources: SourcesFile
    regions_file: RegionsFile
    regions: tuple[Region, ...]
    resolver: Resolver
    clock: Clock
    progress: Progress = silent

    @cached_property
    def ring(self) -> KeyRing:
        """The public keys that sign manifests. Raises ConfigError."""
        return KeyRing.load(self.settings.verify_key_file)

    @cached_property
    def identities(self) -> Identities:
        """The private keys that open backups. Raises ConfigError."""
        path = self.settings.identity_file
        if path is None:
            raise ConfigError(
                "There is no private key to open backups with",
                expected="an age identity file, named by TIDEWATCH_IDENTITY_FILE",
                found="the variable is not set",
                do="bring the identity from where it is kept (docs/keys.md), set TIDEWATCH_IDENTITY_FILE to "
                "the file, and take it away again afterwards",
            )
        return load_identities(path)

    def identities_for(self, manifest: Manifest) -> Identities:
        """The private keys, when one of them opens this backup. Raises ConfigError."""
        held, wanted = self.identities, manifest.encryption.key_ids
        if not set(held.key_ids) & set(wanted):
            raise ConfigError(
                f"The private key does not open {manifest.backup_id}",
                expected="the identity of key " + " or ".join(wanted),
                found="key " + ", ".join(held.key_ids),
                do="bring the identity whose key id the manifest names (config/keys.yaml says who holds it)",
            )
        return held

    def now(self) -> datetime:
        return self.clock()

    def region(self, name: str) -> Region:
        """Raises NotFound."""
        return named(self.regions, name, "region", "config/regions.yaml")


def build_context(
    settings: Settings, resolver: Resolver, *, clock: Clock, progress: Progress = silent
) -> RestoreContext:
    """Read config/sources.yaml and config/regions.yaml and resolve the regions; no connection is opened.

    Raises ConfigError, RegionMisconfigured, and MissingConnection when no region at all has one: one is
    enough. Whether there is a warehouse shows when it is asked for.
    """
    sources = read_yaml(settings.config_dir / "sources.yaml", SourcesFile)
    regions_file = read_yaml(settings.config_dir / "regions.yaml", RegionsFile)

    def warehouse() -> Connection:
        dsn = resolver(settings.warehouse_connection).postgres_dsn()
        return connect(dsn, application_name="tidewatch restore")

    return RestoreContext(
        settings=settings,
        connect=warehouse,
        sources=sources,
        regions_file=regions_file,
        regions=tuple(open_regions(regions_file, resolver, strict=False)),
        resolver=resolver,
        clock=clock,
        progress=progress,
    )
