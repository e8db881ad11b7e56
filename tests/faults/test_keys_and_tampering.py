"""Keys that are wrong or gone between two steps; copies and the ledger changed by somebody's own hand."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from invariants import Bucket
from worlds import Maker

from tidewatch.backup.heal import heal
from tidewatch.backup.run import RunRef, commit, judge, stage
from tidewatch.core.canonical import canonical_bytes
from tidewatch.core.database import connect
from tidewatch.core.errors import ConfigError, LedgerError, TidewatchError
from tidewatch.core.signing import SigningKey
from tidewatch.evidence import anchor
from tidewatch.evidence.record import Head
from tidewatch.evidence.verify import verify
from tidewatch.vault.manifest import open_manifest
from tidewatch.vault.verify import verify_copy

# -- keys --------------------------------------------------------------------------------------------------


def _gone(path: Path) -> Path:
    return path.with_name("gone")


def _directory(path: Path) -> Path:
    (path.parent / "directory").mkdir(exist_ok=True)
    return path.parent / "directory"


def _empty(path: Path) -> Path:
    (path.parent / "empty").touch()
    return path.parent / "empty"


def _noise(path: Path) -> Path:
    (path.parent / "noise").write_bytes(bytes(range(256)))
    return path.parent / "noise"


BROKEN: dict[str, Callable[[Path], Path]] = {
    "is gone": _gone,
    "is a directory": _directory,
    "is empty": _empty,
    "is no key": _noise,
}


@pytest.mark.parametrize("how", list(BROKEN))
@pytest.mark.parametrize("key", ["signing_key_file", "recipients_file"])
def test_without_a_key_nothing_begins_and_somebody_is_told(
    make: Maker, tmp_path: Path, key: str, how: str
) -> None:
    s = make("a backup of files")
    right = s.rig.settings
    broken = BROKEN[how](tmp_path / "keys-of-this-test")
    s.rig.settings = right.model_copy(update={key: broken})
    with pytest.raises(ConfigError) as caught:
        s.back_up()
    assert str(broken) in str(caught.value)
    assert [n["severity"] for n in s.rig.notices()] == ["critical"]
    assert not any(Bucket(r, s.source).versions for r in s.world.regions), "nothing was sent"
    s.world.require(settled=True)
    s.rig.settings = right
    s.back_up_again("run-1")
    s.world.require(settled=True)


@pytest.mark.parametrize("how", list(BROKEN))
def test_a_signing_key_that_is_lost_after_the_gate_delays_the_manifest_and_loses_nothing(
    make: Maker, tmp_path: Path, how: str
) -> None:
    s = make("a backup of files")
    backup_id = stage(s.rig.ctx, s.source, RunRef(dag_id="tests", run_id="run-1")).backup_id
    judge(s.rig.ctx, backup_id)
    right = s.rig.settings
    s.rig.settings = right.model_copy(update={"signing_key_file": BROKEN[how](tmp_path / "signing.pem")})
    with pytest.raises(TidewatchError):
        commit(s.rig.ctx, backup_id)
    s.world.require()
    s.rig.settings = right
    assert commit(s.rig.ctx, backup_id).verdict == "sealed"
    s.world.require(settled=True)


def test_a_manifest_signed_with_another_key_is_trusted_by_nobody_who_has_the_right_one(
    make: Maker, tmp_path: Path
) -> None:
    s = make("a backup of files")
    right = s.rig.ctx.signing_key.public
    SigningKey.generate().save(tmp_path / "other.pem")
    s.rig.settings = s.rig.settings.model_copy(update={"signing_key_file": tmp_path / "other.pem"})
    outcome = s.rig.back_up(s.source)
    report = verify_copy(s.world.regions[0], outcome.backup_id, right, now=s.rig.clock())
    assert report.manifest is None and "key" in str(report.problem)
    assert any("signature is wrong" in problem for problem in s.world.broken())


# -- what lies in the regions ------------------------------------------------------------------------------


def _overwrite(region: Any, key: str, data: bytes) -> None:
    bucket = Bucket(region)
    bucket.client.put_object(Bucket=region.config.bucket, Key=key, Body=data)


@pytest.mark.parametrize("what", ["objects/", "manifest.json"])
def test_what_somebody_writes_over_a_copy_is_found_and_the_locked_version_is_still_there(
    make: Maker, what: str
) -> None:
    s = make("a backup of files")
    outcome = s.rig.back_up(s.source)
    east = s.world.regions[0]
    (key,) = [k for k in Bucket(east, s.source).versions if what in k]
    before = Bucket(east).body(key)
    assert before is not None
    _overwrite(east, key, before[:-1] + bytes([before[-1] ^ 1]))
    report = verify_copy(east, outcome.backup_id, s.rig.ctx.signing_key.public, now=s.rig.clock())
    assert not report.ok and list(s.world.broken()), "our own check and the one of these tests agree"
    newest, oldest = Bucket(east, s.source).versions[key]
    assert Bucket(east).body(key, oldest) == before and newest != oldest
    for other in s.world.regions[1:]:
        assert verify_copy(other, outcome.backup_id, s.rig.ctx.signing_key.public, now=s.rig.clock()).ok


def test_a_healer_takes_no_bytes_from_a_copy_that_somebody_changed(make: Maker) -> None:
    s = make("a backup of files")
    s.without("cn-south", s.back_up)
    [row] = s.rig.query("select backup_id from vault.backups")
    for region in s.world.regions[:2]:
        (key,) = [k for k in Bucket(region, s.source).versions if "objects/" in k]
        _overwrite(region, key, b"something else")
    result = heal(s.rig.ctx, row["backup_id"])
    assert result.verdict == "degraded" and "cn-south" in result.problems
    assert not [k for k in Bucket(s.world.regions[2], s.source).versions if "manifest" in k]
    told = [n["fact"] for n in s.rig.notices() if n["fact"].startswith("copy.damaged/")]
    assert len(told) == 2, "both regions with wrong bytes are named"


# -- the ledger --------------------------------------------------------------------------------------------


def _alter(conn: Any, seq: int) -> int:
    conn.execute("update evidence.ledger set subject = 'another' where seq = %s", (seq,))
    return seq


def _delete(conn: Any, seq: int) -> int:
    conn.execute("delete from evidence.ledger where seq = %s", (seq,))
    return seq


def _insert(conn: Any, seq: int) -> int:
    conn.execute("update evidence.ledger set seq = seq + 1000 where seq >= %s", (seq,))
    conn.execute(
        "insert into evidence.ledger select %s, at, kind, subject, entry, repeat('a', 64) "
        "from evidence.ledger where seq = 1",
        (seq,),
    )
    conn.execute("update evidence.ledger set seq = seq - 999 where seq > 1000")
    return seq


def _swap(conn: Any, seq: int) -> int:
    conn.execute("update evidence.ledger set seq = 1000 where seq = %s", (seq,))
    conn.execute("update evidence.ledger set seq = %s where seq = %s", (seq, seq + 1))
    conn.execute("update evidence.ledger set seq = %s where seq = 1000", (seq + 1,))
    return seq


def _cut(conn: Any, seq: int) -> int:
    """The end is gone, and the head of the database agrees with what is left."""
    conn.execute("delete from evidence.ledger where seq >= %s", (seq,))
    _agree(conn)
    return seq


def _rewrite(conn: Any, seq: int) -> int:
    """One record says something else, and every later one is chained anew: nothing in here shows it."""
    rows = conn.execute(
        "select seq, entry from evidence.ledger where seq >= %s order by seq", (seq,)
    ).fetchall()
    previous = None
    for row in rows:
        entry = json.loads(row["entry"])
        if previous is None:
            entry["body"]["data_class"] = "public"
        else:
            entry["prev"] = previous
        text = canonical_bytes(entry).decode()
        previous = hashlib.sha256(text.encode()).hexdigest()
        conn.execute(
            "update evidence.ledger set entry = %s, hash = %s where seq = %s", (text, previous, row["seq"])
        )
    _agree(conn)
    return -1  # only the anchored record itself is known to differ


def _agree(conn: Any) -> None:
    conn.execute(
        "update evidence.head set (seq, hash) = "
        "(select seq, hash from evidence.ledger order by seq desc limit 1)"
    )


@pytest.mark.parametrize("change", [_alter, _delete, _insert, _swap, _cut, _rewrite])
def test_the_ledger_of_real_backups_cannot_be_changed_without_the_first_wrong_record_being_named(
    make: Maker, change: Callable[[Any, int], int]
) -> None:
    s = make("a backup of files")
    s.rig.back_up(s.source)
    second = s.rig.back_up(s.source, "run-2")
    anchored = []
    for region in s.world.regions:  # what a verifier reads without asking this database
        (key,) = [k for k in s.rig.manifests(region) if second.backup_id in k]
        manifest = open_manifest(region.store.read(key), s.rig.ctx.signing_key.public)
        signed = anchor.SignedHead.model_validate(manifest.ledger_head)
        anchored.append(anchor.verify_head(signed, s.rig.ctx.signing_key.public))
    assert len(set(anchored)) == 1
    with psycopg.connect(s.rig.warehouse, row_factory=psycopg.rows.dict_row) as conn:
        for table in ("ledger", "head"):
            conn.execute(f"alter table evidence.{table} disable trigger all".encode())
        first_wrong = change(conn, 4)
    with connect(s.rig.warehouse, application_name="tests") as conn:
        alone, compared = verify(conn), verify(conn, expect=Head(*vars(anchored[0]).values()))
    assert not compared.ok
    hidden = change in (_cut, _rewrite)
    assert alone.ok is hidden, "what hides from the database does not hide from the regions"
    expected = anchored[0].seq if first_wrong < 0 else first_wrong
    assert compared.first_bad_seq == expected
    named = rf"\brecord {expected}\b"  # as a record: its digits may stand in a hash by chance
    assert re.search(named, compared.problems[0])
    with pytest.raises(LedgerError, match=named):
        compared.raise_if_broken()
    assert any("ledger" in p or "record" in p for p in s.world.broken())
