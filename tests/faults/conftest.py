"""The rig of tests/backup, here too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "backup"))

import pytest
from backup_rig import Rig

from tidewatch.core.regions import Region


@pytest.fixture
def rig(tmp_path: Path, warehouse: str, three_regions: list[Region], keys: object) -> Rig:
    return Rig(tmp_path, warehouse, three_regions, keys)
