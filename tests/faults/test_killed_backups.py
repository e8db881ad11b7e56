"""kill -9 anywhere: the same run again ends with one whole backup, never with one that only looks so.

Here at the lines of its progress and at random moments; before and after each single request, part, statement
and commit in `test_every_call_fails.py`.
"""

import os
import random
import signal
import threading
import time

import pytest
from backup_rig import Rig, run_sql
from dependencies import in_child
from invariants import World

from tidewatch.backup.run import RunRef, stage
from tidewatch.core.errors import Busy
from tidewatch.core.regions import Region
from tidewatch.evidence import ledger
from tidewatch.vault import catalogue
from tidewatch.vault.layout import parse_manifest_key
from tidewatch.vault.verify import verify_copy

pytestmark = pytest.mark.usefixtures("remembered_gate")

POINTS = [
    "begun as",
    "snapshot taken",
    "dump sent",
    "everything is sent",
    "staged",
    "cn-north: 2 object",
    "proved",
    "the gate let it pass",
    "the manifest is signed",
    "the manifest is stored in cn-north",
    "recorded",
]


def _fresh(rig: Rig) -> None:
    """Sockets are not shared across a fork."""
    rig.regions = [Region(r.config, r.address) for r in rig.regions]


def _kill_at(rig: Rig, source: str, run_id: str, point: str) -> int:
    class Said(list[str]):
        def append(self, line: str) -> None:
            if point in line:
                os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        _fresh(rig)
        rig.said = Said()
        rig.back_up(source, run_id)

    return in_child(work)


def _shop(dsn: str) -> None:
    run_sql(
        dsn,
        "create table posts (id bigserial primary key, body text)",
        "insert into posts (body) select repeat(md5(n::text), 20) from generate_series(1, 3000) n",
    )


def _require_one_whole_backup(rig: Rig, world: World, source: str, run_id: str) -> None:
    world.require(settled=True)
    with rig.ctx.connect() as conn:
        rows = [b for b in catalogue.list_backups(conn, source=source) if b.run.run_id == run_id]
        live = [b for b in rows if b.status not in ("abandoned", "failed")]
        assert [b.status for b in live] == ["sealed"], [(b.backup_id, b.status) for b in rows]
        assert ledger.verify(conn).ok
    ids = {b.backup_id for b in rows}
    for region in rig.regions:
        visible = [p.backup_id for p in map(parse_manifest_key, rig.manifests(region)) if p is not None]
        assert [i for i in visible if i in ids] == [live[0].backup_id]
        report = verify_copy(
            region, live[0].backup_id, rig.keys.signing_key.public, now=rig.clock(), mode="full"
        )
        assert report.ok, (region.name, report.problem, report.objects)
    kinds = rig.kinds(live[0].backup_id)
    assert kinds.count("backup.committed") == 1 and kinds.count("gate.judged") == 1
    assert kinds.count("copy.verified") == 3


@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_at_any_step_ends_whole_when_it_is_run_again(
    rig: Rig, world: World, database: str, point: str
) -> None:
    _shop(database)
    source = rig.postgres_source("ops", database)
    status = _kill_at(rig, source, "run-1", point)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"{point} was never reached"
    world.require()  # what the death left behind
    rig.back_up(source, "run-1")
    _require_one_whole_backup(rig, world, source, "run-1")


def test_a_run_killed_again_and_again_at_random_moments_ends_whole(
    rig: Rig, world: World, database: str
) -> None:
    _shop(database)
    source = rig.postgres_source("ops", database)
    rig.back_up(source, "warm-up")
    chance = random.Random(20261122)
    for _ in range(6):
        moment = chance.uniform(0.05, 1.5)

        def work(moment: float = moment) -> None:
            _fresh(rig)
            threading.Timer(moment, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
            rig.back_up(source, "run-1")

        in_child(work)
        world.require()
    rig.back_up(source, "run-1")
    _require_one_whole_backup(rig, world, source, "run-1")


def test_of_two_runs_at_once_one_works_and_the_other_is_told_so(
    rig: Rig, world: World, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _shop(database)
    source = rig.postgres_source("ops", database)
    monkeypatch.setattr("tidewatch.backup.lock.PATIENCE_SECONDS", 0.2)
    inside, go_on = threading.Event(), threading.Event()

    class Said(list[str]):
        def append(self, line: str) -> None:
            if "snapshot taken" in line:
                inside.set()
                go_on.wait(60)

    ctx = rig.ctx
    object.__setattr__(ctx, "progress", Said().append)
    first = threading.Thread(target=lambda: stage(ctx, source, RunRef(dag_id="tests", run_id="run-1")))
    first.start()
    try:
        assert inside.wait(60)
        for run_id in ("run-1", "run-2"):
            with pytest.raises(Busy, match="worked on by another run"):
                stage(rig.ctx, source, RunRef(dag_id="tests", run_id=run_id))
    finally:
        go_on.set()
        first.join(60)
    rig.back_up(source, "run-1")
    _require_one_whole_backup(rig, world, source, "run-1")
    assert rig.kinds().count("backup.started") == 1


def test_a_killed_attempt_is_abandoned_by_the_next_one(rig: Rig, world: World, database: str) -> None:
    _shop(database)
    source = rig.postgres_source("ops", database)
    _kill_at(rig, source, "run-1", "snapshot taken")
    started = time.monotonic()
    outcome = rig.back_up(source, "run-2")
    assert time.monotonic() - started < 60
    with rig.ctx.connect() as conn:
        states = {b.backup_id: b.status for b in catalogue.list_backups(conn, source=source)}
    assert sorted(states.values()) == ["abandoned", "sealed"] and states[outcome.backup_id] == "sealed"
    world.require(settled=True)
