"""An installation as the command line finds it: configuration files, keys, connections in the environment."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "backup"))
sys.path.insert(0, str(Path(__file__).parent.parent / "notices"))

import pytest
from backup_rig import Rig
from cli_desk import Desk

from tidewatch.core.regions import Region


@pytest.fixture
def desk(
    tmp_path: Path,
    warehouse: str,
    three_regions: list[Region],
    keys: object,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Desk:
    """Three regions, a warehouse, no backup yet."""
    return Desk(Rig(tmp_path, warehouse, three_regions, keys), monkeypatch, capsys)


@pytest.fixture
def backed_up(desk: Desk) -> Desk:
    """The same with one sealed backup of two files, `desk.backup_id`."""
    root = desk.home / "media"
    root.mkdir()
    (root / "a.txt").write_bytes(b"alpha")
    (root / "b.bin").write_bytes(bytes(range(256)) * 2000)
    desk.rig.files_source("media", root)
    outcome = desk.rig.back_up("media")
    assert outcome.verdict == "sealed"
    desk.backup_id = outcome.backup_id
    desk.configure()
    return desk


@pytest.fixture(autouse=True)
def _gate_is_remembered(remembered_gate: None) -> None:
    """What gates say is tested in tests/quality."""
