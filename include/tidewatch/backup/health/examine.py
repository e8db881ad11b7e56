"""The examination: facts first, side by side; then what the checks say of them.

Order: configuration and keys (files); database, regions and sources at once; then the regions' signed heads
and the ledger at once; last our records at those heads. Heads come before the ledger is asked for them: it
may grow in between, and must not shrink.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from tidewatch.backup.anchors import newest_anchor
from tidewatch.backup.health import backups, keys, machine, places, warehouse
from tidewatch.backup.health.check import Check, Failure, ok, problem, unknown, warning, without
from tidewatch.backup.health.ledger import check_ledger
from tidewatch.backup.health.leftovers import ask_orphans, check_orphans
from tidewatch.backup.health.limits import Limits, read_limits
from tidewatch.backup.health.places import Answered
from tidewatch.backup.health.side_by_side import side_by_side
from tidewatch.backup.health.warehouse import Facts
from tidewatch.backup.plan import plan_source
from tidewatch.core.clock import Clock
from tidewatch.core.config import read_yaml
from tidewatch.core.connections import Resolver
from tidewatch.core.errors import RegionMisconfigured, TidewatchError
from tidewatch.core.keysfile import KeysFile, read_keys_file
from tidewatch.core.progress import human_bytes
from tidewatch.core.regions import Region, RegionsFile, open_regions
from tidewatch.core.settings import Settings
from tidewatch.core.signing import KeyRing
from tidewatch.core.sources import SourcesFile
from tidewatch.evidence.chains import NewChain
from tidewatch.notices.channels import NoticesFile

T = TypeVar("T")


@dataclass(frozen=True)
class _Here:
    """What the files say; None where one cannot be used, which is a check of its own."""

    settings: Settings
    resolver: Resolver
    clock: Clock
    limits: Limits
    sources: SourcesFile | None
    regions: list[Region]
    notices: NoticesFile | None
    ring: KeyRing | None
    dsn: str | None


def examine(
    settings: Settings, resolver: Resolver, clock: Clock, *, full: bool = False, skip: Sequence[str] = ()
) -> list[Check]:
    """Every check but those that `skip` names (`disk`, or `disk:home`). Raises nothing for what is wrong:
    that is the answer. With `full` a long ledger is read whole, too."""
    here, checks = _read(settings, resolver, clock)
    checks += machine.check_disk(settings, here.limits)
    questions: dict[str, Callable[[], Any]] = {}
    if here.dsn is not None:
        questions["database"] = lambda: _ask_database(here)
    for region in here.regions:
        questions[f"region {region.name}"] = partial(_ask_region, region, clock)
    for source in here.sources.sources if here.sources else ():
        questions[f"source {source.name}"] = partial(machine.ask_source, source, settings, resolver)
    answers = side_by_side(questions, here.limits.timeout_seconds)
    reached = _of(answers, "region ")
    checks += places.check_regions([r.config for r in here.regions], reached, here.limits)
    checks += machine.check_sources_reached(_of(answers, "source "))
    facts = answers.get("database", Failure("it has no connection", "see the check `configuration`"))
    checks += _of_database(here, facts)
    checks += _ledger_and_heads(here, facts, reached, full)
    return without(checks, skip)


# -- the files -----------------------------------------------------------------------------------------------


def _read(settings: Settings, resolver: Resolver, clock: Clock) -> tuple[_Here, list[Check]]:
    checks: list[Check] = []
    config = settings.config_dir

    def read(name: str, reader: Callable[[], T]) -> T | None:
        try:
            value = reader()
        except TidewatchError as error:
            checks.append(problem("configuration", name, f"{error.what}: {error.found}", error.do))
            return None
        checks.append(ok("configuration", name, "can be used"))
        return value

    sources = read("sources.yaml", lambda: read_yaml(config / "sources.yaml", SourcesFile))
    file = read("regions.yaml", lambda: read_yaml(config / "regions.yaml", RegionsFile))
    notices = read("notices.yaml", lambda: read_yaml(config / "notices.yaml", NoticesFile))
    known = read("keys.yaml", lambda: read_keys_file(config)) or KeysFile()
    limits = read("doctor.yaml", lambda: read_limits(config)) or Limits()
    read("gates", lambda: machine.read_gate(config))
    dsn = read("warehouse", lambda: resolver(settings.warehouse_connection).postgres_dsn())
    regions = read("regions", lambda: open_regions(file, resolver, strict=False)) if file else None
    if sources and file and regions:
        for source in sources.sources:
            read(f"plan of {source.name}", partial(plan_source, source, file, regions))
    key_checks, in_use, ring = keys.check_key_files(settings)
    checks += key_checks
    checks += keys.check_expiry(in_use, known, limits, clock().date())
    quick = [_quick(region) for region in regions or []]
    here = _Here(settings, resolver, clock, limits, sources, quick, notices, ring, dsn)
    return here, checks


# -- the questions -------------------------------------------------------------------------------------------


def _ask_database(here: _Here) -> Facts:
    assert here.dsn is not None  # noqa: S101 - asked only then
    return warehouse.ask(
        here.dsn,
        here.clock,
        here.settings.sql_dir / "migrations",
        [r.name for r in here.regions],
        here.notices,
        timedelta(hours=here.limits.notice_hours),
        here.limits.timeout_seconds,
    )


def _quick(region: Region) -> Region:
    """The region, asked once, without long waits: whoever wants an answer about it wants it soon."""
    address = replace(region.address, connect_timeout_s=5.0, read_timeout_s=10.0, attempts=2)
    return Region(region.config, address)


def _ask_region(region: Region, clock: Clock) -> Answered:
    """Raises RegionError when it does not answer, or lacks the bucket."""
    if not region.store.describe().exists:
        raise RegionMisconfigured(
            f"Region {region.name} has no bucket {region.config.bucket}",
            expected="the bucket of config/regions.yaml, with object lock",
            found="none",
            do="create it with object lock, or correct config/regions.yaml",
        )
    before = clock()
    told = region.store.told_time()
    if told is None:
        return Answered(None)
    here = before + (clock() - before) / 2
    return Answered((told - here).total_seconds())


def _of(answers: Mapping[str, T], prefix: str) -> dict[str, T]:
    return {name.removeprefix(prefix): value for name, value in answers.items() if name.startswith(prefix)}


# -- the database's answers ----------------------------------------------------------------------------------


def _of_database(here: _Here, facts: Facts | Failure) -> Iterable[Check]:
    if isinstance(facts, Failure):
        yield problem("database", "", facts.found, facts.do)
        for name in (
            "migrations",
            "backup",
            "scheduler",
            "unconfigured",
            "degraded",
            "suspect",
            "unfinished",
        ):
            yield unknown(name, "", "the database does not answer")
        for name in ("probe", "notices", "succession"):
            yield unknown(name, "", "the database does not answer")
        return
    limits, now = here.limits, here.clock()
    yield from _judge("database", facts.server, lambda server: _server(server, limits))
    yield from _judge("migrations", facts.pending, _migrations)
    if here.sources is not None:
        sources = here.sources.sources
        yield from _judge(
            "backup",
            facts.history,
            lambda history: [
                *backups.check_sources(sources, history, now),
                *backups.check_scheduler(sources, history, now),
                *backups.check_unconfigured(sources, history, limits),
            ],
        )
    yield from _judge("unfinished", facts.open, lambda rows: backups.check_open(rows, limits, now))
    yield from _judge(
        "probe", facts.probes, lambda probes: places.check_probes(here.regions, probes, limits, now)
    )
    yield from _judge("notices", facts.undelivered, _notices)
    if here.ring is not None:
        ring = here.ring
        yield from _judge("succession", facts.changes, lambda found: keys.check_succession(found, ring))


def _judge(name: str, facts: T | Failure, judge: Callable[[T], Iterable[Check]]) -> Iterable[Check]:
    if isinstance(facts, Failure):
        return [problem(name, "", facts.found, facts.do)]
    return judge(facts)


def _server(server: warehouse.Server, limits: Limits) -> Iterable[Check]:
    found = f"answers; {human_bytes(server.bytes)}"
    if limits.database_gib is not None and server.bytes > limits.database_gib * machine.GIB:
        yield warning("database", "", f"{found}, wanted are {limits.database_gib:g} GiB", "find what grows")
    else:
        yield ok("database", "", found)
    yield places.check_clock("database", server.skew_seconds, limits)


def _migrations(pending: list[str]) -> Iterable[Check]:
    if pending:
        yield problem("migrations", "", f"not applied: {', '.join(pending)}", "`tidewatch db migrate`")
    else:
        yield ok("migrations", "", "all applied")


def _notices(rows: list[warehouse.Undelivered]) -> Iterable[Check]:
    if not rows:
        yield ok("notices", "", "none undelivered")
        return
    channels = sorted({r.channel for r in rows})
    yield problem(
        "notices",
        "",
        f"{len(rows)} undelivered through {', '.join(channels)}, the oldest {rows[0].fact} ({rows[0].state})",
        "correct the channel's address (docs/notices.md); any run of a Dag sends what is due",
    )


def _ledger_and_heads(
    here: _Here, facts: Facts | Failure, reached: Mapping[str, Answered | Failure], full: bool
) -> Iterable[Check]:
    chain = facts.chain if isinstance(facts, Facts) and isinstance(facts.chain, NewChain) else None
    questions: dict[str, Callable[[], Any]] = {}
    dsn, ring = here.dsn, here.ring
    if isinstance(facts, Facts) and dsn is not None:
        questions["ledger"] = lambda: check_ledger(
            dsn, here.settings.home, chain, full=full, full_records=here.limits.ledger_full_records
        )
    for region in _with_backups(here):
        if isinstance(reached[region.name], Answered) and ring is not None:
            questions[f"orphans {region.name}"] = partial(
                ask_orphans, here.settings, here.resolver, here.clock, region
            )
            questions[f"head {region.name}"] = partial(newest_anchor, region, ring, chain)
    # Somebody who asks for everything waits for it.
    answers = side_by_side(questions, here.limits.timeout_seconds * (120 if full else 1))
    checked = answers.get("ledger")
    if checked is None:
        yield unknown("ledger", "", "the database does not answer")
    elif isinstance(checked, Failure):
        yield problem("ledger", "", checked.found, checked.do)
    else:
        yield checked
    yield from check_orphans(_of(answers, "orphans "), here.clock())
    yield from _heads(here, facts, answers)


def _with_backups(here: _Here) -> list[Region]:
    """The regions that some source is backed up to."""
    sources = here.sources.sources if here.sources else []
    return [r for r in here.regions if any(s.regions is None or r.name in s.regions for s in sources)]


def _heads(here: _Here, facts: Facts | Failure, answers: Mapping[str, Any]) -> Iterable[Check]:
    anchors = _of(answers, "head ")
    for region in _with_backups(here):
        if region.name not in anchors:
            why = "the verify keys cannot be used" if here.ring is None else "the region does not answer"
            yield unknown("head", region.name, why)
    seqs = [a[0].head.seq for a in anchors.values() if not isinstance(a, Failure) and a[0] is not None]
    dsn = here.dsn
    if isinstance(facts, Failure) or dsn is None or isinstance(facts.head, Failure):
        yield from places.check_heads(anchors, Failure("the database does not answer", ""), 0)
        return
    found = side_by_side(
        {"hashes": lambda: warehouse.hashes(dsn, seqs, here.limits.timeout_seconds)},
        here.limits.timeout_seconds,
    )
    yield from places.check_heads(anchors, found["hashes"], facts.head.seq)
