"""Servers to back up and to restore into, and the rig of tests/backup."""

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "backup"))
sys.path.insert(0, str(Path(__file__).parent.parent / "restore"))

import pytest
from backup_rig import Rig
from majors import NEWEST, SUPPORTED, server_of

from tidewatch.core.regions import Region
from tidewatch.local.postgres import LocalPostgres


@pytest.fixture
def rig(tmp_path: Path, warehouse: str, three_regions: list[Region], keys: object) -> Rig:
    return Rig(tmp_path, warehouse, three_regions, keys)


@pytest.fixture(scope="module", params=SUPPORTED)
def major(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def origin(major: int, stack_home: Path) -> Iterator[LocalPostgres]:
    """The server that is backed up."""
    with server_of(major, stack_home / f"pg-{major}-origin") as server:
        yield server


@pytest.fixture(scope="module")
def elsewhere(major: int, stack_home: Path) -> Iterator[LocalPostgres]:
    """Another server of the same major, with nothing on it: where a backup is restored."""
    with server_of(major, stack_home / f"pg-{major}-elsewhere") as server:
        yield server


@pytest.fixture(scope="session")
def oldest(stack_home: Path) -> Iterator[LocalPostgres]:
    """A server of the oldest major that is supported."""
    with server_of(SUPPORTED[0], stack_home / "pg-oldest") as server:
        yield server


@pytest.fixture(scope="session")
def newest(stack_home: Path) -> Iterator[LocalPostgres]:
    """A server of the newest major, with nothing on it."""
    with server_of(NEWEST, stack_home / "pg-newest") as server:
        yield server


@pytest.fixture(autouse=True)
def _gate_is_remembered(remembered_gate: None) -> None:
    """What gates say is tested in tests/quality."""
