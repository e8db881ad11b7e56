"""Names that are made to break programs, and secrets that must not leave."""

import json
import logging
from pathlib import Path

import pytest
from backup_rig import Rig, run_sql
from psycopg import sql

from tidewatch.backup.run import RunRef, commit, judge, stage
from tidewatch.backup.trees import DirectoryTree, Vanished
from tidewatch.core.errors import GateFailed
from tidewatch.core.sources import FilesSource

PERSON = "zhang.wei@example.cn"
NAMES = [
    'quo"te',
    "apo'strophe; drop table x; --",
    "100% %s %(name)s %%",
    "new\nline\ttab",
    "表情😀",
    "{0} {name} $1 $ROW_RATIO_MIN",
    "a.b",
    "back\\slash",
    "<script>alert(1)</script>",
]


def _hostile(dsn: str, keep: int = 25) -> None:
    for name in NAMES:
        statement = sql.SQL("create table {0} ({0} text, {1} text)").format(
            sql.Identifier(name), sql.Identifier("%s")
        )
        run_sql(dsn, statement.as_string())
        fill = sql.SQL("insert into {} select {}, n::text from generate_series(1, {}) n").format(
            sql.Identifier(name), sql.Literal(PERSON), sql.Literal(keep)
        )
        run_sql(dsn, fill.as_string())
    run_sql(dsn, 'create table "no rows" (a int)', 'create table "no columns" ()')


def _everything_said(rig: Rig, caplog: pytest.LogCaptureFixture) -> str:
    parts = [caplog.text, "\n".join(rig.said)]
    for table in (
        "evidence.ledger",
        "notices.outbox",
        "quality.quarantine",
        "quality.results",
        "vault.backups",
    ):
        parts += [
            json.dumps(row, default=str, ensure_ascii=False) for row in rig.query(f"select * from {table}")
        ]
    return "\n".join(parts)


def test_names_made_to_break_programs_go_through_backup_gate_quarantine_and_notice(
    rig: Rig, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    _hostile(database)
    source = rig.postgres_source("odd", database)
    first = rig.back_up(source)
    assert first.verdict == "sealed" and first.tables == len(NAMES) + 2
    for name in NAMES:
        run_sql(database, sql.SQL("delete from {}").format(sql.Identifier(name)).as_string())
    staged = stage(rig.ctx, source, RunRef(dag_id="tests", run_id="run-2"))
    verdict = judge(rig.ctx, staged.backup_id)
    with pytest.raises(GateFailed):
        verdict.raise_if_failed()
    outcome = commit(rig.ctx, staged.backup_id)
    assert outcome.verdict == "suspect"
    quarantined = {r["row_key"]["table"] for r in rig.query("select row_key from quality.quarantine")}
    assert quarantined >= set(NAMES)
    said = _everything_said(rig, caplog)
    connection = rig.connections["source_odd"]
    secrets = [connection.password or "", PERSON, "AGE-SECRET-KEY", "PRIVATE KEY"]
    secrets += [r.address.secret_key for r in rig.regions]
    for secret in secrets:
        assert secret and secret not in said
    xcom = json.dumps([staged.as_dict(), outcome.as_dict()])
    assert len(xcom) < 48_000 and not any(secret in xcom for secret in secrets)


def test_a_directory_that_a_link_replaces_during_the_walk_is_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "a" / "deep").mkdir(parents=True)
    (root / "a" / "deep" / "mine").write_bytes(b"mine")
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "secret").write_bytes(b"secret")
    (outside / "secret").write_bytes(b"secret")
    for swapped_at in (b"a", b"a/deep"):
        tree = DirectoryTree(FilesSource(name="media", type="files", data_class="internal", path=str(root)))
        seen = []
        for found in tree.walk():
            seen.append(found.path)
            if found.path == swapped_at:
                (root / "a").rename(tmp_path / "kept")
                Path(root / "a").symlink_to(outside)
        (root / "a").unlink()
        (tmp_path / "kept").rename(root / "a")
        assert not [path for path in seen if path.endswith(b"secret")], swapped_at
        assert tree.notes.vanished


def test_a_file_whose_directory_became_a_link_is_not_read_from_elsewhere(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "a").mkdir(parents=True)
    (root / "a" / "f").write_bytes(b"mine")
    outside.mkdir()
    (outside / "f").write_bytes(b"else")
    tree = DirectoryTree(FilesSource(name="media", type="files", data_class="internal", path=str(root)))
    file = next(found for found in tree.walk() if found.kind == "file")
    (root / "a").rename(tmp_path / "kept")
    Path(root / "a").symlink_to(outside)
    with pytest.raises(Vanished):
        tree.again(file)
