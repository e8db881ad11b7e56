"""What restoring must achieve. `config/restore_tests.yaml` is read here."""

from typing import Annotated

from pydantic import Field

from tidewatch.core.config import Strict, read_yaml
from tidewatch.core.settings import Settings

_NAME = r"[A-Za-z_][A-Za-z0-9_$]{0,62}"
Column = Annotated[str, Field(pattern=rf"^{_NAME}\.{_NAME}\.{_NAME}$")]
"""`schema.table.column`, as it stands in the catalogue (case counts)."""
Seconds = Annotated[int, Field(ge=1, le=366 * 86400)]


class Targets(Strict):
    """For one source."""

    rto_seconds: Seconds
    """From the beginning of a restore until the restored copy was shown to be right."""
    rpo_seconds: Seconds
    """Age of the newest row in the newest backup."""
    newest: list[Column] = Field(default_factory=list)
    """Columns of type timestamptz, timestamp (taken as UTC) or date that say when a row was written."""
    server_settings: dict[str, str] = Field(default_factory=dict)
    """Settings of postgresql.conf that the scratch server needs, such as shared_preload_libraries."""
    superuser: str = Field("postgres", pattern=r"^[^\x00-\x1f]{1,63}$")
    """The role that owns the source's server (`initdb --username`); it belongs to what is compared."""


class SignOff(Strict):
    """Who signs, and until when."""

    days: float = Field(14, gt=0, le=366)
    starter_may_sign: bool = False


class RestoreTestsFile(Strict):
    """config/restore_tests.yaml."""

    default: Targets
    sources: dict[str, Targets] = Field(default_factory=dict)
    older: bool = True
    sign_off: SignOff = SignOff()

    def targets(self, source: str) -> Targets:
        """Those of a source, or the default ones."""
        return self.sources.get(source, self.default)


def load_targets(settings: Settings) -> RestoreTestsFile:
    """Raises ConfigError."""
    return read_yaml(settings.config_dir / "restore_tests.yaml", RestoreTestsFile)
