"""Our clock jumps by a day between two steps, an hour happens twice, February has 29 days, the year ends."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from worlds import Maker, Small

from tidewatch.backup.heal import heal
from tidewatch.backup.run import RunRef, commit, judge, stage
from tidewatch.vault.layout import parse_manifest_key

DAY = timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")


class _At:
    """A clock that starts at a moment and goes on by a second each time it is read."""

    def __init__(self, start: datetime) -> None:
        self.now, self._zone = start.astimezone(UTC), start.tzinfo

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now.astimezone(self._zone)


def _steps(s: Small, run_id: str = "run-1") -> Iterator[Callable[[], object]]:
    """The steps of a backup, one at a time; healing is a step too."""
    yield lambda: setattr(
        s, "backup_id", stage(s.rig.ctx, s.source, RunRef(dag_id="tests", run_id=run_id)).backup_id
    )
    yield lambda: judge(s.rig.ctx, s.backup_id)
    yield lambda: commit(s.rig.ctx, s.backup_id)
    yield lambda: heal(s.rig.ctx, s.backup_id)


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forward", "back"])
@pytest.mark.parametrize("before", ["the gate", "the commit", "healing"])
def test_a_clock_that_jumps_by_a_day_between_two_steps_makes_nothing_false(
    make: Maker, jump: timedelta, before: str
) -> None:
    s = make("a backup of files")
    for name in ("cn-east", "cn-north", "cn-south"):
        s.rig.configure(name, lock_days=35)
    jumps_at = ["", "the gate", "the commit", "healing"].index(before)
    for number, step in enumerate(_steps(s)):
        if number == jumps_at:
            s.rig.clock.ahead += jump
        if number == 0 and before == "healing":
            s.without("cn-south", step)  # so that there is something to heal
        else:
            step()
        s.world.require()
    # To the gate the snapshot is a day old, or from tomorrow: it says so, and a person decides.
    assert s.rig.get(s.backup_id).status == ("suspect" if before == "the gate" else "sealed")
    s.rig.clock.ahead = timedelta()
    s.back_up_again("run-2")
    s.world.require(settled=True)


def _make_at(make: Maker, start: datetime, *, lock_days: int = 35) -> Small:
    s = make("a backup of files")
    s.rig.clock = _At(start)  # type: ignore[assignment]
    for name in ("cn-east", "cn-north", "cn-south"):
        s.rig.configure(name, lock_days=lock_days)
    configs = {r.name: r.config for r in s.rig.regions}
    s.world.regions = [replace(r, config=configs[r.name]) for r in s.world.regions]
    return s


def _locks(s: Small) -> set[datetime]:
    rows = s.rig.query("select distinct retain_until from vault.copies where object_key like '%%pack%%'")
    return {r["retain_until"] for r in rows}


def test_the_hour_that_happens_twice_has_two_backups_in_their_order(make: Maker) -> None:
    """On 2027-10-31 in Berlin 02:30 comes twice; the clock that we are given counts that way."""
    first = datetime(2027, 10, 31, 2, 30, tzinfo=BERLIN)
    s = _make_at(make, first)
    one = s.rig.back_up(s.source, "run-1")
    s.rig.clock.now = first.replace(fold=1).astimezone(UTC)  # type: ignore[attr-defined]
    two = s.rig.back_up(s.source, "run-2")
    assert (one.verdict, two.verdict) == ("sealed", "sealed")
    assert "-20271031T0030" in one.backup_id and "-20271031T0130" in two.backup_id
    assert two.started_at - one.started_at > timedelta(minutes=59)
    s.world.require(settled=True)


@pytest.mark.parametrize(
    "eve", [datetime(2027, 3, 27, 12, tzinfo=BERLIN), datetime(2027, 10, 30, 12, tzinfo=BERLIN)]
)
def test_a_lock_is_no_hour_shorter_for_the_change_of_the_clocks(make: Maker, eve: datetime) -> None:
    s = _make_at(make, eve, lock_days=35)
    outcome = s.rig.back_up(s.source)
    for until in _locks(s):
        assert until - outcome.started_at >= 35 * DAY
    s.world.require(settled=True)


def test_a_backup_of_the_leap_day_is_found_and_locked_a_whole_year(make: Maker) -> None:
    s = _make_at(make, datetime(2028, 2, 29, 23, 59, 30, tzinfo=UTC), lock_days=365)
    outcome = s.rig.back_up(s.source)
    assert outcome.verdict == "sealed"
    (key,) = [k for k in s.rig.manifests(s.rig.regions[0]) if outcome.backup_id in k]
    assert "/2028/02/" in key and parse_manifest_key(key) is not None
    assert {u.date().isoformat() for u in _locks(s)} <= {"2029-02-28", "2029-03-01"}
    assert all(u - outcome.started_at >= 365 * DAY for u in _locks(s))
    s.world.require(settled=True)


def test_a_backup_over_the_end_of_the_year_lies_where_it_began(make: Maker) -> None:
    s = _make_at(make, datetime(2026, 12, 31, 23, 59, 57, tzinfo=UTC))
    s.without("cn-south", s.back_up)
    [row] = s.rig.query("select backup_id, ended_at from vault.backups")
    assert row["ended_at"].year == 2027
    for region in s.rig.regions[:2]:
        (key,) = [k for k in s.rig.manifests(region) if row["backup_id"] in k]
        assert "/2026/12/" in key
    assert heal(s.rig.ctx, row["backup_id"]).verdict == "sealed"
    second = s.rig.back_up(s.source, "run-2")
    assert second.new_stored_bytes == 0 and "-2027" in second.backup_id
    s.world.require(settled=True)
