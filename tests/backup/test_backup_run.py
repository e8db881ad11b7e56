"""A backup from source to seal."""

import io
import os
import tarfile
from datetime import timedelta
from pathlib import Path

import pytest
from backup_rig import Rig, run_sql

from tidewatch.backup.run import RunRef, commit, judge, stage
from tidewatch.core.errors import ConfigError, GateFailed, IntegrityError, NotFound, ResidencyError
from tidewatch.evidence import ledger


def _tree(root: Path) -> Path:
    root.mkdir()
    (root / "sub").mkdir()
    (root / "a.txt").write_bytes(b"alpha")
    (root / "sub" / "b.txt").write_bytes(b"beta" * 1000)
    (root / "sub" / "same.txt").write_bytes(b"alpha")
    (root / "empty").write_bytes(b"")
    return root


def _shop(dsn: str, rows: int = 200) -> None:
    run_sql(
        dsn,
        "create table posts (id bigserial primary key, body text, at timestamptz default now())",
        "create table accounts (id int primary key, handle text)",
        f"insert into posts (body) select '观潮 post ' || n from generate_series(1, {rows}) n",
        "insert into accounts select n, 'acc' || n from generate_series(1, 30) n",
    )


def test_a_database_is_sealed_in_three_regions_and_every_step_is_on_the_record(
    rig: Rig, database: str
) -> None:
    _shop(database)
    outcome = rig.back_up(rig.postgres_source("ops", database))
    assert outcome.verdict == "sealed" and outcome.rows == 230 and outcome.tables == 2
    assert sorted(outcome.verified) == ["cn-east", "cn-north", "cn-south"] and not outcome.missing
    manifests = [rig.manifest_in(r, outcome.backup_id) for r in rig.regions]
    assert manifests[0] == manifests[1] == manifests[2]
    manifest = manifests[0]
    assert manifest.verdict == "sealed" and manifest.gate is not None and manifest.gate.passed
    assert [o.role for o in manifest.objects] == ["dump", "roles"]
    assert manifest.ledger_head is not None and manifest.tools["pg_dump"]
    assert all(c.state == "verified" and len(c.objects) == 2 for c in manifest.copies)
    assert rig.plain(rig.regions[1], manifest.objects[0]).startswith(b"PGDMP")
    assert b"CREATE ROLE" in rig.plain(rig.regions[2], manifest.objects[1])
    assert rig.kinds(outcome.backup_id) == [
        "backup.started",
        "backup.staged",
        "gate.judged",
        "copy.verified",
        "copy.verified",
        "copy.verified",
        "backup.committed",
    ]
    with rig.ctx.connect() as conn:
        assert ledger.verify(conn).ok
    assert rig.notices() == []


def test_every_object_and_the_manifest_are_locked_in_every_region(rig: Rig, database: str) -> None:
    _shop(database)
    outcome = rig.back_up(rig.postgres_source("ops", database))
    least = rig.clock() + timedelta(hours=23)
    for region in rig.regions:
        for item in region.store.list(""):
            head = region.store.head(item.key)
            assert head.lock_mode == "COMPLIANCE", item.key
            assert head.retain_until is not None and head.retain_until > least, item.key
        assert outcome.verified[region.name] is not None


def test_files_are_listed_packed_once_and_restorable_from_the_manifest_alone(
    rig: Rig, tmp_path: Path
) -> None:
    root = _tree(tmp_path / "media")
    Path(root / "link").symlink_to("a.txt")
    os.link(root / "a.txt", root / "hard")
    os.mkfifo(root / "pipe")
    outcome = rig.back_up(rig.files_source("media", root))
    manifest = rig.manifest_in(rig.regions[0], outcome.backup_id)
    assert manifest.files is not None
    listed = {f.path: f for f in manifest.files}
    assert listed["link"].type == "symlink" and listed["link"].link_target == "a.txt"
    assert listed["hard"].type == "hardlink" and listed["hard"].link_target == "a.txt"
    assert listed["sub"].type == "directory" and "pipe" not in listed
    assert any("pipe" in note for note in manifest.notes)
    assert listed["a.txt"].sha256 == listed["sub/same.txt"].sha256
    members: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(rig.plain(rig.regions[1], manifest.objects[0]))) as tar:
        for member in tar:
            extracted = tar.extractfile(member)
            assert extracted is not None and member.name not in members
            members[member.name] = extracted.read()
    for path in ("a.txt", "sub/b.txt", "sub/same.txt"):
        assert members[str(listed[path].sha256)] == (root / path).read_bytes()
    assert len(members) == 2


def test_a_second_backup_of_unchanged_files_uploads_only_a_manifest(rig: Rig, tmp_path: Path) -> None:
    root = _tree(tmp_path / "media")
    first = rig.back_up(rig.files_source("media", root))
    second = rig.back_up("media", "run-2")
    assert second.verdict == "sealed" and second.new_stored_bytes == 0
    manifest = rig.manifest_in(rig.regions[0], second.backup_id)
    assert {o.backup_id for o in manifest.objects} == {first.backup_id}
    under_second = [x.key for x in rig.regions[0].store.list("") if second.backup_id in x.key]
    assert len(under_second) == 1 and under_second[0].endswith("manifest.json")


def test_objects_of_earlier_backups_stay_locked_as_long_as_the_newest_needs_them(
    rig: Rig, tmp_path: Path
) -> None:
    first = rig.back_up(rig.files_source("media", _tree(tmp_path / "media")))
    entry = rig.get(first.backup_id).manifest.objects[0]
    region = rig.regions[0]
    key = f"{region.config.prefix}/{entry.key}"
    before = region.store.head(key).retain_until
    rig.configure("cn-east", lock_days=9)
    rig.back_up("media", "run-2")
    after = region.store.head(key).retain_until
    rig.configure("cn-east", lock_days=2)
    rig.back_up("media", "run-3")
    assert before is not None and after is not None and after - before > timedelta(days=7)
    assert region.store.head(key).retain_until == after


def test_a_new_file_is_the_only_content_that_is_sent_again(rig: Rig, tmp_path: Path) -> None:
    root = _tree(tmp_path / "media")
    rig.back_up(rig.files_source("media", root))
    (root / "new.txt").write_bytes(b"new" * 100)
    second = rig.back_up("media", "run-2")
    manifest = rig.manifest_in(rig.regions[0], second.backup_id)
    assert len(manifest.own_objects) == 1
    with tarfile.open(fileobj=io.BytesIO(rig.plain(rig.regions[0], manifest.own_objects[0]))) as tar:
        assert len(tar.getnames()) == 1


def test_each_step_called_again_gives_the_same_backup_and_writes_nothing(rig: Rig, database: str) -> None:
    _shop(database)
    source, run = rig.postgres_source("ops", database), RunRef(dag_id="tests", run_id="run-1")
    first = stage(rig.ctx, source, run)
    again = stage(rig.ctx, source, run)
    assert again.backup_id == first.backup_id and again.resumed and not first.resumed
    assert judge(rig.ctx, first.backup_id) == judge(rig.ctx, first.backup_id)
    outcome = commit(rig.ctx, first.backup_id)
    records = rig.kinds()
    objects = [(x.key, x.last_modified) for r in rig.regions for x in r.store.list("")]
    assert commit(rig.ctx, first.backup_id) == outcome
    assert judge(rig.ctx, first.backup_id).passed
    assert stage(rig.ctx, source, run).backup_id == first.backup_id
    assert rig.kinds() == records
    assert [(x.key, x.last_modified) for r in rig.regions for x in r.store.list("")] == objects


def test_a_table_that_lost_a_third_of_its_rows_makes_the_backup_suspect(rig: Rig, database: str) -> None:
    _shop(database)
    source = rig.postgres_source("ops", database)
    rig.back_up(source)
    run_sql(database, "delete from posts where id % 3 = 0")
    staged = stage(rig.ctx, source, RunRef(dag_id="tests", run_id="run-2"))
    verdict = judge(rig.ctx, staged.backup_id)
    assert not verdict.passed
    with pytest.raises(GateFailed, match="suspect") as caught:
        verdict.raise_if_failed()
    assert "posts" in caught.value.found
    outcome = commit(rig.ctx, staged.backup_id)
    assert outcome.verdict == "suspect" and len(outcome.verified) == 3
    assert rig.manifest_in(rig.regions[2], staged.backup_id).verdict == "suspect"
    notice = rig.notices()
    assert len(notice) == 1 and "suspect" in str(notice[0])
    assert rig.kinds(staged.backup_id).count("gate.judged") == 1


def test_a_vanished_table_makes_the_backup_suspect_unless_it_may_vanish(rig: Rig, database: str) -> None:
    _shop(database)
    source = rig.postgres_source("ops", database)
    rig.back_up(source)
    run_sql(database, "drop table accounts")
    assert rig.back_up(source, "run-2").verdict == "suspect"
    rig.sources[0]["gate"] = {"may_vanish": ["public.acc*"]}
    assert rig.back_up(source, "run-3").verdict == "sealed"


def test_a_volatile_table_is_not_judged_by_its_rows(rig: Rig, database: str) -> None:
    _shop(database)
    source = rig.postgres_source("ops", database, gate={"volatile": ["public.posts"]})
    rig.back_up(source)
    run_sql(database, "delete from posts where id > 5")
    assert rig.back_up(source, "run-2").verdict == "sealed"


def test_a_backup_that_was_not_judged_is_not_committed(rig: Rig, tmp_path: Path) -> None:
    source = rig.files_source("media", _tree(tmp_path / "media"))
    staged = stage(rig.ctx, source, RunRef(dag_id="tests", run_id="run-1"))
    with pytest.raises(IntegrityError, match="never judged"):
        commit(rig.ctx, staged.backup_id)
    assert all(rig.manifests(r) == [] for r in rig.regions)


def test_policy_is_asked_before_anything_is_read(rig: Rig, tmp_path: Path) -> None:
    source = rig.files_source("media", tmp_path / "does-not-exist")
    rig.configure("cn-south", jurisdiction="SG")
    with pytest.raises(ResidencyError, match="cn-south"):
        stage(rig.ctx, source, RunRef(dag_id="tests", run_id="run-1"))
    assert rig.kinds() == []


def test_an_unknown_source_is_named_with_those_there_are(rig: Rig, tmp_path: Path) -> None:
    rig.files_source("media", tmp_path)
    with pytest.raises(NotFound, match="media"):
        stage(rig.ctx, "medai", RunRef(dag_id="tests", run_id="run-1"))


@pytest.mark.parametrize(
    ("change", "error", "found"),
    [("recipients_file", ConfigError, "recipients"), ("data_class", ResidencyError, "unheard_of")],
)
def test_what_forbids_a_backup_before_it_begins_is_told_once(
    rig: Rig, tmp_path: Path, change: str, error: type[Exception], found: str
) -> None:
    source = rig.files_source("media", _tree(tmp_path / "media"))
    if change == "data_class":
        rig.sources[-1]["data_class"] = "unheard_of"
    else:
        rig.settings = rig.settings.model_copy(update={change: tmp_path / "recipients.txt"})
    for try_number in (1, 2):
        with pytest.raises(error):
            stage(rig.ctx, source, RunRef(dag_id="tests", run_id="r", try_number=try_number))
    (notice,) = rig.notices()
    assert notice["fact"] == "backup.failed/media/r" and found in notice["body_en"]
    assert all(not list(region.store.list("")) for region in rig.regions), "nothing was sent"
