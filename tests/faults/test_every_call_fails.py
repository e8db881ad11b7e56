"""The n-th call to each dependency fails, or the worker dies in it, for every n: nothing lost, all said.

A counting run without a fault says how many calls there are. Then, for each n: the same work with the n-th
call failing; `World.require` looks at regions, catalogue and ledger; the same work again without a fault ends
sealed. An ordinary run of the tests takes some n of each; all of them:

    python -m pytest tests/faults/test_every_call_fails.py --sweep=all
"""

import contextlib
import os
import random
import signal
from collections.abc import Iterator

import pytest
from dependencies import (
    CHILD_MODES,
    FILE_MODES,
    KILLS,
    S3_MODES,
    SQL_MODES,
    Plan,
    failing_files,
    failing_programs,
    failing_sql,
    in_child,
)
from worlds import SCENARIOS, Maker, Small, Work

from tidewatch.core.errors import TidewatchError

# -- what fails --------------------------------------------------------------------------------------------


MODES: dict[str, tuple[str, ...]] = {
    "every region": ("down from here on",),
    "warehouse": (*SQL_MODES, *KILLS),
    "database": (*SQL_MODES, *KILLS),
    "program": CHILD_MODES,
    "file": FILE_MODES,
    **dict.fromkeys(("cn-east", "cn-north", "cn-south"), (*S3_MODES, *KILLS)),
}
DEPENDENCIES = {
    "a backup of files": ("cn-east", "cn-north", "cn-south", "every region", "warehouse", "file"),
    "a backup of a database": ("cn-north", "every region", "warehouse", "database", "program"),
    "healing": ("cn-east", "cn-south", "every region", "warehouse"),
    "a decision": ("cn-east", "cn-north", "cn-south", "every region", "warehouse"),
    "a backup taken up again": ("cn-east", "cn-north", "cn-south", "every region", "warehouse"),
}
PART = {
    "a backup of files": ("cn-north", "every region", "warehouse", "file"),
    "a backup of a database": ("database", "program"),
    "healing": ("cn-south", "warehouse"),
    "a decision": ("cn-east", "warehouse"),
    "a backup taken up again": ("cn-south", "warehouse"),
}
"""What an ordinary run takes: regions are alike."""
TRIES = 3
"""Of each dependency of an ordinary run."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "mode" not in metafunc.fixturenames:
        return
    whole = metafunc.config.getoption("sweep", "part") == "all"
    cases = [
        (scenario, dependency, mode)
        for scenario, dependencies in (DEPENDENCIES if whole else PART).items()
        for dependency in dependencies
        for mode in (MODES[dependency] if whole else ("some",))
    ]
    metafunc.parametrize(("scenario", "dependency", "mode"), cases)


def _points(scenario: str, dependency: str, mode: str, total: int) -> list[tuple[int, str]]:
    """Which calls fail, and how: every one of them, or a few that are the same ones each time."""
    if mode != "some":
        return [(n, mode) for n in range(1, total + 1)]
    chance = random.Random(f"{scenario}/{dependency}")
    return [(chance.randint(1, total), mode) for mode in chance.sample(MODES[dependency] * TRIES, TRIES)]


@contextlib.contextmanager
def _failing(s: Small, dependency: str, plan: Plan) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if dependency == "warehouse":
            stack.enter_context(failing_sql(s.rig.warehouse, plan))
        elif dependency == "database":
            stack.enter_context(failing_sql(s.source_dsn, plan))
        elif dependency == "program":
            stack.enter_context(failing_programs(plan))
        elif dependency == "file":
            stack.enter_context(failing_files(str(s.rig.home), plan))
        else:
            for name, proxy in s.proxies.items():
                proxy.plan = plan if dependency in (name, "every region") else Plan()
        stack.enter_context(plan.running())
        yield
    for proxy in s.proxies.values():
        proxy.plan = Plan()


# -- the sweep ---------------------------------------------------------------------------------------------


def _try(make: Maker, scenario: str, dependency: str, mode: str, n: int) -> tuple[Plan, str]:
    """One try with the n-th call failing; what was wrong afterwards ('' when nothing was)."""
    before, work, settle = SCENARIOS[scenario]
    s = make(scenario)
    before(s)
    plan = Plan(mode, n, for_good=mode.endswith("from here on"))
    with _failing(s, dependency, plan):
        said, wrong = _die(s, work, plan) if n and mode in KILLS else _fail(s, work)
    if wrong:
        return plan, wrong
    try:
        s.world.require()
        settle(s)
        s.world.require(settled=True)
    except Exception as error:  # noqa: BLE001 - told with the call that failed
        return plan, f"{type(error).__name__}: {error} (was told: {said})"
    except AssertionError as error:
        return plan, f"{error} (was told: {said})"
    return plan, ""


def _fail(s: Small, work: Work) -> tuple[str, str]:
    """What people are told, and what is wrong with that."""
    try:
        work(s)
    except TidewatchError as error:
        return str(error), ""
    except Exception as error:  # noqa: BLE001 - nobody tells people about an error that is not ours
        return "", f"an error that says nothing of what to do: {type(error).__name__}: {error}"
    return "no error", ""


def _die(s: Small, work: Work, plan: Plan) -> tuple[str, str]:
    """The work in a process of its own, which is killed in the call."""
    status = in_child(lambda: work(s.in_a_new_process()), plan)
    plan.fired = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return f"ended with {status}", ""


@pytest.mark.timeout(3000)
def test_whatever_call_fails_nothing_is_lost_and_nothing_falsely_sealed(
    make: Maker, scenario: str, dependency: str, mode: str
) -> None:
    counted, wrong = _try(make, scenario, dependency, MODES[dependency][0], 0)
    assert not wrong, wrong
    total = len(counted.seen)
    assert total, f"{scenario} makes no call to {dependency}"
    failures = []
    points = _points(scenario, dependency, mode, total)
    for n, how in points:
        plan, wrong = _try(make, scenario, dependency, how, n)
        call = [*plan.seen, *counted.seen[len(plan.seen) :]][n - 1]
        if wrong or not plan.fired:
            failures.append(f"call {n} of {total}, {call}, {how}: {wrong or 'was not reached'}")
            print(failures[-1], flush=True)
    print(f"{len(points)} of {total} calls of {scenario} to {dependency}: {mode}")
    assert not failures, "\n".join(failures)
