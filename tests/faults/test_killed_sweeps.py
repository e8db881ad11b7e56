"""Removing orphans, killed anywhere and in the middle of everything else: what is dead goes, nothing more."""

import contextlib
import json
import os
import random
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from backup_rig import Rig

from tidewatch.backup.orphans import find
from tidewatch.backup.run import RunRef, judge, stage
from tidewatch.backup.sweep import end_dead_attempts, remove
from tidewatch.core.regions import Region
from tidewatch.vault import catalogue
from tidewatch.vault.verify import verify_copy


class _Killed(BaseException):
    pass


def _source(rig: Rig, tmp_path: Path, name: str = "media") -> str:
    root = tmp_path / name
    root.mkdir()
    for n in range(3):
        (root / f"{n}").write_bytes(os.urandom(2000))
    return rig.files_source(name, root)


def _dies_at(rig: Rig, point: str) -> list[str]:
    """A listener that ends the work at the first line with `point` in it, as a kill would."""

    class Said(list[str]):
        def append(self, line: str) -> None:
            super().append(line)
            if point in line:
                raise _Killed

    said, rig.said = rig.said, Said()
    return said


def _dead_attempt(rig: Rig, source: str, run_id: str) -> None:
    said = _dies_at(rig, "everything is sent")
    with contextlib.suppress(_Killed):
        stage(rig.ctx, source, RunRef(dag_id="tests", run_id=run_id))
    rig.said = said


def _removed(rig: Rig) -> list[dict[str, Any]]:
    rows = rig.query("select entry from evidence.ledger where kind = 'orphans.removed' order by seq")
    return [json.loads(r["entry"])["body"] for r in rows]


def _sweep_killed_at(rig: Rig, region: str, point: str) -> bool:
    """In a process of its own, ended by kill -9 when it says `point`. False: it came to its end."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            rig.regions = [Region(r.config, r.address) for r in rig.regions]  # sockets are not shared

            class Said(list[str]):
                def append(self, line: str) -> None:
                    if point in line:
                        os.kill(os.getpid(), signal.SIGKILL)

            rig.said = Said()
            remove(rig.ctx, rig.ctx.region(region))
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


def test_a_sweep_killed_at_every_step_ends_with_everything_removed_and_recorded_once(
    rig: Rig, tmp_path: Path
) -> None:
    media = _source(rig, tmp_path)
    east = rig.regions[0]
    good = rig.back_up(media, "run-0").backup_id
    expected: dict[str, set[str]] = {}
    points = ["to remove", "is removed", "everything is deleted", "versions removed"]
    for number, point in enumerate(points):
        for n in range(2):
            (tmp_path / "media" / "new").write_bytes(os.urandom(1000))  # something to upload
            _dead_attempt(rig, media, f"dead-{number}-{n}")
        (tmp_path / "media" / "new").unlink()
        rig.back_up(media, f"run-{number + 1}")
        orphans = find(rig.ctx, east).removable
        assert len(orphans) == 2
        expected[point] = {o.key for o in orphans}
        assert _sweep_killed_at(rig, "cn-east", point), f"{point} was never reached"
        remove(rig.ctx, east)
        assert find(rig.ctx, east).orphans == [], point
    recorded = [key for body in _removed(rig) for key in body["examples"]]
    assert sorted(recorded) == sorted(key for keys in expected.values() for key in keys)
    assert rig.query("select * from backup.removals") == []
    assert verify_copy(east, good, rig.keys.signing_key.public, now=rig.clock()).ok


@pytest.mark.parametrize("seed", [7, 2026])
def test_whatever_happens_in_whatever_order_no_backup_that_counts_loses_anything(
    rig: Rig, tmp_path: Path, seed: int
) -> None:
    """Backups, deaths, half backups, sweeps and days go by in a random order, and a sweep runs inside of
    uploads."""
    chance = random.Random(seed)
    media = _source(rig, tmp_path)
    good: list[str] = []
    half: list[str] = []

    def swept() -> None:
        for region in rig.regions:
            assert remove(rig.ctx, region).refused == 0

    class SweepsWhileSending(list[str]):
        def append(self, line: str) -> None:
            super().append(line)
            if "everything is sent" in line:
                rig.said = []
                swept()

    for step in range(14):
        (tmp_path / "media" / f"{chance.randrange(4)}").write_bytes(chance.randbytes(500))
        match chance.choice(["back up", "die", "stage", "finish", "sweep", "a day", "give up"]):
            case "back up":
                rig.said = SweepsWhileSending() if chance.random() < 0.5 else []
                outcome = rig.back_up(media, f"run-{step}")
                if outcome.verdict in ("sealed", "degraded"):
                    good.append(outcome.backup_id)
            case "die":
                _dead_attempt(rig, media, f"run-{step}")
            case "stage":
                half.append(stage(rig.ctx, media, RunRef(dag_id="tests", run_id=f"run-{step}")).backup_id)
            case "finish" if half:
                judge(rig.ctx, half.pop())
            case "sweep":
                swept()
            case "a day":
                rig.clock.ahead += timedelta(hours=chance.choice([1, 30]))
            case "give up":
                end_dead_attempts(rig.ctx)
    swept()
    with rig.ctx.connect() as conn:
        ended = {b.backup_id for b in catalogue.list_backups(conn) if b.status in ("failed", "abandoned")}
    for region in rig.regions:
        left = {v.key for v in region.store.list_versions("")}
        for backup_id in good:
            report = verify_copy(region, backup_id, rig.keys.signing_key.public, now=rig.clock())
            assert report.manifest is not None and all(o.size is not None for o in report.objects)
            assert all(o.sha256 for o in report.objects), report
        for backup_id in half:
            assert any(backup_id in key for key in left) or rig.get(backup_id).totals.new_cipher_size == 0
        assert not {b for b in ended for key in left if b in key}, "what is dead is gone"
