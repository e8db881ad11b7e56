"""What the plan keeps and drops, by example, and over decades of simulated days."""

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatch.backup.retention.calendar import begins, first_day, index_of, local_day, name_of
from tidewatch.backup.retention.plan import LEEWAY, Decision, Hold, Known, plan
from tidewatch.core.retention import GENERATIONS, Days, RetentionFile, RetentionPolicy
from tidewatch.vault.catalogue import GOOD

REGIONS = ("cn-east", "cn-north", "cn-south")
EVERYWHERE = frozenset(REGIONS)


def policy(**rules: object) -> RetentionPolicy:
    return RetentionFile.model_validate({"default": {"timezone": "Asia/Shanghai", **rules}}).policy("media")


def backup(name: str, moment: str, **more: object) -> Known:
    """`moment` is on the clocks of Shanghai."""
    at = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo("Asia/Shanghai")).astimezone(UTC)
    return replace(Known(name, "sealed", at, EVERYWHERE), **more)  # type: ignore[arg-type]


def decided(
    backups: Sequence[Known], rules: RetentionPolicy, now: str, holds: Sequence[Hold] = ()
) -> dict[str, Decision]:
    at = backup("now", now).snapshot_at
    return {d.backup.backup_id: d for d in plan(backups, rules, holds, at, REGIONS)}


def hold(**more: object) -> Hold:
    plain = Hold(
        "hold-1", "media", None, None, None, "Legal", "case 7", datetime(2026, 1, 1, tzinfo=UTC), "li.wei"
    )
    return replace(plain, **more)  # type: ignore[arg-type]


# -- the calendar ------------------------------------------------------------------------------------------


@given(st.dates(date(1, 1, 8), date(9998, 1, 1)), st.sampled_from(GENERATIONS))
def test_every_day_lies_in_the_period_that_begins_on_or_before_it(day: date, generation: str) -> None:
    index = index_of(generation, day)  # type: ignore[arg-type]
    first, following = first_day(generation, index), first_day(generation, index + 1)  # type: ignore[arg-type]
    assert first <= day < following
    assert index_of(generation, first) == index  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("generation", "moment", "name"),
    [
        ("daily", "2024-02-29 23:59", "2024-02-29"),
        ("monthly", "2024-02-29 23:59", "2024-02"),
        ("monthly", "2024-03-01 00:00", "2024-03"),
        ("weekly", "2020-12-31 12:00", "2020-W53"),
        ("weekly", "2021-01-03 23:59", "2020-W53"),
        ("weekly", "2021-01-04 00:00", "2021-W01"),
        ("yearly", "2026-12-31 23:59", "2026"),
        ("yearly", "2027-01-01 00:00", "2027"),
    ],
)
def test_months_years_and_iso_weeks_end_when_they_do_in_the_zone(
    generation: str, moment: str, name: str
) -> None:
    """16:00 UTC is midnight in Shanghai."""
    day = local_day(backup("b", moment).snapshot_at, ZoneInfo("Asia/Shanghai"))
    assert name_of(generation, index_of(generation, day)) == name  # type: ignore[arg-type]


def test_days_with_daylight_saving_begin_when_clocks_say_so() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert begins(date(2026, 3, 29), berlin) == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert begins(date(2026, 3, 30), berlin) == datetime(2026, 3, 29, 22, tzinfo=UTC)


# -- by example --------------------------------------------------------------------------------------------


def test_the_first_good_backup_of_a_period_is_the_one_that_is_kept_for_it() -> None:
    backups = [
        backup("suspect", "2026-01-01 02:00", status="suspect"),
        backup("first", "2026-01-01 09:00"),
        backup("second", "2026-01-01 15:00"),
        backup("next", "2026-01-02 02:00"),
        backup("newest", "2026-02-10 02:00"),
    ]
    found = decided(backups, policy(daily=1, monthly=12, suspect_days=10), "2026-02-10 03:00")
    assert {name for name, d in found.items() if d.keep} == {"first", "newest"}
    assert found["first"].generations == ("monthly",) and found["first"].reasons == (
        "monthly 2026-01, 2 of 12",
    )
    assert found["second"].reasons == (
        "daily: first is the one of 2026-01-01", "monthly: first is the one of 2026-01"
    )  # fmt: skip
    assert found["suspect"].reasons == ("suspect for 10 days",)
    # A person accepts it after all: it was first, and takes the place.
    backups[0] = replace(backups[0], status="accepted")
    found = decided(backups, policy(daily=1, monthly=12), "2026-02-10 03:00")
    assert {name for name, d in found.items() if d.keep} == {"suspect", "newest"}


def test_what_is_kept_for_days_is_kept_until_that_day_begins() -> None:
    backups = [backup("leap", "2024-02-29 02:00"), backup("newest", "2024-06-01 02:00")]
    rules = policy(daily={"days": 35})
    last = decided(backups, rules, "2024-04-03 23:59")["leap"]
    assert last.keep and last.until == backup("x", "2024-04-04 00:00").snapshot_at
    assert not decided(backups, rules, "2024-04-04 00:00")["leap"].keep


def test_a_period_whose_backup_had_its_days_does_not_start_anew_with_a_later_one() -> None:
    backups = [backup("second", "2026-01-15 02:00"), backup("next", "2026-02-01 02:00")]
    rules = policy(daily={"days": 120}, monthly={"days": 100})
    first = backup("first", "2026-01-01 02:00")
    now = backup("x", "2026-04-20 03:00").snapshot_at

    def kept_for(former: Sequence[Known], rules: RetentionPolicy = rules) -> list[str]:
        found = plan(backups, rules, (), now, REGIONS, former)[0]
        return list(found.generations)

    assert kept_for([first]) == ["daily"]
    assert kept_for([]) == ["daily", "monthly"]
    longer = policy(daily={"days": 120}, monthly={"days": 365})
    assert kept_for([first], longer) == ["daily", "monthly"], (
        "its days would not be over: the next takes its place"
    )
    assert kept_for([replace(first, status="rejected")]) == ["daily", "monthly"]


def test_the_newest_good_one_is_kept_for_ever_and_so_is_the_newest_copy_in_each_region() -> None:
    backups = [
        backup("everywhere", "2020-01-01 02:00"),
        backup("two", "2020-01-02 02:00", status="degraded", verified_in=frozenset({"cn-east", "cn-north"})),
        backup("one", "2020-01-03 02:00", status="degraded", verified_in=frozenset({"cn-east"})),
        backup("rejected", "2020-01-04 02:00", status="rejected"),
    ]
    found = decided(backups, policy(daily={"days": 1}), "2026-01-01 00:00")
    assert [d.keep for d in found.values()] == [True, True, True, False]
    assert found["everywhere"].reasons == ("the newest good copy in cn-south",)
    assert found["two"].reasons == ("the newest good copy in cn-north",)
    assert found["one"].reasons == ("the newest good backup",) and found["one"].open_end


def test_what_could_not_be_restored_does_not_take_the_place_of_what_may_be() -> None:
    rules = policy(daily=1)
    backups = [backup(str(day), f"2026-01-{day:02} 02:00") for day in range(1, 6)]
    doubted = [*backups[:3], *(replace(b, doubted=True) for b in backups[3:])]
    found = decided(doubted, rules, "2026-01-05 03:00")
    assert {name for name, d in found.items() if d.keep} == {"3", "5"}
    assert found["3"].open_end and found["3"].reasons == (
        "the newest good backup whose restore tests did not fail",
    )
    healed = [*doubted, backup("6", "2026-01-06 02:00")]
    assert {name for name, d in decided(healed, rules, "2026-01-06 03:00").items() if d.keep} == {"6"}
    hopeless = [replace(b, doubted=True) for b in backups]
    assert {name for name, d in decided(hopeless, rules, "2026-01-05 03:00").items() if d.keep} == {"5"}


def test_without_any_good_one_the_newest_is_kept() -> None:
    backups = [backup(n, f"2020-01-0{n} 02:00", status="suspect") for n in "12"]
    found = decided(backups, policy(daily=3), "2026-01-01 00:00")
    assert [d.keep for d in found.values()] == [False, True]


def test_holds_keep_what_they_cover_while_they_are_in_force() -> None:
    backups = [backup(f"b{n}", f"2020-01-0{n} 02:00") for n in range(1, 7)]
    since, until = backups[1].snapshot_at, backups[3].snapshot_at
    rules = policy(daily={"days": 1})

    def kept(*holds: Hold) -> set[str]:
        return {n for n, d in decided(backups, rules, "2026-01-01 00:00", holds).items() if d.keep} - {"b6"}

    assert kept(hold(span_from=since, span_until=until)) == {"b2", "b3"}
    assert kept(hold(backup_id="b4")) == {"b4"} and kept(hold()) == {"b1", "b2", "b3", "b4", "b5"}
    assert kept(hold(lifted_at=since, lifted_by="x", lift_reason="y")) == set()
    (reason,) = decided(backups, rules, "2026-01-01 00:00", [hold(backup_id="b1")])["b1"].reasons
    assert reason == "legal hold hold-1 of Legal: case 7"


def test_a_lock_keeps_what_nothing_else_does() -> None:
    end = datetime(2026, 1, 2, tzinfo=UTC)
    backups = [backup("locked", "2020-01-01 02:00", locked_until=end), backup("newest", "2020-02-01 02:00")]
    rules = policy(daily=1)
    found = decided(backups, rules, "2026-01-01 00:00")["locked"]
    assert found.keep and found.reasons == ("locked until 2026-01-02 00:00Z, nothing else keeps it",)
    assert not decided(backups, rules, "2026-01-03 00:00")["locked"].keep


def test_twenty_years_of_days_are_planned_in_a_moment() -> None:
    first = backup("x", "2006-01-01 02:00").snapshot_at
    backups = [Known(f"b{n}", "sealed", first + timedelta(days=n), EVERYWHERE) for n in range(7305)]
    began = time.process_time()
    found = plan(
        backups, policy(daily=35, weekly=8, monthly=13, yearly=7), (), backups[-1].snapshot_at, REGIONS
    )
    assert time.process_time() - began < 2
    counts = {g: sum(g in d.generations for d in found) for g in GENERATIONS}
    assert counts == {"daily": 35, "weekly": 8, "monthly": 13, "yearly": 7}


# -- over many years ---------------------------------------------------------------------------------------


rules_of_all_kinds = st.builds(
    lambda daily, weekly, monthly, yearly, suspect, zone: RetentionFile.model_validate(
        {
            "default": {
                "daily": daily, "weekly": weekly, "monthly": monthly, "yearly": yearly,
                "suspect_days": suspect, "timezone": zone,
            }
        }
    ).policy("media"),
    st.one_of(st.integers(1, 40), st.builds(lambda n: {"days": n}, st.integers(1, 60))),
    st.one_of(st.integers(0, 10), st.builds(lambda n: {"days": n}, st.integers(1, 120))),
    st.one_of(st.integers(0, 14), st.builds(lambda n: {"days": n}, st.integers(1, 500))),
    st.one_of(st.integers(0, 8), st.builds(lambda n: {"days": n}, st.integers(1, 3000))),
    st.integers(1, 120),
    st.sampled_from(["Asia/Shanghai", "UTC", "Europe/Berlin", "Pacific/Apia", "America/St_Johns"]),
)  # fmt: skip


class World:
    """A source over the years: what it has, what was dropped, and until when each is locked."""

    def __init__(self, rules: RetentionPolicy, lock_days: int) -> None:
        self.rules, self.lock = rules, timedelta(days=lock_days)
        self.here: dict[str, Known] = {}
        self.dropped: list[Known] = []
        """Under the rules that hold now."""
        self.former: list[Known] = []
        self.holds: list[Hold] = []
        self.made = 0

    def decide(self, now: datetime, backups: Sequence[Known] | None = None) -> list[Decision]:
        there = self.here.values() if backups is None else backups
        return plan(there, self.rules, self.holds, now, REGIONS, self.former)

    def make(self, now: datetime, status: str, verified_in: frozenset[str]) -> None:
        """A backup, locked as `birth` does: for `lock_days`, and if it is good for its generations."""
        self.made += 1
        known = Known(f"b{self.made:05}", status, now, verified_in, now + self.lock)  # type: ignore[arg-type]
        self.here[known.backup_id] = known
        if status in GOOD:
            mine = next(d for d in self.decide(now) if d.backup is known)
            if mine.until is not None:
                self._lock(known.backup_id, mine.until)

    def _lock(self, backup_id: str, until: datetime) -> None:
        known = self.here[backup_id]
        assert known.locked_until is not None
        self.here[backup_id] = replace(known, locked_until=max(known.locked_until, until))

    def run(self, now: datetime) -> None:
        """What `expire_backups` does in a day: locks of the kept ones, then the rest goes."""
        for d in self.decide(now):
            if d.keep and d.until is not None:
                self._lock(d.backup.backup_id, d.until)
            if d.keep and d.open_end:
                self._lock(d.backup.backup_id, now + LEEWAY)
        before = dict(self.here)
        for d in self.decide(now):
            if not d.keep:
                gone = self.here.pop(d.backup.backup_id)
                self.dropped.append(gone)
                self.former.append(gone)
        self.check(now, before)

    def check(self, now: datetime, before: dict[str, Known]) -> None:
        good = [b for b in before.values() if b.status in GOOD]
        gone = before.keys() - self.here.keys()
        # Never the last good one, nor the last good copy of a region.
        if good:
            newest = max(good, key=lambda b: (b.snapshot_at, b.backup_id))
            assert newest.backup_id in self.here
        elif before:
            assert self.here
        for region in REGIONS:
            there = [b for b in good if region in b.verified_in]
            if there:
                assert max(there, key=lambda b: (b.snapshot_at, b.backup_id)).backup_id in self.here
        for backup_id in gone:
            b = before[backup_id]
            assert not any(h.covers(backup_id, b.snapshot_at) for h in self.holds), "held"
            assert b.locked_until is not None and b.locked_until <= now, "locked"
        self._generations(good, now)
        # Whatever is kept for a reason is locked until tomorrow's run at least.
        for d in self.decide(now):
            if d.generations or d.open_end:
                end = d.backup.locked_until
                assert end is not None
                assert end >= now + LEEWAY or (d.until is not None and end >= d.until), d

    def _generations(self, good: Sequence[Known], now: datetime) -> None:
        """Counted anew, in another way: each period's first good one of the newest periods is there."""
        for generation, keep in self.rules.keep.items():
            first: dict[int, Known] = {}
            for b in sorted(good, key=lambda b: (b.snapshot_at, b.backup_id), reverse=True):
                first[index_of(generation, local_day(b.snapshot_at, self.rules.zone))] = b
            if isinstance(keep, Days):
                today = local_day(now, self.rules.zone)
                ever: dict[int, int] = {}
                for b in [*good, *(b for b in self.former if b.status in GOOD)]:
                    day = local_day(b.snapshot_at, self.rules.zone)
                    index = index_of(generation, day)
                    ever[index] = max(ever.get(index, 0), (today - day).days)
                wanted = [b for index, b in first.items() if ever[index] < keep.days]
            else:
                wanted = [first[index] for index in sorted(first)[len(first) - min(keep, len(first)) :]]
            assert all(b.backup_id in self.here for b in wanted), generation

    def nothing_dropped_is_wanted_again(self, now: datetime) -> None:
        wanted = {
            d.backup.backup_id
            for d in self.decide(now, [*self.here.values(), *self.dropped])
            if d.generations
        }
        assert not wanted & {b.backup_id for b in self.dropped}


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    days=st.sampled_from([20, 60, 120, 300]),
    rules=rules_of_all_kinds,
    lock_days=st.integers(1, 60),
)
def test_over_many_years_nothing_that_is_wanted_is_lost(
    seed: int, days: int, rules: RetentionPolicy, lock_days: int
) -> None:
    chance = random.Random(seed)
    world = World(rules, lock_days)
    now = datetime(chance.randint(2000, 2040), chance.randint(1, 12), 28, chance.randint(0, 23), tzinfo=UTC)
    busy = chance.choice([0.3, 0.9, 0.99])
    for day in range(days):
        now += timedelta(days=chance.choice([1] * 30 + [2, 9, 45, 200]), minutes=chance.randint(-20, 20))
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            if chance.random() < busy:
                there = (
                    EVERYWHERE
                    if chance.random() < 0.9
                    else frozenset(chance.sample(REGIONS, chance.randint(0, 2)))
                )
                status = "sealed" if there == EVERYWHERE else "degraded"
                status = "suspect" if chance.random() < 0.1 else status
                world.make(now, status, there)
                now += timedelta(minutes=chance.randint(1, 300))
        _people(world, chance, now)
        world.run(now)
        if day % 50 == 0:
            world.nothing_dropped_is_wanted_again(now)


@pytest.mark.parametrize(
    "rules",
    [
        {"daily": 5, "weekly": 3, "monthly": 4, "yearly": 1},
        {"daily": {"days": 5}, "weekly": {"days": 30}, "monthly": {"days": 90}},
    ],
    ids=["numbers", "days"],
)
def test_with_a_backup_a_day_the_lock_of_the_first_day_is_enough_and_not_too_long(
    rules: dict[str, object],
) -> None:
    """Through a leap day, with the run of the day before the backup of the day and after it."""
    world = World(policy(**rules), lock_days=3)
    now = backup("x", "2023-11-20 02:00").snapshot_at
    for day in range(500):
        world.make(now, "sealed", EVERYWHERE)
        then = now + timedelta(hours=20 if day % 7 else 1)
        locks = {name: known.locked_until for name, known in world.here.items()}
        world.run(then)
        assert {n: k.locked_until for n, k in world.here.items()} == {n: locks[n] for n in world.here}
        for d in world.decide(then):
            if not d.generations and not d.open_end:  # only its lock keeps it
                assert d.backup.snapshot_at > now - timedelta(days=4) or _was_needed(world, d, now), d
        now += timedelta(days=1)


def _was_needed(world: World, decision: Decision, now: datetime) -> bool:
    """A few days ago it was of a generation."""
    before = now - LEEWAY - timedelta(days=2)
    there = [b for b in world.here.values() if b.snapshot_at <= before]
    past = {d.backup.backup_id: d for d in world.decide(before, there)}
    return bool(past[decision.backup.backup_id].generations)


def _people(world: World, chance: random.Random, now: datetime) -> None:
    """Now and then a suspect is accepted, a copy healed, a hold placed or lifted, the policy changed."""
    some = list(world.here.values())
    if some and chance.random() < 0.05:
        b = chance.choice(some)
        if b.status == "suspect":
            world.here[b.backup_id] = replace(b, status=chance.choice(["accepted", "rejected"]))
        elif b.status == "degraded":
            world.here[b.backup_id] = replace(b, status="sealed", verified_in=EVERYWHERE)
    if some and chance.random() < 0.02:
        b = chance.choice(some)
        one = hold(hold_id=f"hold-{now:%s}", placed_at=now)
        spans = [{"backup_id": b.backup_id}, {"span_from": b.snapshot_at}, {"span_until": b.snapshot_at}]
        world.holds.append(replace(one, **chance.choice(spans)))  # type: ignore[arg-type]
    if world.holds and chance.random() < 0.03:
        number = chance.randrange(len(world.holds))
        lifted = {"lifted_at": now, "lifted_by": "x", "lift_reason": "y"}
        world.holds[number] = replace(world.holds[number], **lifted)  # type: ignore[arg-type]
    if chance.random() < 0.004:
        zone = chance.choice(["Asia/Shanghai", "UTC", "Pacific/Apia"])
        keep = {g: chance.choice([0, 1, 5, 12]) for g in GENERATIONS} | {"daily": chance.randint(1, 40)}
        world.rules = replace(world.rules, timezone=zone, keep=keep)
        world.dropped.clear()
