"""config/doctor.yaml: from when on the doctor calls something a problem."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tidewatch.core.config import Strict, read_yaml

_Hours = Annotated[float, Field(gt=0, le=24 * 366 * 10)]
"""Ten years at most: nobody means more, and there is no such length of time from some point on."""


class Limits(Strict):
    """How old a source's newest backup may be is a matter of the source (`max_age_hours` there)."""

    degraded_hours: _Hours = 24
    """A backup that still lacks copies after so long is not healing."""
    suspect_hours: _Hours = 24
    """How long a suspect backup may wait for a person."""
    unfinished_hours: _Hours = 12
    """A backup that is staging or staged longer than this was left lying."""
    probe_hours: _Hours = 26
    clock_skew_seconds: float = Field(60, gt=0)
    """Between this machine and a region or the database, either way."""
    disk_free_gib: float = Field(2, ge=0)
    """Below this on the disk of the state directory or of the data docs."""
    database_gib: float | None = Field(None, gt=0)
    """Size of the warehouse above which to warn; None: never."""
    key_warn_days: int = Field(30, ge=0, le=3660)
    """How long before the expiry in config/keys.yaml to warn."""
    notice_hours: _Hours = 6
    """A notice that no channel took after so long is undelivered."""
    ledger_full_records: int = Field(20_000, ge=0)
    """A ledger of at most so many records is verified whole each time, a longer one since the last check."""
    timeout_seconds: float = Field(30, gt=0, le=3600)
    """For each of: database, a region, a source, the ledger. They are asked side by side."""
    retired_sources: list[str] = Field(default_factory=list)
    """Sources that are no longer configured on purpose; their backups stay."""

    @property
    def timeout(self) -> timedelta:
        return timedelta(seconds=self.timeout_seconds)


def read_limits(config_dir: Path) -> Limits:
    """config/doctor.yaml; without it every limit has its default. Raises ConfigError."""
    path = config_dir / "doctor.yaml"
    return read_yaml(path, Limits) if path.exists() else Limits()
