"""Tiny worlds for trying many faults: a fresh warehouse and source a try, in shared buckets behind proxies.

`SCENARIOS` says what is done in one: what comes before without a fault, the work under the fault, and how it
is settled without one.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from backup_rig import Rig
from dependencies import CountingProxy, Plan
from invariants import World

from tidewatch.backup.decide import decide
from tidewatch.backup.heal import heal
from tidewatch.core.regions import Region


@dataclass
class Small:
    """One fresh world for one try: a warehouse of its own, a source of its own name in shared buckets."""

    rig: Rig
    world: World
    source: str
    proxies: dict[str, CountingProxy]
    source_dsn: str = ""
    backup_id: str = ""

    def back_up(self) -> str:
        return self.rig.back_up(self.source).verdict

    def back_up_again(self, run_id: str) -> None:
        """Another run, without a fault; what it lacks is healed."""
        outcome = self.rig.back_up(self.source, run_id)
        verdict = heal(self.rig.ctx, outcome.backup_id).verdict
        assert verdict == "sealed", (verdict, outcome, self.rig.said[-5:])

    def in_a_new_process(self) -> Self:
        """Itself, without the connections that a fork would share."""
        self.rig.regions = [Region(r.config, r.address) for r in self.rig.regions]
        return self

    def without(self, name: str, work: Callable[[], object]) -> None:
        """Do `work` while region `name` is down."""
        proxy = self.proxies[name]
        proxy.plan = Plan("down from here on", 1, for_good=True)
        with proxy.plan.running():
            work()
        proxy.plan = Plan()


# -- what is done ------------------------------------------------------------------------------------------


def _nothing(s: Small) -> None:
    """Nothing comes before."""


def _backup(s: Small) -> None:
    s.back_up()


def _settle_backup(s: Small) -> None:
    """What Airflow would do: the tasks of the same run again, then healing."""
    outcome = s.rig.back_up(s.source)
    if outcome.verdict == "degraded":
        assert heal(s.rig.ctx, outcome.backup_id).verdict == "sealed"
    assert s.rig.get(outcome.backup_id).status == "sealed"


def _degraded(s: Small) -> None:
    s.without("cn-south", s.back_up)
    [row] = s.rig.query("select backup_id from vault.backups where status = 'degraded'")
    s.backup_id = row["backup_id"]


def _heal(s: Small) -> None:
    heal(s.rig.ctx, s.backup_id)


def _settle_heal(s: Small) -> None:
    for _ in range(2):  # a region that was doubted on the way is proved again by the next hour's healing
        result = heal(s.rig.ctx, s.backup_id)
    assert result.verdict == "sealed", result


def _suspect(s: Small) -> None:
    s.rig.sources[0]["gate"] = {"must_have": ["not-there"]}
    assert s.back_up() == "suspect"
    [row] = s.rig.query("select backup_id from vault.backups")
    s.backup_id = row["backup_id"]


def _decide(s: Small) -> None:
    decide(s.rig.ctx, s.backup_id, accept=True, by="Li Wei", reason="it was moved")


def _settle_decide(s: Small) -> None:
    _decide(s)
    assert s.rig.get(s.backup_id).status == "accepted"


class _Killed(BaseException):
    pass


def _signed(s: Small) -> None:
    """A run that died after the first region had the manifest."""

    class Said(list[str]):
        def append(self, line: str) -> None:
            if "the manifest is stored in" in line:
                raise _Killed

    s.rig.said = Said()
    with contextlib.suppress(_Killed):
        s.back_up()
    s.rig.said = []
    [row] = s.rig.query("select backup_id, status from vault.backups")
    assert row["status"] == "staged"


SCENARIOS: dict[str, tuple[Callable[[Small], None], Callable[[Small], None], Callable[[Small], None]]] = {
    "a backup of files": (_nothing, _backup, _settle_backup),
    "a backup of a database": (_nothing, _backup, _settle_backup),
    "healing": (_degraded, _heal, _settle_heal),
    "a decision": (_suspect, _decide, _settle_decide),
    "a backup taken up again": (_signed, _backup, _settle_backup),
}


Work = Callable[[Small], None]
Maker = Callable[[str], Small]
"""A new world for the scenario of that name."""
