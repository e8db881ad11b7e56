"""What pg_restore may complain about: the one parameter that servers before 17 do not know, and nothing else.

The program is an imitation that says what it is told to: the real one puts its sessions in a race.
"""

from pathlib import Path

import pytest

from tidewatch.core.errors import TargetError
from tidewatch.restore.pgrestore import PgRestore
from tidewatch.vault.pgtools import PgTools

TIMEOUT = 'pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "transaction_timeout"\n'  # fmt: skip # noqa: E501
DENIED = "pg_restore: error: could not execute query: ERROR:  permission denied for schema public\n"


def ended(directory: Path, said: str, *, code: int, server_major: int = 16) -> None:
    (directory / "said").write_text(said, encoding="utf-8")
    program = directory / "pg_restore"
    program.write_text(f"#!/bin/sh\ncat '{directory}/said' >&2\nexit {code}\n", encoding="utf-8")
    program.chmod(0o755)
    tools = PgTools(directory, "17.2")
    PgRestore(tools, "dbname=nowhere", [], server_major=server_major, archive=directory / "said").finish()


@pytest.mark.parametrize("sessions", [1, 2, 3])
@pytest.mark.parametrize("counted", [0, 1, 2])
def test_an_unknown_timeout_is_forgiven_however_many_of_its_sessions_were_counted(
    tmp_path: Path, sessions: int, counted: int
) -> None:
    warning = f"pg_restore: warning: errors ignored on restore: {min(counted, sessions)}\n"
    ended(tmp_path, TIMEOUT * sessions + warning, code=1)


@pytest.mark.parametrize(
    ("said", "code", "server_major"),
    [
        (f"{TIMEOUT}{DENIED}pg_restore: warning: errors ignored on restore: 2\n", 1, 16),
        (f"{TIMEOUT}pg_restore: warning: errors ignored on restore: 2\n", 1, 16),
        (f"{DENIED * 800}{TIMEOUT * 500}pg_restore: warning: errors ignored on restore: 9\n", 1, 16),
        (f"{TIMEOUT}", 1, 16),
        (f"{TIMEOUT}pg_restore: warning: errors ignored on restore: 1\n", 2, 16),
        (f"{TIMEOUT}pg_restore: warning: errors ignored on restore: 1\n", 1, 17),
    ],
    ids=[
        "another error",
        "an error not told",
        "errors pushed out",
        "not counted",
        "another end",
        "a new server",
    ],
)
def test_nothing_else_is_forgiven(tmp_path: Path, said: str, code: int, server_major: int) -> None:
    with pytest.raises(TargetError, match="did not load the backup"):
        ended(tmp_path, said, code=code, server_major=server_major)
