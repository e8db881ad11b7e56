"""A source with a history: real backups in real regions, made older than they are."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "backup"))

import pytest
from history_rig import HistoryRig

from tidewatch.core.regions import Region


@pytest.fixture
def rig(tmp_path: Path, warehouse: str, three_regions: list[Region], keys: object) -> HistoryRig:
    rig = HistoryRig(tmp_path, warehouse, three_regions, keys)
    rig.media.mkdir()
    rig.files_source("media", rig.media, gate={"row_ratio_min": 0.0, "may_vanish": ["*"]})
    for region in three_regions:
        rig.configure(region.name, lock_mode="GOVERNANCE")
    return rig


@pytest.fixture(autouse=True)
def _gate_is_remembered(remembered_gate: None) -> None:
    """What gates say is tested in tests/quality."""
