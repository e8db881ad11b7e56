"""Where restores may write: `config/restore.yaml`, and the target as a person writes it."""

import fnmatch
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from tidewatch.core.config import Strict, expand_path, read_yaml
from tidewatch.core.connections import Resolver
from tidewatch.core.errors import ConfigError
from tidewatch.core.settings import Settings

Kind = Literal["database", "directory", "bucket"]
KINDS: tuple[Kind, ...] = ("database", "directory", "bucket")
_FORMS = "database:CONNECTION[/NAME], directory:PATH or bucket:CONNECTION/BUCKET[/PREFIX]"


class RestoreFile(Strict):
    """config/restore.yaml: shell patterns of targets, written as `--to` takes them."""

    scratch: list[str] = Field(default_factory=list)
    """May be written to without a confirmation."""
    allowed: list[str] = Field(default_factory=list)
    """May be written to when the name is confirmed; they must be absent or empty."""
    overwrite: list[str] = Field(default_factory=list)
    """May be replaced when the name is confirmed; what was there is kept under another name."""

    @field_validator("scratch", "allowed", "overwrite")
    @classmethod
    def _forms(cls, values: list[str]) -> list[str]:
        return [_pattern(value) for value in values]


def _pattern(text: str) -> str:
    kind, colon, rest = text.partition(":")
    if kind not in KINDS or not colon or not rest:
        raise ValueError(f"a pattern has the form {_FORMS}")
    return f"directory:{expand_path(rest)}" if kind == "directory" else text


@dataclass(frozen=True)
class Where:
    """A target. `name` is what a person confirms."""

    kind: Kind
    text: str
    """In the one spelling that patterns are compared with; holds no secret."""
    name: str
    connection: str = ""
    path: Path = Path()
    bucket: str = ""
    prefix: str = ""


def parse_target(text: str, resolver: Resolver) -> Where:
    """`--to` as a target. Raises ConfigError."""
    kind, colon, rest = text.partition(":")
    if colon and rest:
        if kind == "directory":
            # Links are followed before anything is compared with a pattern.
            path = Path(os.path.realpath(Path(rest).absolute()))
            if path != Path("/"):
                return Where("directory", f"directory:{path}", path.name, path=path)
        elif kind == "database":
            connection, _, name = rest.partition("/")
            name = name or resolver(connection).schema or ""
            if connection and name:
                return Where("database", f"database:{connection}/{name}", name, connection)
        elif kind == "bucket":
            connection, _, place = rest.partition("/")
            bucket, _, prefix = place.partition("/")
            prefix = prefix.strip("/")
            # Steps that some stores take and others do not: no pattern can say what they lead to.
            odd = {"", ".", ".."} & {bucket, *(prefix.split("/") if prefix else ())}
            if connection and not odd:
                shown = f"bucket:{connection}/{bucket}" + (f"/{prefix}" if prefix else "")
                return Where("bucket", shown, bucket, connection, bucket=bucket, prefix=prefix)
    raise ConfigError(
        "The target cannot be read",
        expected=_FORMS,
        found=repr(text[:200]),
        do="write it so; CONNECTION is the id of a connection (docs/connections.md)",
    )


@dataclass(frozen=True)
class Permission:
    """What config/restore.yaml says of a target."""

    scratch: bool
    replace: bool


def permission(settings: Settings, where: Where) -> Permission:
    """Raises ConfigError when nothing in config/restore.yaml allows the target."""
    path = settings.config_dir / "restore.yaml"
    file = read_yaml(path, RestoreFile)
    replace = _matches(where, file.overwrite)
    scratch = _matches(where, file.scratch)
    if not (scratch or replace or _matches(where, file.allowed)):
        raise ConfigError(
            f"{where.text} is not a target that restores may write to",
            expected="a target that a pattern in config/restore.yaml allows: "
            + (", ".join([*file.scratch, *file.allowed, *file.overwrite]) or "(there is none)"),
            found=where.text,
            do=f"choose another target, or add a pattern to {path}",
        )
    return Permission(scratch and not replace, replace)


def _matches(where: Where, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(where.text, pattern) for pattern in patterns)


def require_confirmed(where: Where, allowed: Permission, confirmed: str | None) -> None:
    """Raises ConfigError unless the target is scratch or its name was typed."""
    if allowed.scratch or confirmed == where.name:
        return
    raise ConfigError(
        f"A restore to {where.text} needs a confirmation",
        expected=f"--confirm {where.name} (in the Dag: the parameter confirm)",
        found="another name" if confirmed else "none",
        do="look at the dry run; if this is where it shall go, type the name",
    )
