"""What every step of a retraining is given."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tidewatch.core.clock import Clock
from tidewatch.core.connections import Resolver
from tidewatch.core.database import Connection, connect
from tidewatch.core.progress import Progress, silent
from tidewatch.core.settings import Settings
from tidewatch.sentiment.retraining.settings import RetrainingFile, load_retraining


@dataclass(frozen=True)
class RetrainContext:
    """What every step is given. `connect` opens a session on the warehouse, `directory` is where model files
    are kept between steps, `timer` gives seconds for the speed."""

    settings: Settings
    plan: RetrainingFile
    connect: Callable[[], Connection]
    now: Clock
    progress: Progress = silent
    directory: Path = field(default_factory=Path)
    timer: Callable[[], float] = time.perf_counter


def build_context(
    settings: Settings, resolver: Resolver, *, clock: Clock, progress: Progress = silent
) -> RetrainContext:
    """Read config/retraining.yaml; no connection is opened. Raises ConfigError."""

    def warehouse() -> Connection:
        dsn = resolver(settings.warehouse_connection).postgres_dsn()
        return connect(dsn, application_name="tidewatch retrain")

    plan, directory = load_retraining(settings.config_dir), settings.home / "models"
    return RetrainContext(settings, plan, warehouse, clock, progress, directory)
