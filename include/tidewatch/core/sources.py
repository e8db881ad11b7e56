"""Sources: what is backed up. `config/sources.yaml` is read here."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tidewatch.core.config import Strict
from tidewatch.core.errors import NotFound


class GateBand(Strict):
    """What the backup gate calls plausible for this source."""

    row_ratio_min: float = Field(0.8, ge=0)
    """Rows of a table divided by the median of its last `history` good backups: below this is suspect."""
    row_ratio_max: float | None = Field(None, gt=0)
    history: int = Field(7, ge=1, le=365)
    min_rows: int = Field(20, ge=0)
    """Tables whose median is smaller are not judged by ratio."""
    volatile: list[str] = Field(default_factory=list)
    """Shell patterns of `schema.table` that are not judged by ratio (queues, sessions, logs)."""
    may_vanish: list[str] = Field(default_factory=list)
    """Shell patterns of tables that may be absent from the next backup."""
    snapshot_age_max_seconds: int = Field(6 * 3600, ge=60)


class _Source(Strict):
    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    data_class: str
    regions: list[str] | None = None
    """Names from config/regions.yaml; None: all."""
    gate: GateBand = GateBand()


class PostgresSource(_Source):
    """A PostgreSQL database, 13 to 18."""

    type: Literal["postgres"]
    connection: str
    lock_timeout_seconds: int = Field(30, ge=1)
    allow_empty: bool = False


class FilesSource(_Source):
    """A directory (`path`) or an S3 prefix (`connection`, `bucket`, `prefix`)."""

    type: Literal["files"]
    path: str | None = None
    connection: str | None = None
    bucket: str | None = None
    prefix: str = ""
    exclude: list[str] = Field(default_factory=list)
    """Shell patterns of relative paths that are left out (and counted)."""
    allow_empty: bool = False

    @model_validator(mode="after")
    def _one_place(self) -> "FilesSource":
        s3 = self.connection is not None or self.bucket is not None
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
        if len(set(names)) != len(names):
            raise ValueError("two sources have the same name")
        return self

    def source(self, name: str) -> PostgresSource | FilesSource:
        """Raises NotFound naming the sources there are."""
        for source in self.sources:
            if source.name == name:
                return source
        raise NotFound(
            f"There is no source {name}",
            expected="one of " + ", ".join(s.name for s in self.sources),
            found=name,
            do="correct the name, or add the source to config/sources.yaml",
        )
