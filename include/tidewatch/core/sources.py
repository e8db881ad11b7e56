"""Sources: what is backed up. `config/sources.yaml` is read here."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tidewatch.core.config import ProjectPath, Strict
from tidewatch.core.names import named


class GateBand(Strict):
    """What the backup gate calls plausible for this source."""

    row_ratio_min: float = Field(0.8, ge=0, le=1)
    """Rows of a table divided by the median of its last `history` good backups: below this is suspect."""
    row_ratio_max: float | None = Field(None, ge=1)
    """Above this is suspect; None: growth is never suspect."""
    history: int = Field(7, ge=1, le=365)
    min_rows: int = Field(20, ge=0)
    """Tables whose median is smaller are not judged by ratio."""
    volatile: list[str] = Field(default_factory=list)
    """Shell patterns of `schema.table` that are not judged by ratio (queues, sessions, logs)."""
    may_vanish: list[str] = Field(default_factory=list)
    """Shell patterns of tables that may be absent from the next backup."""
    must_have: list[str] = Field(default_factory=list)
    """Shell patterns of tables (`schema.table`) or paths; a backup that has nothing for one is suspect,
    whatever earlier backups had."""
    snapshot_age_max_seconds: int = Field(6 * 3600, ge=60)


class _Source(Strict):
    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    data_class: str = Field(min_length=1)
    """What the residency policy in config/regions.yaml knows it as."""
    regions: list[str] | None = Field(None, min_length=1)
    """Names from config/regions.yaml; None: all."""
    gate: GateBand = GateBand()
    max_age_hours: float = Field(26, gt=0, le=24 * 366 * 10)
    """How old the snapshot of its newest sealed backup may be; then `tidewatch doctor` reports a problem."""

    @field_validator("regions")
    @classmethod
    def _each_once(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and len(set(value)) != len(value):
            raise ValueError("each region once")
        return value


class PostgresSource(_Source):
    """A PostgreSQL database, 13 to 18."""

    type: Literal["postgres"]
    connection: str
    lock_timeout_seconds: int = Field(30, ge=1)
    allow_empty: bool = False


class FilesSource(_Source):
    """A directory (`path`) or an S3 prefix (`connection`, `bucket`, `prefix`)."""

    type: Literal["files"]
    path: ProjectPath | None = None
    """A directory, absolute once it is read. `${TIDEWATCH_HOME}` and `${TIDEWATCH_PROJECT}` are replaced, a
    relative path is relative to the project."""
    connection: str | None = None
    bucket: str | None = None
    prefix: str = ""
    exclude: list[str] = Field(default_factory=list)
    """Shell patterns of relative paths that are left out (and counted)."""
    allow_empty: bool = False

    @model_validator(mode="after")
    def _one_place(self) -> "FilesSource":
        s3 = self.connection is not None or self.bucket is not None or self.prefix != ""
        if (self.path is not None) == s3:
            raise ValueError("a files source has either `path`, or `connection` and `bucket`")
        if s3 and (self.connection is None or self.bucket is None):
            raise ValueError("an S3 files source needs both `connection` and `bucket`")
        return self


Source = Annotated[PostgresSource | FilesSource, Field(discriminator="type")]


class SourcesFile(Strict):
    """config/sources.yaml."""

    sources: list[Source] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> "SourcesFile":
        names = [s.name for s in self.sources]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"a name of its own for each source; {', '.join(twice)} is there twice")
        return self

    def source(self, name: str) -> PostgresSource | FilesSource:
        """Raises NotFound naming the sources there are."""
        return named(self.sources, name, "source", "config/sources.yaml")
