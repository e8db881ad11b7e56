"""Any order of two pieces of work ends with what one alone would have made, and says who stepped back.

Every order here is one that real processes can take: a piece is stopped before each transaction that it
begins, and which goes on is drawn by chance from a number that the test is called with. An ordinary run plays
a few orders of each pair, `--sweep=all` many.
"""

import random
from collections.abc import Callable

import pytest
from turns import Turns, transactions_take_turns
from worlds import SCENARIOS, Maker, Small

from tidewatch.backup.decide import decide
from tidewatch.backup.heal import heal
from tidewatch.backup.run import RunRef, commit, judge, stage
from tidewatch.core.errors import Busy, IntegrityError, TidewatchError

Work = Callable[[Small], object]
ORDERS = {"part": 2, "all": 25}


def _run(run_id: str) -> Work:
    def work(s: Small) -> object:
        return s.rig.back_up(s.source, run_id)

    return work


def _step(step: Callable[..., object]) -> Work:
    return lambda s: step(s.rig.ctx, s.backup_id)


def _word(*, accept: bool, by: str) -> Work:
    return lambda s: decide(s.rig.ctx, s.backup_id, accept=accept, by=by, reason="looked at it")


def _staged(s: Small) -> None:
    s.backup_id = stage(s.rig.ctx, s.source, RunRef(dag_id="tests", run_id="run-1")).backup_id


def _judged(s: Small) -> None:
    _staged(s)
    judge(s.rig.ctx, s.backup_id)


def _suspect_and_lacking(s: Small) -> None:
    """A suspect backup that one region missed: it can be healed and decided on."""
    s.rig.sources[0]["gate"] = {"must_have": ["not-there"]}
    s.without("cn-south", s.back_up)
    [row] = s.rig.query("select backup_id from vault.backups")
    s.backup_id = row["backup_id"]


_nothing, _degraded = SCENARIOS["a backup of files"][0], SCENARIOS["healing"][0]
PAIRS: dict[str, tuple[Callable[[Small], None], Work, Work]] = {
    "the same run twice": (_nothing, _run("run-1"), _run("run-1")),
    "two runs of one source": (_nothing, _run("run-1"), _run("run-2")),
    "two judges": (_staged, _step(judge), _step(judge)),
    "two commits": (_judged, _step(commit), _step(commit)),
    "a commit and the next run": (_judged, _step(commit), _run("run-2")),
    "a commit and a healer": (_judged, _step(commit), _step(heal)),
    "two healers": (_degraded, _step(heal), _step(heal)),
    "a healer and the next run": (_degraded, _step(heal), _run("run-2")),
    "two persons of two minds": (
        _suspect_and_lacking,
        _word(accept=True, by="Li Wei"),
        _word(accept=False, by="Wang Fang"),
    ),
    "a person and a healer": (_suspect_and_lacking, _word(accept=True, by="Li Wei"), _step(heal)),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    count = ORDERS[metafunc.config.getoption("sweep", "part")]
    metafunc.parametrize("order", range(count))


@pytest.mark.parametrize("pair", list(PAIRS))
def test_any_order_of_two_ends_as_one_of_them_alone_would(
    make: Maker, monkeypatch: pytest.MonkeyPatch, pair: str, order: int
) -> None:
    before, *works = PAIRS[pair]
    s = make("a backup of files")
    before(s)
    turns = Turns(random.Random(f"{pair} {order}"))
    # Nobody waits while the other one cannot go on. Afterwards a server may need a moment to end a session.
    with monkeypatch.context() as hurry, transactions_take_turns(s.rig.warehouse, turns):
        hurry.setattr("tidewatch.backup.lock.PATIENCE_SECONDS", -1.0)
        results = turns.run([lambda work=work: work(s) for work in works])
    played = "".join(turns.order)
    for result in results:
        assert not isinstance(result, Exception) or isinstance(result, TidewatchError), (played, result)
    # Somebody got through, or both say that the other one was at it.
    through = [r for r in results if not isinstance(r, Exception)]
    if not through:
        assert all(isinstance(r, Busy | IntegrityError) or "nothing to heal" in str(r) for r in results), (
            results
        )
    s.world.require()
    _settle(s, pair)
    s.world.require(settled=True)


def _settle(s: Small, pair: str) -> None:
    """Each of the two once more, alone."""
    if pair.startswith("two persons") or pair.startswith("a person"):
        row = s.rig.get(s.backup_id)
        if row.status == "suspect":  # both met the other's lock
            decide(s.rig.ctx, s.backup_id, accept=True, by="Li Wei", reason="looked at it")
        assert heal(s.rig.ctx, s.backup_id).verdict in ("accepted", "rejected")
        return
    runs = {"run-1"} | ({"run-2"} if "run" in pair else set())
    for run_id in sorted(runs):
        outcome = s.rig.back_up(s.source, run_id)
        verdict = heal(s.rig.ctx, outcome.backup_id).verdict
        assert verdict == "sealed", (run_id, outcome)
    live = s.rig.query("select run_id from vault.backups where status = 'sealed'")
    assert sorted(r["run_id"] for r in live) == sorted(runs), "one whole backup a run"
