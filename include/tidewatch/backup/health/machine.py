"""This machine: configuration that can be read, room on the disk, sources and programs that fit."""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from psycopg.conninfo import make_conninfo

from tidewatch.backup.gate import GATE
from tidewatch.backup.health.check import Check, Failure, ok, problem
from tidewatch.backup.health.limits import Limits
from tidewatch.core.connections import Resolver
from tidewatch.core.database import connect
from tidewatch.core.errors import TidewatchError
from tidewatch.core.progress import human_bytes
from tidewatch.core.settings import Settings
from tidewatch.core.sources import FilesSource, PostgresSource
from tidewatch.quality.gate import Gate, load_gate
from tidewatch.vault.pgtools import find_tools

GIB = 1 << 30
CONNECT_SECONDS = 5


def read_gate(config: Path) -> Gate:
    """The gate that judges backups. Raises ConfigError."""
    return load_gate(config / "gates" / f"{GATE}.yaml")


def check_disk(settings: Settings, limits: Limits) -> Iterable[Check]:
    """Free room where state and data docs are written."""
    for name, path in {"home": settings.home, "data_docs": settings.data_docs_dir}.items():
        free = shutil.disk_usage(_existing(path)).free
        found = f"{human_bytes(free)} free at {path}"
        if free < limits.disk_free_gib * GIB:
            found += f", wanted are {limits.disk_free_gib:g} GiB"
            yield problem("disk", name, found, "make room, or move the directory (TIDEWATCH_HOME)")
        else:
            yield ok("disk", name, found)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def ask_source(source: PostgresSource | FilesSource, settings: Settings, resolver: Resolver) -> str:
    """What was found, in words. Raises TidewatchError when the source cannot be reached or read."""
    if isinstance(source, FilesSource):
        return _ask_directory(source)
    dsn = resolver(source.connection).postgres_dsn()
    with connect(
        make_conninfo(dsn, connect_timeout=CONNECT_SECONDS), application_name="tidewatch doctor"
    ) as conn:
        version = conn.info.server_version
    tools = find_tools(settings.pg_bin_dir, version // 10_000)
    return f"PostgreSQL {version // 10_000}, read by pg_dump {tools.version}"


def _ask_directory(source: FilesSource) -> str:
    if source.path is None:
        return f"bucket {source.bucket}; asked by the backup itself"
    path = Path(source.path)
    if not path.is_dir() or not os.access(path, os.R_OK | os.X_OK):
        raise TidewatchError(
            f"{path} cannot be read",
            expected="a directory that this user may read",
            found="none" if not path.is_dir() else "one that it may not",
            do=f"mount it, correct `path` of {source.name} in config/sources.yaml, or grant the right",
        )
    return f"directory {path}"


def check_sources_reached(answers: Mapping[str, str | Failure]) -> Iterable[Check]:
    for name, answer in answers.items():
        if isinstance(answer, Failure):
            yield problem("source", name, answer.found, answer.do)
        else:
            yield ok("source", name, answer)
