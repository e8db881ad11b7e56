"""Killed with -9 anywhere and said again, a retraining comes to what it comes to undisturbed."""

import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from retrain_rig import Runner

from tidewatch.core.errors import Busy, NotFound
from tidewatch.evidence import ledger
from tidewatch.sentiment import registry

_FAILED = 3


def in_a_process(act: Callable[[], Any], *, killed_at: int | None) -> int:
    """Fork, and do it there; `killed_at`: the statement before which the process is ended as by kill -9. How
    it ended: minus the signal, or the code."""
    process = os.fork()
    if not process:
        try:
            if killed_at is not None:
                _dies_at(killed_at)
            act()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - nothing of the test session may run on in the fork
            import traceback

            traceback.print_exc()
            os._exit(_FAILED)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _dies_at(statement: int) -> None:
    left = [statement]
    execute = psycopg.Connection.execute

    def counted(self: Any, *given: Any, **named: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(self, *given, **named)

    psycopg.Connection.execute = counted  # type: ignore[method-assign]


def facts(runner: Runner, run_id: str) -> dict[str, Any]:
    """What a run has come to, without times and ids of rows."""
    query = (
        "select state, digest, split, missing, champion, challenger, search, measured, told "
        "from sentiment.retrainings where run_id = '{run}'",
        "select version, model_sha256, parameters, metrics from sentiment.models",
        "select role, set_name, kind, n, figures - 'ece_by_luck' as figures from sentiment.evaluations "
        "where run_id = '{run}' order by set_name, role",
        "select feature, statistic, critical, drifted from sentiment.drifts where run_id = '{run}' "
        "order by feature",
        "select text_sha256 from sentiment.held_out order by text_sha256",
        "select replace(fact, '{run}', '') as fact from notices.outbox order by fact",
        "select gate, passed from quality.judgements where run_id = '{run}' order by gate",
    )
    found: dict[str, Any] = {q: runner.rows(q.format(run=run_id)) for q in query}
    with runner.connect() as conn:
        found["ledger"] = [r.kind for r in ledger.records(conn) if not r.kind.startswith("labels.")]
        assert ledger.verify(conn).ok
    return found


def test_killed_at_any_statement_and_said_again_it_comes_to_the_same(asked: Runner, runner: Runner) -> None:
    draw = random.Random(8)
    places, kills = [draw.randint(2, 34) for _ in range(14)] + [48, 56, 64], 0
    for place in [*places, None]:
        ended = in_a_process(lambda: runner.retrain("again").raise_if_failed(), killed_at=place)
        assert ended in (0, -signal.SIGKILL), "see what the process has printed"
        kills += ended != 0
        with runner.connect() as conn:
            assert registry.champion(conn) is None
            conn.rollback()
    assert kills >= 10 and ended == 0
    mine, undisturbed = facts(runner, "again"), facts(asked, "first")
    for what, found in undisturbed.items():
        assert mine[what] == found, what


@pytest.mark.parametrize("statement", range(2, 17, 3))
def test_an_approval_that_is_killed_has_happened_whole_or_not_at_all(
    answering: Runner, statement: int
) -> None:
    in_a_process(lambda: answering.say("first", "approved"), killed_at=statement)
    with answering.connect() as conn:
        champion = registry.champion(conn)
        kinds = [r.kind for r in ledger.records(conn)]
    (row,) = answering.rows("select state from sentiment.retrainings")
    done = (
        champion is not None,
        row["state"] == "promoted",
        "retraining.decided" in kinds,
        "model.promoted" in kinds,
    )
    assert len(set(done)) == 1, done
    assert answering.say("first", "approved").champion == 1
    with answering.connect() as conn:
        kinds = [r.kind for r in ledger.records(conn)]
    assert kinds.count("retraining.decided") == kinds.count("model.promoted") == 1


def test_two_retrainings_at_once_end_with_one_question_and_one_that_is_busy(
    asked: Runner, runner: Runner
) -> None:
    ready, outcomes = threading.Barrier(2), {}

    def one(run_id: str) -> None:
        own = replace(runner, told=[])
        ready.wait()
        try:
            outcomes[run_id] = own.retrain(run_id).state
        except Busy as error:
            outcomes[run_id] = error.what

    threads = [threading.Thread(target=one, args=(name,)) for name in ("run-one", "run-two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [name for name, said in outcomes.items() if said == "awaiting"]
    (loser,) = set(outcomes) - {winner}
    assert f"The retraining {loser} cannot begin" in outcomes[loser]
    assert len(runner.rows("select from sentiment.models")) == 1
    mine, undisturbed = facts(runner, winner), facts(asked, "first")
    for what, found in undisturbed.items():
        assert mine[what] == found, what
    with pytest.raises(NotFound):
        runner.say(loser, "approved")
    assert runner.say(winner, "approved").champion == 1
