"""config/keys.yaml: who holds which key, and until when it is to be used. Public facts only."""

from datetime import date
from pathlib import Path

from pydantic import Field, model_validator

from tidewatch.core.config import Strict, read_yaml


class KeyEntry(Strict):
    """One key: an age recipient or a signing key, by its key id (`tidewatch keys list` shows it)."""

    key_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    holder: str = Field(min_length=1, max_length=200)
    """Who keeps the private half, and where: for people."""
    created: date | None = None
    expires: date | None = None
    """The last day (UTC) on which new backups may use it; None: no end."""

    @model_validator(mode="after")
    def _in_order(self) -> "KeyEntry":
        if self.created and self.expires and self.expires < self.created:
            raise ValueError("a key expires after it was created")
        return self


class KeysFile(Strict):
    """config/keys.yaml."""

    keys: list[KeyEntry] = Field(default_factory=list)

    @model_validator(mode="after")
    def _unique(self) -> "KeysFile":
        ids = [k.key_id for k in self.keys]
        if twice := sorted({i for i in ids if ids.count(i) > 1}):
            raise ValueError(f"each key once; {', '.join(twice)} is there twice")
        return self

    def get(self, key_id: str) -> KeyEntry | None:
        return next((k for k in self.keys if k.key_id == key_id), None)


def read_keys_file(config_dir: Path) -> KeysFile:
    """config/keys.yaml, which may be absent: then nothing is known of any key. Raises ConfigError."""
    path = config_dir / "keys.yaml"
    return read_yaml(path, KeysFile) if path.exists() else KeysFile()
