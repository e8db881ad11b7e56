"""Locks that reach as far as the longest generation, and legal holds that real stores honour."""

import json
from datetime import datetime, timedelta

import pytest
from backup_rig import run_sql
from history_rig import HistoryRig, noon

from tidewatch.backup import sweep
from tidewatch.backup.heal import heal
from tidewatch.backup.retention import legal
from tidewatch.backup.retention.calendar import begins, first_day, index_of
from tidewatch.backup.retention.expire import extend_locks, mark, preview
from tidewatch.backup.retention.holds import holds, lift, place
from tidewatch.backup.retention.plan import LEEWAY
from tidewatch.backup.retention.protect import AHEAD, protect
from tidewatch.backup.retention.remove import remove
from tidewatch.core.errors import ConfigError, IntegrityError, NotFound, RegionRefused
from tidewatch.core.regions import Region
from tidewatch.local.s3 import LocalRegion
from tidewatch.vault.layout import region_key

YEARS = {
    "default": {"daily": {"days": 2}, "weekly": 2, "monthly": 3, "yearly": 5, "timezone": "Asia/Shanghai"}
}
BY = {"holder": "Legal", "reason": "case 7", "by": "li.wei"}


def _locks(region: Region, keys: list[str]) -> set[datetime | None]:
    return {region.store.head(key).retain_until for key in keys}


def _keys(rig: HistoryRig, region: Region, backup_id: str) -> list[str]:
    manifest = rig.get(backup_id).manifest
    prefix = region.config.prefix
    relative = [o.key for o in manifest.objects] + [manifest.path.relative.manifest_key]
    return [region_key(prefix, key) for key in relative]


def test_a_backup_is_locked_for_its_longest_generation_and_reused_packs_with_it(
    rig: HistoryRig, region_servers: list[LocalRegion]
) -> None:
    rig.policy = None
    rig.write("a")
    before = rig.back_up("media", "without a policy").backup_id
    row = rig.get(before)
    assert row.keep_until is None and row.ended_at is not None
    (lock,) = {t.date() for t in _locks(rig.regions[0], _keys(rig, rig.regions[0], before)) if t}
    assert lock == (row.ended_at + timedelta(days=1)).date(), "lock_days, as it always was"
    run_sql(rig.warehouse, f"update vault.backups set status = 'degraded' where backup_id = '{before}'")
    run_sql(
        rig.warehouse,
        "alter table vault.backups disable trigger all",
        f"update vault.backups set status = 'suspect' where backup_id = '{before}'",
        "alter table vault.backups enable trigger all",
    )
    # The first one is suspect: the next good one of the year is the year's, for five years.
    rig.policy = YEARS
    region_servers[2].stop()
    rig.write("b")
    outcome = rig.back_up("media", "first")
    assert outcome.verdict == "degraded"
    first = rig.get(outcome.backup_id)
    assert first.snapshot_at is not None
    assert first.generations == ["daily", "weekly", "monthly", "yearly"]
    zone = rig.ctx.retention.policy("media").zone  # type: ignore[union-attr]
    year = index_of("yearly", first.snapshot_at.astimezone(zone).date())
    until = begins(first_day("yearly", year + 5), zone) + LEEWAY
    assert first.keep_until == until
    for region in rig.regions[:2]:
        assert all(t and t >= until for t in _locks(region, _keys(rig, region, outcome.backup_id)))
    # What is healed later is locked as long.
    region_servers[2].start()
    rig.regions[2].store.__dict__.pop("client", None)
    assert heal(rig.ctx, outcome.backup_id).problems == {}
    assert all(
        t and t >= until for t in _locks(rig.regions[2], _keys(rig, rig.regions[2], outcome.backup_id))
    )
    assert {c["retain_until"] >= until for c in rig.query(
        "select retain_until from vault.copies where backup_id = %s", outcome.backup_id
    )} == {True}  # fmt: skip
    # The second of the day is of no generation. A person accepts the suspect one: it was first after all.
    second = rig.get(rig.back_up("media", "second").backup_id)
    assert (second.generations, second.keep_until) == ([], None)
    run_sql(
        rig.warehouse,
        "update vault.backups set status = 'accepted', decided_at = now(), decided_by = 'x', "
        f"decision_reason = 'y' where backup_id = '{before}'",
    )
    assert preview(rig.ctx, "media")[0].generations == ("daily", "weekly", "monthly", "yearly")
    assert extend_locks(rig.ctx, "media").problems == {}
    for region in rig.regions:
        assert all(t and t >= until for t in _locks(region, _keys(rig, region, before)))
    assert extend_locks(rig.ctx, "media").locks == 0, "nothing is left to do"


def test_a_hold_keeps_objects_in_the_store_itself_until_it_is_lifted(
    rig: HistoryRig, region_servers: list[LocalRegion]
) -> None:
    old = rig.made(5, "a")
    rig.made(1, "b")
    rig.made(0, "c")
    east, south = rig.regions[0], rig.regions[2]
    region_servers[2].stop()
    placed = place(rig.ctx, source="media", span_until=noon(4), **BY)
    assert placed.backups == 1 and [r.means for r in placed.regions[:2]] == ["legal_hold"] * 2
    assert placed.regions[2].problem and placed.regions[2].objects == 0
    assert place(rig.ctx, source="media", span_until=noon(4), **BY).hold == placed.hold, "once"
    assert rig.kinds().count("hold.placed") == 1
    region_servers[2].start()
    south.store.__dict__.pop("client", None)
    assert [r.problem for r in protect(rig.ctx)] == [None] * 3
    assert [r.released for r in protect(rig.ctx)] == [0] * 3, "what is held stays held"
    assert mark(rig.ctx, "media").expired == ()
    for region in rig.regions:
        for key in _keys(rig, region, old):
            head = region.store.head(key)
            assert legal.is_on(region, key, head.version_id)
            with pytest.raises(RegionRefused):
                region.store.delete(key, head.version_id)
    assert [k for k in rig.keys_in(east) if "probes" in k] == [], "what was tried is removed again"
    # A second hold covers a pack of the first: lifting that leaves the pack protected.
    with rig.ctx.connect() as conn:
        assert [h.hold_id for h in holds(conn)] == [placed.hold.hold_id]
    newer = place(rig.ctx, source="media", span_from=noon(2), **BY)
    lift(rig.ctx, placed.hold.hold_id, by="li.wei", reason="settled")
    pack, manifest = _keys(rig, east, old)[0], _keys(rig, east, old)[-1]
    assert legal.is_on(east, pack, None) and not legal.is_on(east, manifest, None)
    done = lift(rig.ctx, newer.hold.hold_id, by="li.wei", reason="settled")
    assert not legal.is_on(east, pack, None) and [r.objects for r in done.regions] == [0] * 3
    with pytest.raises(IntegrityError, match="lifted already"):
        lift(rig.ctx, newer.hold.hold_id, by="somebody", reason="else")
    (record,) = rig.query(
        "select entry from evidence.ledger where kind = 'hold.lifted' and subject = %s", newer.hold.hold_id
    )
    assert json.loads(record["entry"])["body"]["reason"] == "settled"
    assert mark(rig.ctx, "media").expired == (old,) and remove(rig.ctx, east).refused == 0


def test_where_a_store_knows_no_holds_a_longer_lock_stands_in(
    rig: HistoryRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = rig.made(3, "a")
    real = legal.is_on
    monkeypatch.setattr(legal, "is_on", lambda *_: False)
    placed = place(rig.ctx, source="media", backup_id=only, **BY)
    until = rig.clock() + AHEAD - timedelta(minutes=5)
    for answer, region in zip(placed.regions, rig.regions, strict=True):
        assert (answer.means, answer.problem, answer.objects) == ("retention", None, 2)
        assert answer.until is not None and answer.until > until
        assert all(t and t > until for t in _locks(region, _keys(rig, region, only)))
    run_sql(rig.warehouse, "update vault.held_objects set until = now() + interval '60 days'")
    run_sql(rig.warehouse, "update vault.copies set retain_until = now() + interval '60 days'")
    rig.clock.ahead = timedelta(days=30)
    assert all(r.until and r.until > until + timedelta(days=29) for r in protect(rig.ctx))
    rig.clock.ahead = timedelta()
    lifted = lift(rig.ctx, placed.hold.hold_id, by="li.wei", reason="settled")
    assert {r.released for r in lifted.regions} == {2}
    # A killed try left something that is held: it is found and removed, by the next try or by nobody.
    monkeypatch.setattr(legal, "is_on", real)
    east = rig.regions[0]
    left = f"{east.config.prefix}/probes/2026-01-01/hold-0123abcd"
    legal.put_on(east, left, east.store.put(left, b"x").version_id)
    assert sweep.remove(rig.ctx, east).refused == 1
    assert legal.honours(east, rig.clock()) and sweep.remove(rig.ctx, east).ok


def test_a_hold_needs_a_person_a_reason_and_something_to_hold(rig: HistoryRig) -> None:
    with pytest.raises(NotFound, match="no source nothing"):
        place(rig.ctx, source="nothing", **BY)
    with pytest.raises(NotFound):
        place(rig.ctx, source="media", backup_id="media-20260101T000000Z-00000000", **BY)
    for nobody in (" ", "\u200b", "\udcff", "x" * 201):
        with pytest.raises(ConfigError, match="`holder` is missing"):
            place(rig.ctx, source="media", **{**BY, "holder": nobody})
    with pytest.raises(ConfigError, match="span is empty"):
        place(rig.ctx, source="media", span_from=noon(1), span_until=noon(2), **BY)
    with pytest.raises(NotFound, match="There is no hold"):
        lift(rig.ctx, "hold-x", by="x", reason="y")
    # One on what is still to come is in force from the first backup on.
    assert place(rig.ctx, source="media", **BY).backups == 0
