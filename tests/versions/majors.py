"""Servers of each major: the newest is the wheel's, the others are fetched by tools/fetch_postgres.py."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tools.fetch_postgres import PINS, installed

from tidewatch.local.postgres import LocalPostgres

NEWEST = 18
SUPPORTED = (13, 14, 15, 16, 17, NEWEST)


@contextmanager
def server_of(major: int, home: Path) -> Iterator[LocalPostgres]:
    """A running server; the test is skipped when there are no programs of that major."""
    binaries = None
    if major in PINS:
        binaries = installed(major)
        if binaries is None:
            pytest.skip(
                f"PostgreSQL {major} is not there; to get it: python3 tools/fetch_postgres.py {major}"
            )
    server = LocalPostgres(home, fsync=False, server_binaries=binaries)
    try:
        server.start()
        yield server
    finally:
        server.kill()  # nobody needs its data any more: no shutdown checkpoint
        server.destroy()
