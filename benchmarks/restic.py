"""The peer restic: backup of the same pg_dump into one repository, then `restic copy` to two more.

Restic cuts, compresses, encrypts and packs on the client; a copy decrypts and encrypts again, since each
repository has a key of its own. Repositories are made before the clock starts, and share their chunker
parameters as restic advises for copies.
"""

import shutil
import subprocess
from pathlib import Path
from shlex import quote

from measure import Taken, run, shell
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from rig import Running

GET = "apt-get install restic"


def version() -> str | None:
    """None when it is not installed."""
    if shutil.which("restic") is None:
        return None
    return subprocess.run(["restic", "version"], capture_output=True, text=True, check=True).stdout.strip()


class Restic:
    """Five repositories of one measurement: one to back up to, two to copy to in turn, two at once."""

    def __init__(self, place: Running, name: str) -> None:
        self._place = place
        self._name = name
        stores = place.rig.stores
        cache = place.scratch / f"restic-{name}"
        login = conninfo_to_dict(place.rig.database)
        self._env = {
            "RESTIC_PASSWORD": "benchmark",
            "RESTIC_FROM_PASSWORD": "benchmark",
            "RESTIC_CACHE_DIR": str(cache),
            "AWS_ACCESS_KEY_ID": stores[0].login,
            "AWS_SECRET_ACCESS_KEY": stores[0].password,
            "PGPASSWORD": str(login["password"]),
        }
        self._cache = cache
        self._dsn = make_conninfo(place.rig.database, password=None)
        self._first = self._repository(0, "")
        run(["restic", "-q", "-r", self._first, "init"], env=self._env)
        for repository in (*self._others("turn"), *self._others("once")):
            self._restic("-r", repository, "init", "--from-repo", self._first, "--copy-chunker-params")

    def _repository(self, number: int, suffix: str) -> str:
        store = self._place.rig.stores[number]
        return f"s3:{store.url}/{store.bucket}/restic-{self._name}{suffix}"

    def _others(self, suffix: str) -> list[str]:
        return [self._repository(number, suffix) for number in (1, 2)]

    def _restic(self, *arguments: str) -> Taken:
        return run(["restic", "-q", *arguments], env=self._env)

    def measure(self) -> dict[str, Taken]:
        """`backup`, `copies` one after the other, `copies at once`; then forget the repositories."""
        dump: Path = self._place.postgres.bin_dir / "pg_dump"
        pipe = f"{dump} -Fc -Z0 -d {quote(self._dsn)} | restic -q -r {self._first} backup --stdin"
        copies = [f"restic -q -r {to} copy --from-repo {self._first}" for to in self._others("turn")]
        at_once = [f"restic -q -r {to} copy --from-repo {self._first}" for to in self._others("once")]
        taken = {
            "backup": self._shell(pipe),
            "copies": self._shell("; ".join(copies)),
            "copies at once": self._shell(f"{at_once[0]} & p=$!; {at_once[1]}; wait $p"),
        }
        shutil.rmtree(self._cache, ignore_errors=True)
        return taken

    def _shell(self, text: str) -> Taken:
        return shell(text, env=self._env, servers=self._place.servers())
