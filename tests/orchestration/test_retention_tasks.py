"""What the tasks of expire_backups do: a run by hand shows, a scheduled one removes."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "backup"))
sys.path.insert(0, str(Path(__file__).parent.parent / "retention"))

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from history_rig import HistoryRig

from tidewatch.backup.lock import source_lock
from tidewatch.core.errors import RegionUnavailable
from tidewatch.core.regions import Region
from tidewatch.orchestration import retention_tasks


@pytest.fixture
def rig(tmp_path: Path, warehouse: str, three_regions: list[Region], keys: object) -> HistoryRig:
    rig = HistoryRig(tmp_path, warehouse, three_regions[:1], keys)
    rig.configure(three_regions[0].name, lock_mode="GOVERNANCE")
    rig.media.mkdir()
    rig.files_source("media", rig.media)
    return rig


def test_a_run_by_hand_shows_and_a_scheduled_one_removes(
    rig: HistoryRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    airflow: dict[str, Any] = {
        "dag": SimpleNamespace(dag_id="expire_backups"),
        "run_id": "today",
        "ti": SimpleNamespace(try_number=1, max_tries=3),
        "dag_run": SimpleNamespace(run_type="manual"),
        "params": {"really_remove": False},
    }
    monkeypatch.setattr(retention_tasks, "get_current_context", lambda: airflow)
    monkeypatch.setattr(retention_tasks, "_context", lambda: rig.ctx)
    monkeypatch.setattr("tidewatch.backup.lock.PATIENCE_SECONDS", 0.0)
    old = rig.made(5, "a")
    rig.made(1, "b")
    rig.made(0, "c")
    assert retention_tasks.list_sources() == ["media"] and retention_tasks.list_regions() == []
    with pytest.raises(AirflowSkipException, match="only shows"):
        retention_tasks.protect_held()
    shown = retention_tasks.expire("media")
    assert shown == {"source": "media", "would_expire": 1, "kept": 2}
    assert rig.get(old).expired_at is None and "backup.expired" not in rig.kinds()
    for run_type, really in (("scheduled", False), ("manual", True)):
        airflow["dag_run"], airflow["params"] = SimpleNamespace(run_type=run_type), {"really_remove": really}
        assert retention_tasks.protect_held() == {"cn-east": 0}
        with source_lock(rig.ctx, "media"), pytest.raises(AirflowSkipException, match="being worked on"):
            retention_tasks.expire("media")
        done = retention_tasks.expire("media")
        assert done["kept"] == 2 and retention_tasks.list_regions() == ["cn-east"]
    assert rig.get(old).expired_at is not None
    counts = {"expired": 1, "would_expire": 0, "kept": 2, "left": 0}
    assert retention_tasks.sum_up([None, {"source": "media", "expired": 1, "kept": 2, "left": 0}]) == counts
    assert retention_tasks.remove("cn-east")["refused"] == 0
    rig.policy = None
    assert retention_tasks.list_regions() == []
    with pytest.raises(AirflowSkipException, match="nothing is removed"):
        retention_tasks.list_sources()


def test_locks_that_a_region_did_not_extend_make_the_task_fail_after_its_work(
    rig: HistoryRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    airflow: dict[str, Any] = {
        "dag": SimpleNamespace(dag_id="expire_backups"),
        "run_id": "today",
        "ti": SimpleNamespace(try_number=1, max_tries=3),
        "dag_run": SimpleNamespace(run_type="scheduled"),
        "params": {},
    }
    monkeypatch.setattr(retention_tasks, "get_current_context", lambda: airflow)
    monkeypatch.setattr(retention_tasks, "_context", lambda: rig.ctx)
    marked: list[str] = []

    def mark(_: object, source: str, __: object) -> object:
        marked.append(source)
        return SimpleNamespace(as_dict=dict)

    monkeypatch.setattr(retention_tasks.expiring, "preview", lambda *_: [])
    monkeypatch.setattr(
        retention_tasks.expiring, "extend_locks", lambda *_: SimpleNamespace(problems={"cn-east": "silent"})
    )
    monkeypatch.setattr(retention_tasks.expiring, "mark", mark)
    with pytest.raises(RegionUnavailable, match="cn-east: silent"):
        retention_tasks.expire("media")
    assert marked == ["media"]
