"""Keys change from now on: what was backed up before stays readable and verifiable, and the ledger tells."""

import multiprocessing
import os
import shutil
import signal
import stat
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import pyrage
import pytest
from backup_rig import Rig, open_bytes, run_sql

from tidewatch.backup.keys import recipients, signing
from tidewatch.backup.keys.recipients import rotate_recipients
from tidewatch.backup.keys.signing import next_key_file, rotate_signing_key
from tidewatch.backup.keys.usage import encryption_keys, hand_overs, signing_keys, vouched_for
from tidewatch.core.database import connect
from tidewatch.core.errors import Busy, ConfigError, IntegrityError, NotFound, SourceUnreachable
from tidewatch.core.files import directory_lock
from tidewatch.core.keysfile import KeysFile
from tidewatch.core.signing import KeyRing, SigningKey
from tidewatch.evidence import ledger
from tidewatch.evidence.continuity import hand_over, verify_hand_over
from tidewatch.vault.envelope import key_id, load_recipients
from tidewatch.vault.layout import region_key
from tidewatch.vault.verify import verify_copy

NOW = datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def rig(tmp_path: Path, warehouse: str, three_regions: Any, keys: Any) -> Rig:
    """With key files of its own, which may be changed."""
    rig = Rig(tmp_path, warehouse, three_regions, keys)
    rig.settings = _own_keys(rig, tmp_path / "keys")
    return rig


def _own_keys(rig: Rig, home: Path) -> Any:
    home.mkdir()
    for file in (rig.keys.signing_key_file, rig.keys.verify_key_file, rig.keys.recipients_file):
        shutil.copy(file, home / file.name)
    names = {"signing_key_file": "signing.pem", "verify_key_file": "signing.pub.pem"}
    files = {n: home / f for n, f in (names | {"recipients_file": "recipients.txt"}).items()}
    return rig.settings.model_copy(update=files)


def _identity(directory: Path, name: str) -> tuple[Path, Path]:
    """A new identity file and the file of its public key."""
    pair = pyrage.x25519.Identity.generate()
    secret, public = directory / f"{name}.identity", directory / f"{name}.txt"
    secret.write_text(f"{pair}\n")
    public.write_text(f"# {name}\n{pair.to_public()}\n")
    return secret, public


def _connect(rig: Rig) -> Any:
    return lambda: connect(rig.warehouse, application_name="tests")


def _rotate_signing(rig: Rig, **more: Any) -> signing.Rotation:
    return rotate_signing_key(rig.settings, _connect(rig), NOW, **more)


def _rotate_recipients(rig: Rig, **more: Any) -> recipients.Change:
    return rotate_recipients(rig.settings.recipients_file, _connect(rig), NOW, **more)


def _records(rig: Rig, kind: str) -> list[Any]:
    with connect(rig.warehouse, application_name="tests") as conn:
        return list(ledger.records(conn, kind=kind))


def _ring(rig: Rig) -> KeyRing:
    return KeyRing.load(rig.settings.verify_key_file)


def _stored(rig: Rig, backup_id: str) -> list[bytes]:
    region = rig.regions[0]
    entries = rig.get(backup_id).manifest.objects
    return [b"".join(region.store.get(region_key(region.config.prefix, e.key))) for e in entries]


def _opens(identity: Path, rig: Rig, backup_id: str) -> bool:
    """Whether the identity opens every object of the backup; an age file that it does not open is told."""
    for data in _stored(rig, backup_id):
        try:
            open_bytes(data, identity)
        except IntegrityError:
            return False
    return True


def _verified(rig: Rig, backup_id: str, ring: KeyRing) -> bool:
    reports = [verify_copy(r, backup_id, ring, now=rig.clock()) for r in rig.regions]
    return all(r.ok and r.manifest is not None for r in reports)


def test_after_both_keys_changed_old_and_new_backups_verify_and_each_opens_with_its_own_identity(
    rig: Rig, tmp_path: Path
) -> None:
    root = tmp_path / "media"
    root.mkdir()
    (root / "a.txt").write_bytes(b"alpha")
    rig.files_source("media", root)
    before = rig.back_up("media", "run-1").backup_id
    old_ring, old_key = _ring(rig), rig.ctx.signing_key.public.key_id

    secret, public = _identity(tmp_path, "second")
    changed = _rotate_recipients(rig, add=[public], remove=[key_id(rig.keys.recipient)])
    rotated = _rotate_signing(rig)
    (root / "b.txt").write_bytes(b"beta")
    after = rig.back_up("media", "run-2").backup_id

    assert changed.new == (key_id(public.read_text().splitlines()[1]),) and changed.old != changed.new
    assert (rotated.old_key_id, rotated.done) == (old_key, True)
    ring = _ring(rig)
    assert ring.key_ids == (old_key, rotated.new_key_id)
    assert _verified(rig, before, ring) and _verified(rig, after, ring)
    assert _verified(rig, before, old_ring) and not _verified(rig, after, old_ring)
    assert _opens(rig.keys.identity_file, rig, before) and _opens(secret, rig, after)
    assert not _opens(rig.keys.identity_file, rig, after), "also not what was uploaded before the change"
    assert not _opens(secret, rig, before)
    with connect(rig.warehouse, application_name="tests") as conn:
        assert ledger.verify(conn).ok


def test_files_are_sent_once_more_after_the_recipients_changed_and_then_known_again(
    rig: Rig, tmp_path: Path
) -> None:
    root = tmp_path / "media"
    root.mkdir()
    (root / "a.txt").write_bytes(b"alpha")
    rig.files_source("media", root)
    first = rig.back_up("media", "run-1")
    assert rig.back_up("media", "run-2").new_stored_bytes == 0 < first.new_stored_bytes
    _rotate_recipients(rig, add=[_identity(tmp_path, "second")[1]])
    assert rig.back_up("media", "run-3").new_stored_bytes > 0
    assert rig.back_up("media", "run-4").new_stored_bytes == 0


def test_a_recipients_file_edited_by_hand_is_noticed_by_the_next_backup_once_and_told(
    rig: Rig, tmp_path: Path
) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.txt").write_bytes(b"alpha")
    rig.files_source("media", tmp_path / "media")
    first = rig.back_up("media", "run-1").backup_id
    (began,) = _records(rig, "keys.changed")
    own = key_id(rig.keys.recipient)
    assert began.body == {
        "what": "recipients", "old": [], "new": [own], "noticed_by": "backup", "since_backup": first,
    }  # fmt: skip
    assert rig.notices() == [], "the first keys of all are no news"

    _, public = _identity(tmp_path, "second")
    with rig.settings.recipients_file.open("a") as file:
        file.write(public.read_text())
    second = rig.back_up("media", "run-2").backup_id
    rig.back_up("media", "run-3")
    new = sorted([own, key_id(public.read_text().splitlines()[1])])
    (_, noticed) = _records(rig, "keys.changed")
    assert (noticed.body["old"], noticed.body["new"]) == ([own], new)
    assert (noticed.body["noticed_by"], noticed.body["since_backup"]) == ("backup", second)
    (told,) = [n for n in rig.notices() if n["fact"].startswith("keys.changed/")]
    assert second in told["body_en"] and second in told["body_zh"]


def test_two_that_notice_the_same_change_write_one_record(rig: Rig) -> None:
    with connect(rig.warehouse, application_name="tests") as conn:
        assert recipients.record_change(conn, ["0" * 16], NOW, noticed_by="command")
        assert not recipients.record_change(conn, ["0" * 16], NOW, noticed_by="backup")


def test_wrong_recipients_change_nothing_and_are_told_in_words(rig: Rig, tmp_path: Path) -> None:
    file = rig.settings.recipients_file
    before = file.read_bytes()
    secret, public = _identity(tmp_path, "second")
    own = key_id(rig.keys.recipient)
    for wrong, said in (
        ({"add": [secret]}, "secret key"),
        ({"add": [tmp_path / "none.txt"]}, "none.txt"),
        ({"remove": [own]}, "add the new key before"),
        ({"add": [public], "remove": [str(public)]}, "added and removed"),
    ):
        with pytest.raises(ConfigError, match=said) as caught:
            _rotate_recipients(rig, **wrong)
        assert "AGE-SECRET" not in str(caught.value)
    assert file.read_bytes() == before and _records(rig, "keys.changed") == []
    assert {p.name for p in file.parent.iterdir()} == {"signing.pem", "signing.pub.pem", "recipients.txt"}


def test_comments_and_the_mode_of_the_recipients_file_stay(rig: Rig, tmp_path: Path) -> None:
    file = rig.settings.recipients_file
    file.write_text(f"# Li Wei, safe 1\n{rig.keys.recipient}\n")
    file.chmod(0o640)
    _, public = _identity(tmp_path, "second")
    _rotate_recipients(rig, add=[public])
    assert file.read_text().startswith(f"# Li Wei, safe 1\n{rig.keys.recipient}\nage1")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    kept = file.read_bytes()
    assert _rotate_recipients(rig, add=[public]).old == load_recipients(file).key_ids
    assert file.read_bytes() == kept and len(_records(rig, "keys.changed")) == 1


def test_without_the_warehouse_no_key_is_changed(rig: Rig, tmp_path: Path) -> None:
    home = rig.settings.signing_key_file.parent
    before = {p.name: p.read_bytes() for p in home.iterdir()}
    rig.warehouse = rig.warehouse.replace("dbname=", "dbname=no_such_")
    with pytest.raises(SourceUnreachable):
        _rotate_signing(rig)
    with pytest.raises(SourceUnreachable):
        _rotate_recipients(rig, add=[_identity(tmp_path, "second")[1]])
    assert {p.name: p.read_bytes() for p in home.iterdir()} == before


# -- the signing key ---------------------------------------------------------------------------------------


def test_the_old_key_names_the_new_one_in_the_ledger(rig: Rig) -> None:
    old = rig.ctx.signing_key
    rig.settings.signing_key_file.chmod(0o640)
    first, second = _rotate_signing(rig), _rotate_signing(rig)
    with connect(rig.warehouse, application_name="tests") as conn:
        changes = hand_overs(conn)
        shown = signing_keys(conn, _ring(rig), second.new_key_id, KeysFile())
    assert [(c.old_key_id, c.new_key_id) for c in changes] == [
        (old.public.key_id, first.new_key_id),
        (first.new_key_id, second.new_key_id),
    ]
    # An auditor who wrote down the first key only gets to the one in use.
    known = KeyRing((old.public,))
    for change in changes:
        known = known.with_key(verify_hand_over(change, known))
    assert known == _ring(rig) and known.newest == rig.ctx.signing_key.public
    assert [(k.key_id, k.state, k.vouched_by) for k in shown] == [
        (second.new_key_id, "in use", first.new_key_id),
        (first.new_key_id, "earlier", old.public.key_id),
        (old.public.key_id, "earlier", None),
    ]
    assert stat.S_IMODE(rig.settings.signing_key_file.stat().st_mode) == 0o640


def test_a_hand_over_that_was_touched_vouches_for_nobody(rig: Rig) -> None:
    old, new, other = rig.ctx.signing_key, SigningKey.generate(), SigningKey.generate()
    good, ring = hand_over(old, new.public, NOW), KeyRing((old.public, new.public))
    assert vouched_for([good], ring) == {new.public.key_id: old.public.key_id}
    stolen = hand_over(other, new.public, NOW).model_copy(update={"old_key_id": old.public.key_id})
    for wrong in (
        good.model_copy(update={"new_public_key": hand_over(old, other.public, NOW).new_public_key}),
        good.model_copy(update={"new_key_id": other.public.key_id}),
        good.model_copy(update={"rotated_at": NOW + timedelta(microseconds=1)}),
        hand_over(other, new.public, NOW),
        stolen,
    ):
        with pytest.raises(IntegrityError):
            verify_hand_over(wrong, ring)
        assert vouched_for([wrong], ring) == {}


def test_a_key_that_was_replaced_is_not_replaced_again(rig: Rig) -> None:
    old = rig.ctx.signing_key.public.key_id
    first = _rotate_signing(rig, replacing=old)
    again = _rotate_signing(rig, replacing=old)
    assert (again.new_key_id, again.done) == (first.new_key_id, False)
    assert len(_records(rig, "keys.rotated")) == 1
    with pytest.raises(NotFound, match="nothing was changed"):
        _rotate_signing(rig, replacing="0" * 16)


def test_files_that_are_no_pair_are_not_rotated(rig: Rig) -> None:
    SigningKey.generate().public.save(rig.settings.verify_key_file)
    with pytest.raises(ConfigError, match="does not hold the public half"):
        _rotate_signing(rig)
    assert _records(rig, "keys.rotated") == []


def test_one_rotation_at_a_time(rig: Rig) -> None:
    with directory_lock(rig.settings.signing_key_file.parent):
        for call in (_rotate_signing, _rotate_recipients):
            with pytest.raises(Busy, match="Another process"):
                call(rig)
    assert _rotate_signing(rig).done


def _race(rig: Rig, replacing: str, gate: Any, results: Any) -> None:
    gate.wait(30)
    while True:
        try:
            results.put(_rotate_signing(rig, replacing=replacing))
            return
        except Busy:
            continue


def test_of_many_that_replace_the_same_key_at_once_one_does(rig: Rig) -> None:
    old = rig.ctx.signing_key.public.key_id
    context = multiprocessing.get_context("fork")
    gate, results = context.Event(), context.Queue()
    racers = [context.Process(target=_race, args=(rig, old, gate, results)) for _ in range(4)]
    for racer in racers:
        racer.start()
    gate.set()
    done = [results.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join(60)
    assert sorted(r.done for r in done) == [False, False, False, True]
    assert {r.new_key_id for r in done} == {SigningKey.load(rig.settings.signing_key_file).public.key_id}
    assert len(_records(rig, "keys.rotated")) == 1 and len(_ring(rig).keys) == 2


class _KilledAtLine:
    """Counts lines executed in the given files; kill -9 at line number `n`."""

    def __init__(self, n: int, files: set[str]) -> None:
        self.left, self.files = n, files

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in self.files:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return self


def _killed(work: Any, n: int, module: Any) -> bool:
    """Run `work` in a child that is killed at its n-th line; False when it ended before."""
    from tidewatch.core import files

    pid = os.fork()
    if pid == 0:
        try:
            sys.settrace(_KilledAtLine(n, {str(module.__file__), str(files.__file__)}))
            work()
        except BaseException:  # noqa: BLE001 - a child must not run on into pytest
            os._exit(4)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0


def test_a_rotation_of_the_signing_key_can_be_killed_at_every_line_and_given_again(rig: Rig) -> None:
    first, n, rotations = rig.ctx.signing_key, 0, 0
    while True:
        n += 1
        before = rig.ctx.signing_key.public.key_id
        killed = _killed(lambda before=before: _rotate_signing(rig, replacing=before), n, signing)
        # Whatever was reached: the private key is whole, and the ring holds its public half.
        rig.ctx.ring.verify(b"x", rig.ctx.signing_key.sign(b"x"))
        assert rig.ctx.signing_key.public.key_id in _ring(rig).key_ids
        assert _rotate_signing(rig, replacing=before).new_key_id != before
        rotations += 1
        if not killed:
            break
    assert n > 30, "lines were counted"
    ring, changes = _ring(rig), _records(rig, "keys.rotated")
    assert len(ring.keys) == rotations + 1 == len(set(ring.key_ids)) and len(changes) == rotations
    assert (
        len(vouched_for([signing.KeysRotated.model_validate(dict(c.body)) for c in changes], ring))
        == rotations
    )
    assert ring.keys[0] == first.public and ring.newest == rig.ctx.signing_key.public
    assert not next_key_file(rig.settings.signing_key_file).exists()


def test_a_change_of_recipients_can_be_killed_at_every_line_and_given_again(rig: Rig, tmp_path: Path) -> None:
    n, killed = 0, True
    while killed:
        n += 3  # two functions of five lines each are executed for every key: a third of the lines is enough
        _, public = _identity(tmp_path, f"key{n}")
        last = load_recipients(rig.settings.recipients_file).key_ids

        def change(public: Path = public, last: tuple[str, ...] = last) -> None:
            _rotate_recipients(rig, add=[public], remove=list(last))

        killed = _killed(change, n, recipients)
        now = load_recipients(rig.settings.recipients_file).key_ids
        new = (key_id(public.read_text().splitlines()[1]),)
        assert now in (last, new), "one or the other, never half"
        change()
        assert load_recipients(rig.settings.recipients_file).key_ids == new
        with connect(rig.warehouse, application_name="tests") as conn:
            assert recipients.last_recorded(conn) == sorted(new)
    assert n > 60, "lines were counted"
    told = _records(rig, "keys.changed")
    assert len(told) == n // 3 and all(a.body["new"] == b.body["old"] for a, b in pairwise(told))


# -- who needs which key -------------------------------------------------------------------------------------


def test_each_key_is_listed_with_the_backups_that_need_it_and_until_when(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.txt").write_bytes(b"alpha")
    rig.files_source("media", tmp_path / "media")
    first = rig.back_up("media", "run-1")
    _, public = _identity(tmp_path, "second")
    _rotate_recipients(rig, add=[public], remove=[key_id(rig.keys.recipient)])
    rig.back_up("media", "run-2")
    rig.back_up("media", "run-3")
    known = KeysFile.model_validate({"keys": [{"key_id": key_id(rig.keys.recipient), "holder": "Li Wei"}]})
    with connect(rig.warehouse, application_name="tests") as conn:
        new, old = encryption_keys(conn, load_recipients(rig.settings.recipients_file).key_ids, known)
    assert (new.state, new.backups, new.holder) == ("in use", 2, None)
    assert (old.key_id, old.state, old.backups) == (key_id(rig.keys.recipient), "earlier", 1)
    locks = [c["retain_until"] for c in rig.query(
        "select retain_until from vault.copies where backup_id = %s", first.backup_id)]  # fmt: skip
    assert old.holder == "Li Wei" and old.until == max(locks)


def test_a_decision_made_with_the_earlier_key_is_still_read_after_the_rotation(
    rig: Rig, database: str
) -> None:
    from tidewatch.backup.decide import decide
    from tidewatch.backup.run import RunRef, commit, judge, stage

    run_sql(database, "create table t (n int)", "insert into t select generate_series(1, 100)")
    rig.postgres_source("db", database)
    rig.back_up("db", "run-1")
    run_sql(database, "delete from t where n > 10")
    backup_id = stage(rig.ctx, "db", RunRef(dag_id="tests", run_id="run-2")).backup_id
    judge(rig.ctx, backup_id)
    assert commit(rig.ctx, backup_id).verdict == "suspect"
    # The word lies in the regions, the catalogue does not know it: killed in between.
    held = rig.ctx
    broken = replace(held, connect=_dies_before_commit(rig))
    with pytest.raises(RuntimeError, match="killed"):
        decide(broken, backup_id, accept=True, by="Li Wei", reason="meant")
    path = rig.get(backup_id).manifest.path
    assert all(r.store.head(region_key(r.config.prefix, path.decision_key)) for r in rig.regions)
    assert rig.get(backup_id).status == "suspect"
    _rotate_signing(rig)
    decide(rig.ctx, backup_id, accept=True, by="Li Wei", reason="meant")
    assert rig.get(backup_id).status == "accepted"


def _dies_before_commit(rig: Rig) -> Any:
    def open_one() -> Any:
        conn = connect(rig.warehouse, application_name="tests")
        real, calls = conn.execute, []

        def execute(query: Any, *more: Any, **named: Any) -> Any:
            if "update vault.backups" in str(query) or "lock_row" in str(query):
                calls.append(query)
            if calls:
                raise RuntimeError("killed")
            return real(query, *more, **named)

        conn.execute = execute  # type: ignore[method-assign]
        return conn

    return open_one
