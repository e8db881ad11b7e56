"""A backup context on real servers, for the tests of tests/backup and tests/faults."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "restore"))

import pytest
from backup_rig import Rig

from tidewatch.core.regions import Region


@pytest.fixture
def rig(tmp_path: Path, warehouse: str, three_regions: list[Region], keys: object) -> Rig:
    return Rig(tmp_path, warehouse, three_regions, keys)


@pytest.fixture(autouse=True)
def _gate_is_remembered(remembered_gate: None) -> None:
    """What gates say is tested in tests/quality."""
