"""What every page is given: the warehouse, the configuration, the clock; and how people come in."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from starlette.requests import Request

from tidewatch.access.roles import Person
from tidewatch.backup.context import read_retention
from tidewatch.core.clock import Clock
from tidewatch.core.config import read_yaml
from tidewatch.core.connections import Resolver
from tidewatch.core.database import Connection, connect
from tidewatch.core.regions import RegionsFile
from tidewatch.core.settings import Settings
from tidewatch.core.sources import SourcesFile
from tidewatch.sentiment.labels.mapping import LabelsFile
from tidewatch.sentiment.retraining.settings import RetrainingFile, load_retraining

DEFAULT_ZONE = "Asia/Shanghai"
_STATEMENT_SECONDS = 20


@dataclass(frozen=True)
class Desk:
    """Where the console gets what it shows. `zone`: the time zone of days and times on the pages."""

    settings: Settings
    resolver: Resolver
    clock: Clock
    zone: ZoneInfo

    def connect(self) -> Connection:
        """A session for changes; who opens it commits. Raises SourceUnreachable, MissingConnection."""
        dsn = self.resolver(self.settings.warehouse_connection).postgres_dsn()
        return connect(dsn, application_name="tidewatch console")

    def look(self) -> Connection:
        """A session that can change nothing and answers within 20 s or not at all."""
        conn = self.connect()
        conn.read_only = True
        conn.execute(f"set statement_timeout = '{_STATEMENT_SECONDS}s'")
        return conn

    def now(self) -> datetime:
        return self.clock()

    def sources(self) -> list[str]:
        """Names from config/sources.yaml. Raises ConfigError."""
        return [s.name for s in read_yaml(self.settings.config_dir / "sources.yaml", SourcesFile).sources]

    def regions_file(self) -> RegionsFile:
        """config/regions.yaml. Raises ConfigError."""
        return read_yaml(self.settings.config_dir / "regions.yaml", RegionsFile)

    def labels_file(self) -> LabelsFile:
        """config/labels.yaml. Raises ConfigError."""
        return read_yaml(self.settings.config_dir / "labels.yaml", LabelsFile)

    def retraining_file(self) -> RetrainingFile:
        """config/retraining.yaml. Raises ConfigError."""
        return load_retraining(self.settings.config_dir)


@dataclass(frozen=True)
class Door:
    """Who may come in is decided by whoever mounts the console: Airflow's login, or our own sign-in."""

    who: Callable[[Request], Awaitable[Person | None]]
    """Who sent this request; None: nobody we know."""
    sign_in_url: Callable[[Request], str]
    """Where a browser is sent that nobody has signed in with."""
    own: bool = False
    """The console has sign-in pages of its own."""


def open_desk(settings: Settings, resolver: Resolver, clock: Clock) -> Desk:
    """The desk of an installation. Days are those of config/retention.yaml. Raises ConfigError."""
    rules = read_retention(settings)
    return Desk(settings, resolver, clock, ZoneInfo(rules.policy("").timezone if rules else DEFAULT_ZONE))
