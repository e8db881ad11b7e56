"""pg_amcheck over the restored database: are tables and indexes sound, and is every row in its indexes?"""

import os
import subprocess

from psycopg.conninfo import conninfo_to_dict

from tidewatch.core.errors import ToolMissing
from tidewatch.restore.checks import Check, passed
from tidewatch.restore.scratch import Scratch

_CORRUPT = 2
_UNIQUE_SINCE = 17
_VARIABLES = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}


def indexes_are_sound(scratch: Scratch, dsn: str, major: int) -> Check:
    """Run pg_amcheck on the database of `dsn`. It installs the extension amcheck there, so take the
    fingerprint first. Raises ToolMissing when the program does not start."""
    fields = conninfo_to_dict(dsn)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")} | {"LC_ALL": "C"}
    environment |= {variable: str(fields[name]) for name, variable in _VARIABLES.items() if name in fields}
    program = scratch.bin_dir / "pg_amcheck"
    command = [str(program), "--install-missing", "--heapallindexed", "--jobs=2", "--no-password"]
    command += ["--checkunique"] if major >= _UNIQUE_SINCE else []
    try:
        done = subprocess.run(
            [*command, str(fields["dbname"])], env=environment, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise ToolMissing(
            "pg_amcheck cannot be started",
            expected=f"a program at {program}",
            found=f"{type(error).__name__}: {error.strerror}",
            do="install the server package of this PostgreSQL version as a whole",
        ) from error
    what = "every table, and every row in its indexes, found sound by pg_amcheck"
    if done.returncode == 0:
        return passed("indexes", what)
    lines = [line.strip() for line in (done.stdout or done.stderr).splitlines() if line.strip()]
    where, said = _first(lines)
    count = sum(line.endswith(":") for line in lines) or 1
    ended = "" if done.returncode == _CORRUPT else f" (exit code {done.returncode})"
    return Check("indexes", False, what, f"{said}{ended}"[:600], where, count)


def _first(lines: list[str]) -> tuple[str, str]:
    """What pg_amcheck says first: the relation, and what is wrong with it. Its messages quote no values."""
    if not lines:
        return "", "no word"
    head = lines[0].rstrip(":")
    return (head, lines[1]) if lines[0].endswith(":") and len(lines) > 1 else ("", lines[0])
