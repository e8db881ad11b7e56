"""What a rebuild of the catalogue believes, what it names and leaves out, and what it never changes."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backup_rig import Rig, run_sql

from tidewatch.backup import rebuild as rebuilding
from tidewatch.backup.decide import decide
from tidewatch.backup.rebuild import Rebuilt, rebuild
from tidewatch.backup.recheck import recheck
from tidewatch.backup.run import RunRef, commit, judge, stage
from tidewatch.core.errors import RegionUnavailable
from tidewatch.core.objectstore import ObjectStore
from tidewatch.core.regions import Region
from tidewatch.core.signing import SigningKey
from tidewatch.evidence import ledger
from tidewatch.vault import catalogue
from tidewatch.vault.layout import BackupPath
from tidewatch.vault.signed import sign_document


@pytest.fixture
def media(rig: Rig, tmp_path: Path) -> str:
    root = tmp_path / "media"
    root.mkdir()
    for n in range(10):
        (root / f"{n}").write_bytes(bytes([n]) * 100)
    return rig.files_source("media", root)


def _forget_everything(rig: Rig) -> None:
    run_sql(rig.warehouse, "truncate vault.backups, vault.probes, backup.progress cascade")


def _rebuild(rig: Rig, region: str = "cn-east", *, dry_run: bool = False) -> Rebuilt:
    return rebuild(rig.ctx, region, rig.ctx.ring, dry_run=dry_run)


def _statuses(rig: Rig) -> dict[str, str]:
    return {r["backup_id"]: r["status"] for r in rig.query("select backup_id, status from vault.backups")}


def _everything(rig: Rig) -> Any:
    tables = ("vault.backups", "vault.copies", "vault.contents", "evidence.ledger")
    return {t: rig.query(f"select md5(string_agg(t::text, '' order by t::text)) from {t} t") for t in tables}


def _path(region: Region, backup_id: str) -> BackupPath:
    return BackupPath(region.config.prefix, "media", backup_id)


def _put(region: Region, key: str, body: bytes) -> None:
    region.store.client.put_object(Bucket=region.config.bucket, Key=key, Body=body)


def _another(manifest: dict[str, Any], number: int, **changes: Any) -> dict[str, Any]:
    """A manifest as another run would have made it, of no objects of its own."""
    value = copy.deepcopy(manifest)
    value["backup_id"] = f"media-20260101T000000Z-{number:08x}"
    value["run"]["run_id"] = f"made-{number}"
    return value | changes


def test_what_cannot_be_trusted_is_named_and_left_out_and_nothing_else_is_lost(
    rig: Rig, media: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = rig.back_up(media, "run-1").backup_id
    east = rig.regions[0]
    genuine = rig.get(first).manifest.to_json()
    stranger = SigningKey.generate()
    ours: SigningKey = rig.keys.signing_key
    wanted: dict[str, str] = {}  # backup -> what must be said of it

    def place(number: int, key: SigningKey, words: str, **changes: Any) -> str:
        value = _another(genuine, number, **changes)
        made = sign_document("manifest", value, key)
        _put(east, _path(east, value["backup_id"]).manifest_key, made)
        wanted[value["backup_id"]] = words
        return str(value["backup_id"])

    fine = place(1, ours, "")
    place(2, stranger, "another key")
    place(3, ours, "newer Tidewatch", version=2)
    copied = place(4, ours, "manifest of another backup")
    _put(east, _path(east, copied).manifest_key, sign_document("manifest", _another(genuine, 1), ours))
    unreadable = place(5, ours, "did not read")
    place(6, ours, "does not follow its schema", objects="none")
    covered = place(7, ours, "not what was signed")
    _put(east, _path(east, covered).manifest_key, b'{"manifest":{},"signature":{}}')
    hidden = place(8, ours, "a delete marker hides it")
    east.store.delete(_path(east, hidden).manifest_key)
    _put(east, "tidewatch/media/readme.txt", b"not ours")
    real = ObjectStore.read

    def read(self: ObjectStore, key: str, version_id: str | None = None) -> bytes:
        if unreadable in key:
            raise RegionUnavailable("Region cn-east did not read it", expected="-", found="500", do="-")
        return real(self, key, version_id)

    monkeypatch.setattr(ObjectStore, "read", read)
    _forget_everything(rig)
    done = _rebuild(rig)
    said = {p.key.split("/")[-2]: p for p in done.problems}
    assert set(said) == {b for b, words in wanted.items() if words}
    for backup_id, words in wanted.items():
        assert not words or words in said[backup_id].text
    assert {b for b, p in said.items() if p.kind == "hidden"} == {copied, covered, hidden}
    assert set(_statuses(rig)) == {first, fine, copied, covered, hidden} and done.manifests == 9
    # What lies hidden was found, and is not called verified: a plain reading does not show it.
    states = {c.region: c.state for c in _manifest_rows(rig, hidden)}
    assert states == {"cn-east": "failed", "cn-north": "uploaded", "cn-south": "uploaded"}
    (record,) = [json.loads(r["entry"])["body"] for r in rig.query(_RECORDS)]
    assert (record["adopted"], record["refused"], len(record["problems"])) == (5, 4, 7)


def test_bytes_made_to_break_a_rebuild_are_refused_like_any_others(rig: Rig, media: str) -> None:
    good = rig.back_up(media, "run-1").backup_id
    east = rig.regions[0]
    of_key = '{"manifest":{},"signature":{"algorithm":"ed25519","key_id":"%s","value":"AAAA"}}'
    made = [
        '{"manifest":{},"signature":' + "[" * 200_000,
        '{"manifest":' + "[" * 200_000 + of_key[13:] % ("0" * 16),
        of_key % "\\ud800",
        of_key % "\\u0000",
        of_key % "\\u001b[2J",
        of_key % ("k" * 100_000),
        "",
    ]
    for number, text in enumerate(made):
        key = _path(east, f"media-20260101T000000Z-{number:08x}").manifest_key
        _put(east, key, text.encode())
    _forget_everything(rig)
    done = _rebuild(rig)
    assert set(_statuses(rig)) == {good} and [p.kind for p in done.problems] == ["refused"] * len(made)
    assert all(p.text.isprintable() and len(p.text) < 300 for p in done.problems)
    (record,) = [json.loads(r["entry"])["body"] for r in rig.query(_RECORDS)]
    assert (record["adopted"], record["refused"]) == (1, len(made))


_RECORDS = "select entry from evidence.ledger where kind = 'catalog.rebuilt'"


def _manifest_rows(rig: Rig, backup_id: str) -> list[catalogue.Copy]:
    with rig.ctx.connect() as conn:
        rows = catalogue.copies(conn, backup_id)
    return [c for c in rows if c.object_key.endswith("/manifest.json")]


def test_a_living_catalogue_gains_what_it_lacks_and_loses_nothing(rig: Rig, media: str) -> None:
    kept, lost = rig.back_up(media, "run-1").backup_id, rig.back_up(media, "run-2").backup_id
    before = _everything(rig)
    assert (_rebuild(rig).known, _everything(rig)) == (2, before), "there is nothing to add"

    run_sql(rig.warehouse, f"delete from vault.backups where backup_id = '{lost}'")
    run_sql(rig.warehouse, f"delete from vault.copies where backup_id = '{kept}' and region = 'cn-east'")
    less = _everything(rig)
    tried = _rebuild(rig, dry_run=True)
    assert (tried.adopted, tried.known, tried.copies) == (1, 1, 2) and _everything(rig) == less
    done = _rebuild(rig)
    assert done.ok and {**vars(done), "dry_run": True} == vars(tried)
    assert done.chain_before is None, "the ledger is the one that it was"
    full = _everything(rig)
    assert full["vault.contents"] == before["vault.contents"]
    assert _rebuild(rig, "cn-north").copies == 1, "cn-north shows its own manifest of the one that was lost"
    full = _everything(rig)
    assert _rebuild(rig).ok and _rebuild(rig, "cn-north").ok and _everything(rig) == full


def test_what_contradicts_the_catalogue_is_told_and_left(rig: Rig, media: str) -> None:
    failed, other, same_run = (rig.back_up(media, f"run-{n}").backup_id for n in range(3))
    run_sql(
        rig.warehouse,
        "alter table vault.backups disable trigger all",
        f"update vault.backups set manifest_sha256 = repeat('0', 64) where backup_id = '{other}'",
        f"update vault.backups set status = 'failed', error = 'x', manifest_sha256 = null "
        f"where backup_id = '{failed}'",
        f"update vault.backups set backup_id = 'media-20260101T000000Z-00000000', document = null, "
        f"manifest_sha256 = null, status = 'staging', ended_at = null where backup_id = '{same_run}'",
        "alter table vault.backups enable trigger all",
    )
    before = _everything(rig)
    done = _rebuild(rig)
    assert {p.key.split("/")[-2]: p.kind for p in done.problems} == dict.fromkeys(
        (failed, other, same_run), "contradicts"
    )
    assert done.adopted == 0 and _everything(rig) == before


def test_a_run_at_work_is_left_to_itself(rig: Rig, media: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tidewatch.backup import commit as committing

    backup_id = stage(rig.ctx, media, RunRef(dag_id="tests", run_id="run-1")).backup_id
    judge(rig.ctx, backup_id)
    with monkeypatch.context() as patch:
        patch.setattr(committing, "record", lambda *_: None)  # the manifest lies there, the verdict does not
        commit(rig.ctx, backup_id)
    before = _everything(rig)
    done = _rebuild(rig)
    assert (done.in_work, done.adopted, done.problems) == (1, 0, ()) and _everything(rig) == before
    assert commit(rig.ctx, backup_id).verdict == "sealed"


def test_a_rebuild_that_is_killed_has_changed_nothing(
    rig: Rig, media: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.back_up(media, "run-1")
    rig.back_up(media, "run-2")
    _forget_everything(rig)
    before = _everything(rig)

    class Killed(BaseException):
        pass

    def die(after: int) -> Callable[..., Any]:
        real = catalogue.adopt

        def adopt(*arguments: Any) -> bool:
            nonlocal after
            after -= 1
            if after < 0:
                raise Killed
            return real(*arguments)

        return adopt

    for after in (0, 1):
        with monkeypatch.context() as patch:
            patch.setattr(rebuilding.catalogue, "adopt", die(after))
            with pytest.raises(Killed):
                _rebuild(rig)
        assert _everything(rig) == before
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "append", lambda *_, **__: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            _rebuild(rig)
    assert _everything(rig) == before and _rebuild(rig).adopted == 2


def test_decisions_come_back_when_they_are_genuine(rig: Rig, media: str, tmp_path: Path) -> None:
    rig.back_up(media, "run-1")
    for n in range(6):
        (tmp_path / "media" / f"{n}").unlink()
    suspect = stage(rig.ctx, media, RunRef(dag_id="tests", run_id="run-2")).backup_id
    judge(rig.ctx, suspect)
    decide(rig.ctx, suspect, accept=False, by="Li Wei", reason="rows were lost")
    was = rig.query("select * from vault.backups where status = 'rejected'")
    _forget_everything(rig)
    # A forged word over the genuine one is seen through; the one below counts.
    east, north = rig.regions[0], rig.regions[1]
    key = _path(east, suspect).decision_key
    forged = json.loads(east.store.read(key))["decision"] | {"decision": "accept"}
    _put(east, key, sign_document("decision", forged, SigningKey.generate()))
    done = _rebuild(rig)
    assert done.decisions == 1 and [p.kind for p in done.problems] == ["hidden"]
    assert rig.query("select * from vault.backups where status = 'rejected'") == was
    assert rig.kinds(suspect).count("decision.made") == 2  # as it was made, and as it was found again

    # The word on another backup, genuine as it is, is no word on this one.
    _forget_everything(rig)
    key = _path(north, suspect).decision_key
    other = json.loads(north.store.read(key))["decision"] | {"about": "media-20260101T000000Z-00000009"}
    _put(north, key, sign_document("decision", other, rig.keys.signing_key))
    again = _rebuild(rig, "cn-north")
    assert again.decisions == 1 and "decision on another backup" in again.problems[0].text


def test_a_check_finds_what_other_regions_lost(rig: Rig, media: str) -> None:
    backup_id = rig.back_up(media, "run-1").backup_id
    second = rig.back_up(media, "run-2").backup_id
    _forget_everything(rig)
    _rebuild(rig)
    south = rig.regions[2]
    entry = rig.get(backup_id).manifest.objects[0]
    south.store.delete(f"tidewatch/{entry.key}")
    reports = {r.region: r for r in recheck(rig.ctx)}
    assert {n: (r.verified, r.failed) for n, r in reports.items()} == {
        "cn-east": (2, 0),
        "cn-north": (2, 0),
        "cn-south": (0, 2),
    }
    assert _statuses(rig) == {backup_id: "degraded", second: "degraded"}
    assert rig.kinds().count("catalog.checked") == 3
