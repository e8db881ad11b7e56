"""Where things are on this machine. Values come from `TIDEWATCH_*` environment variables.

Secrets are not settings: they are connections (see `core/connections.py`) or key files named here.
"""

from pathlib import Path

from pydantic import ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidewatch.core.errors import ConfigError

_PROJECT = Path(__file__).resolve().parents[3]


class Settings(BaseSettings):
    """Paths that are not given are derived from `project` (the repository) and `home` (its state).

    Every path is absolute afterwards: a relative one is relative to `project`, because scheduler, workers and
    shells have working directories of their own. An empty variable counts as one that is not set.
    """

    model_config = SettingsConfigDict(env_prefix="TIDEWATCH_", env_ignore_empty=True, extra="ignore")

    project: Path = _PROJECT
    home: Path = Path()
    config_dir: Path = Path()
    sql_dir: Path = Path()
    signing_key_file: Path = Path()
    verify_key_file: Path = Path()
    recipients_file: Path = Path()
    identity_file: Path | None = None
    """The age identity that opens backups; only where somebody restores, never on the backup side."""
    data_docs_dir: Path = Path()
    gx_dir: Path = Path()
    pg_bin_dir: Path | None = None
    """Directory of pg_dump, pg_dumpall and pg_restore; None: PATH, then the embedded wheel."""
    warehouse_connection: str = "tidewatch_warehouse"

    @model_validator(mode="after")
    def _derive(self) -> "Settings":
        given = self.model_fields_set
        self.project = _without_tilde("project", self.project).absolute()
        for name in given - {"project"}:
            if isinstance(path := getattr(self, name), Path):
                setattr(self, name, self.project / _without_tilde(name, path))
        for name, value in (
            ("home", self.project / ".tidewatch"),
            ("config_dir", self.project / "config"),
            ("sql_dir", self.project / "sql"),
        ):
            if name not in given:
                setattr(self, name, value)
        keys = self.home / "keys"
        for name, value in (
            ("signing_key_file", keys / "signing.pem"),
            ("verify_key_file", keys / "signing.pub.pem"),
            ("recipients_file", keys / "recipients.txt"),
            ("data_docs_dir", self.home / "data_docs"),
            ("gx_dir", self.home / "gx"),
        ):
            if name not in given:
                setattr(self, name, value)
        return self


def _without_tilde(name: str, path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(
            f"TIDEWATCH_{name.upper()} begins with the home of a user who is not known"
        ) from None


def load_settings() -> Settings:
    """Settings of this process. Raises ConfigError naming the variable."""
    try:
        return Settings()
    except ValidationError as error:
        raise ConfigError(
            "A TIDEWATCH_ variable cannot be used",
            expected="a value of the right type",
            found="; ".join(e["msg"].removeprefix("Value error, ") for e in error.errors()),
            do="correct the variable or remove it to use the default",
        ) from None
