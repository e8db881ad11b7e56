"""What is kept and what may go, and why: a pure function of the backups, the policy, the holds and the time.

The first good backup of a local day, ISO week, month or year is the one that is kept for it. So it is known
when a backup is made which generations it belongs to, and its objects can be locked for as long; a suspect or
failed one leaves the place to the next good one, one whose days are over does not. A backup is kept while

- a generation needs it: it is of one of the newest so many periods that have one, or not yet so many days old
- it is the newest good one of its source, the newest of those that no failed restore test speaks against,
  or the newest verified one in some region
- a legal hold covers it
- it is suspect, or rejected, and not yet as old as the policy says; or there is no good one at all
- it is locked

Dropping is final: under one policy, what was dropped is never wanted again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from tidewatch.backup.retention.calendar import begins, first_day, index_of, local_day, name_of
from tidewatch.core.retention import Days, Generation, RetentionPolicy
from tidewatch.vault.catalogue import GOOD, Status

LEEWAY = timedelta(days=2)
"""A generation that is counted is left when a newer period has its backup, some time after it began. Until
then the lock holds. So far ahead the locks of what is kept reach, whatever happens between two runs."""


@dataclass(frozen=True)
class Known:
    """A backup that has a manifest and was not removed."""

    backup_id: str
    status: Status
    snapshot_at: datetime
    verified_in: frozenset[str] = frozenset()
    locked_until: datetime | None = None
    """When the last lock of its manifests ends."""
    doubted: bool = False
    """Its restore tests failed, from every region that was tried last."""


@dataclass(frozen=True)
class Hold:
    """A legal hold, in force until it is lifted. `backup_id` None: every backup of the source whose snapshot
    lies from `span_from` on and before `span_until` (None: without limit), those to come included."""

    hold_id: str
    source: str
    backup_id: str | None
    span_from: datetime | None
    span_until: datetime | None
    holder: str
    reason: str
    placed_at: datetime
    placed_by: str
    lifted_at: datetime | None = None
    lifted_by: str | None = None
    lift_reason: str | None = None

    def covers(self, backup_id: str, snapshot_at: datetime) -> bool:
        """Whether it is in force for this backup of its source."""
        if self.lifted_at is not None or self.backup_id is not None:
            return self.lifted_at is None and self.backup_id == backup_id
        return (self.span_from is None or snapshot_at >= self.span_from) and (
            self.span_until is None or snapshot_at < self.span_until
        )


@dataclass(frozen=True)
class Decision:
    """What becomes of one backup, and why."""

    backup: Known
    keep: bool
    reasons: tuple[str, ...]
    generations: tuple[Generation, ...] = ()
    """Those that it is kept for."""
    until: datetime | None = None
    """Until when its generations need it at least, as far as can be said now; a lock must reach there."""
    open_end: bool = False
    """It is kept for a reason that has no date: its lock is extended again and again."""


@dataclass
class _Case:
    """What speaks for one backup."""

    reasons: list[str] = field(default_factory=list)
    generations: list[Generation] = field(default_factory=list)
    until: datetime | None = None
    open_end: bool = False

    def need(self, until: datetime) -> None:
        self.until = until if self.until is None else max(self.until, until)

    def without_date(self, reason: str) -> None:
        self.reasons.append(reason)
        self.open_end = True


def plan(
    backups: Iterable[Known],
    policy: RetentionPolicy,
    holds: Collection[Hold],
    now: datetime,
    regions: Collection[str],
    former: Iterable[Known] = (),
) -> list[Decision]:
    """One decision for each backup of one source, the oldest snapshot first. `holds` are those of the source;
    `regions` the configured ones; `former` backups were removed already: they have been the first of a day,
    week, month or year all the same."""
    ordered = sorted(backups, key=lambda b: (b.snapshot_at, b.backup_id))
    good = [b for b in ordered if b.status in GOOD]
    cases = {b.backup_id: _Case() for b in ordered}
    refused: dict[str, list[str]] = {b.backup_id: [] for b in good}
    days = [(b, local_day(b.snapshot_at, policy.zone)) for b in good]
    newest_first = sorted(former, key=lambda b: (b.snapshot_at, b.backup_id), reverse=True)
    gone = [(b, local_day(b.snapshot_at, policy.zone)) for b in newest_first if b.status in GOOD]
    for generation, keep in policy.keep.items():
        if isinstance(keep, Days):
            spent = _spent(gone, generation, keep, policy, now)
            _generation(cases, refused, days, generation, keep, policy, now, spent)
        elif keep != 0:
            _generation(cases, refused, days, generation, keep, policy, now, {})
    _last_ones(cases, ordered, good, regions)
    for b in ordered:
        case = cases[b.backup_id]
        for hold in holds:
            if hold.covers(b.backup_id, b.snapshot_at):
                case.without_date(f"legal hold {hold.hold_id} of {hold.holder}: {hold.reason}")
        if b.status not in GOOD:
            _not_good(case, b, policy, now)
    return [_decision(b, cases[b.backup_id], refused.get(b.backup_id, []), policy, now) for b in ordered]


def _spent(
    gone: Sequence[tuple[Known, date]],
    generation: Generation,
    keep: Days,
    policy: RetentionPolicy,
    now: datetime,
) -> dict[int, Known]:
    """Periods whose first backup was kept for its days and removed: a later one does not start anew. `gone`
    has the newest first."""
    return {
        index_of(generation, day): b
        for b, day in gone
        if now >= begins(day + timedelta(days=keep.days), policy.zone)
    }


def _generation(
    cases: dict[str, _Case],
    refused: dict[str, list[str]],
    days: Sequence[tuple[Known, date]],
    generation: Generation,
    keep: int | Days,
    policy: RetentionPolicy,
    now: datetime,
    spent: Mapping[int, Known],
) -> None:
    keepers: dict[int, tuple[Known, date]] = {}
    for b, day in days:
        index = index_of(generation, day)
        if (had := spent.get(index)) is not None and had.snapshot_at <= b.snapshot_at:
            refused[b.backup_id].append(
                f"{generation}: {had.backup_id} was the one of {name_of(generation, index)}"
            )
            continue
        first, _ = keepers.setdefault(index, (b, day))
        if first is not b:
            period = name_of(generation, index)
            refused[b.backup_id].append(f"{generation}: {first.backup_id} is the one of {period}")
    newest_first = sorted(keepers, reverse=True)
    this = index_of(generation, local_day(now, policy.zone))
    for rank, index in enumerate(newest_first):
        b, day = keepers[index]
        name = f"{generation} {name_of(generation, index)}"
        if isinstance(keep, Days):
            end = begins(day + timedelta(days=keep.days), policy.zone)
            wanted, why = now < end, f"{name}, {keep.days} days"
        else:
            # One newer period can begin with the next backup, each further one not before its calendar does.
            leaves = max(newest_first[0] + 1, this) + keep - rank - 1
            end = max(begins(first_day(generation, leaves), policy.zone), now) + LEEWAY
            wanted, why = rank < keep, f"{name}, {rank + 1} of {keep}"
        if not wanted:
            newer = "1 newer one is there" if keep == 1 else f"{keep} newer ones are there"
            over = f"{keep.days} days are over" if isinstance(keep, Days) else newer
            refused[b.backup_id].append(f"{name}: {over}")
            continue
        case = cases[b.backup_id]
        case.reasons.append(why)
        case.generations.append(generation)
        case.need(end)


def _last_ones(
    cases: dict[str, _Case], ordered: Sequence[Known], good: Sequence[Known], regions: Collection[str]
) -> None:
    if not good:
        if ordered:
            cases[ordered[-1].backup_id].without_date("the newest of all, and none is good")
        return
    cases[good[-1].backup_id].without_date("the newest good backup")
    sound = next((b for b in reversed(good) if not b.doubted), None)
    if sound is not None and sound is not good[-1]:
        cases[sound.backup_id].without_date("the newest good backup whose restore tests did not fail")
    last_in: dict[str, list[str]] = {}
    for region in sorted(regions):
        there = next((b for b in reversed(good) if region in b.verified_in), None)
        if there is not None and there is not good[-1]:
            last_in.setdefault(there.backup_id, []).append(region)
    for backup_id, names in last_in.items():
        cases[backup_id].without_date(f"the newest good copy in {', '.join(names)}")


def _not_good(case: _Case, b: Known, policy: RetentionPolicy, now: datetime) -> None:
    end = begins(local_day(b.snapshot_at, policy.zone), policy.zone) + policy.suspect
    if now < end:
        case.reasons.append(f"{b.status}, kept for {policy.suspect.days} days")


def _decision(
    b: Known, case: _Case, refused: Sequence[str], policy: RetentionPolicy, now: datetime
) -> Decision:
    reasons = list(case.reasons)
    keep = bool(reasons)
    if not keep and b.locked_until is not None and b.locked_until > now:
        keep, reasons = True, [f"locked until {b.locked_until:%Y-%m-%d %H:%M}Z, nothing else keeps it"]
    elif not keep:
        reasons = list(refused) if b.status in GOOD else [f"{b.status} for {policy.suspect.days} days"]
        reasons = reasons or ["no generation is kept"]
    return Decision(b, keep, tuple(reasons), tuple(case.generations), case.until, case.open_end)
