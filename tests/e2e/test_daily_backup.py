"""The Dags through a real scheduler: clean, with a region down, with a gate that refuses."""

import json
import mailbox
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psutil
import psycopg
import pytest

from tidewatch.core.regions import Region
from tidewatch.evidence import ledger
from tidewatch.vault import catalogue
from tidewatch.vault.layout import BackupPath, new_backup_id
from tidewatch.vault.manifest import RunRef

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

SOURCES = {"ops", "airflow_metadata", "tidewatch_warehouse", "media"}
REGIONS = {"cn-east", "cn-north", "cn-south"}


def _of_run(demo: Any, run_id: str) -> dict[str, catalogue.Backup]:
    with demo.warehouse() as conn:
        rows = [r for r in catalogue.list_backups(conn) if r.run.run_id == run_id]
        return {r.source: catalogue.get(conn, r.backup_id) for r in rows}


def _verified(demo: Any, backup_id: str) -> set[str]:
    with demo.warehouse() as conn:
        copies = catalogue.copies(conn, backup_id)
    return {r for r in REGIONS if all(c.state == "verified" for c in copies if c.region == r)}


def _kinds(demo: Any, subject: str) -> list[str]:
    with demo.warehouse() as conn:
        return [r.kind for r in ledger.records(conn, subject=subject)]


def _mail(demo: Any) -> str:
    box = mailbox.Maildir(demo.stack.mail.maildir, create=False)
    bodies = []
    for message in box:
        for part in message.walk():
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                bodies.append(payload.decode("utf-8", "replace"))
    return "\n".join(bodies)


def test_make_demo_seals_every_source_in_three_regions_and_says_so(demo: Any) -> None:
    shown = demo.first.stdout
    assert demo.first.returncode == 0, shown + demo.first.stderr
    for name in SOURCES | REGIONS | {"sealed", "http://127.0.0.1:", "admin"}:
        assert name in shown
    with demo.warehouse() as conn:
        rows = catalogue.list_backups(conn)
    assert {r.source for r in rows} == SOURCES
    assert {r.status for r in rows} == {"sealed"}
    for row in rows:
        assert _verified(demo, row.backup_id) == REGIONS
        kinds = _kinds(demo, row.backup_id)
        assert kinds.count("backup.committed") == 1 and kinds.count("copy.verified") == 3


def test_every_backup_is_an_event_of_its_asset_for_dags_that_follow_it(demo: Any) -> None:
    first: dict[str, dict[str, Any]] = {}
    for event in demo.asset_events():
        first.setdefault(event["name"], event["extra"])
    assert set(first) == {f"backup.{source}" for source in SOURCES}
    for name, extra in first.items():
        assert extra["verdict"] == "sealed" and extra["backup_id"].startswith(name.removeprefix("backup."))


def test_the_second_demo_makes_a_second_backup_and_uploads_only_what_is_new(demo: Any) -> None:
    again = demo.command("tidewatch.local", "demo")
    assert again.returncode == 0, again.stdout + again.stderr
    with demo.warehouse() as conn:
        media = catalogue.list_backups(conn, source="media")
    assert len(media) >= 2
    assert media[0].totals.files == media[-1].totals.files
    assert media[0].totals.new_cipher_size == 0


def test_a_demo_stopped_by_ctrl_c_says_what_is_left_running_and_the_next_one_works(demo: Any) -> None:
    stopped = subprocess.Popen(
        [sys.executable, "-m", "tidewatch.local", "demo"],
        env=demo.environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert stopped.stdout is not None
    shown = []
    for line in stopped.stdout:
        shown.append(line)
        if "stage" in line and "begins" in line:
            os.killpg(stopped.pid, signal.SIGINT)
            break
    shown += stopped.stdout.readlines()
    assert stopped.wait(600) == 130
    assert "make down" in "".join(shown)
    again = demo.command("tidewatch.local", "demo")
    assert again.returncode == 0, again.stdout + again.stderr


def test_a_region_that_is_down_degrades_the_backup_and_is_healed_later(demo: Any) -> None:
    south = next(r for r in demo.stack.regions() if r.name == "cn-south")
    south.kill()
    run = demo.run("back_up_sources")
    assert run.state == "success", [(t.task_id, t.what, t.state) for t in run.tasks]
    backups = _of_run(demo, run.run_id)
    assert {s: b.status for s, b in backups.items()} == dict.fromkeys(SOURCES, "degraded")
    ops = backups["ops"].backup_id
    assert _verified(demo, ops) == REGIONS - {"cn-south"}
    assert "cn-south" in _mail(demo) and ops in _mail(demo)

    south.start()
    healed = demo.run("heal_copies")
    assert healed.state == "success"
    for backup in backups.values():
        assert _verified(demo, backup.backup_id) == REGIONS
        assert "copy.healed" in _kinds(demo, backup.backup_id)
        with demo.warehouse() as conn:
            assert catalogue.get(conn, backup.backup_id).status == "sealed"
    checked = demo.command("tidewatch.cli", "backup", "verify", ops, "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert {r["region"]: r["verified"] for r in json.loads(checked.stdout)} == dict.fromkeys(REGIONS, True)


def test_a_task_process_that_is_killed_is_tried_again_and_its_backup_sealed(demo: Any) -> None:
    """`kill -9` of the one process that reads a source: its supervisor and the scheduler live on."""
    killed: list[psutil.Process] = []

    def kill_the_reader() -> None:
        with demo.ops() as conn:
            conn.execute("lock table ops.posts in access exclusive mode")
            demo.wait_for(lambda: _reader_that_waits(demo) is not None, "a backup that waits")
            reader = _reader_that_waits(demo)
            assert reader is not None
            supervisor = reader.parent()
            reader.kill()
            assert supervisor is not None and supervisor.is_running(), "only the task was to die"
            killed.append(reader)

    run = demo.run("back_up_sources", kill_the_reader)
    assert len(killed) == 1
    assert run.state == "success", [(t.task_id, t.what, t.state) for t in run.tasks]
    assert run.of("stage", "ops").try_number == 2
    with demo.warehouse() as conn:
        made = [r for r in catalogue.list_backups(conn) if r.run.run_id == run.run_id]
    assert sorted(r.status for r in made) == ["abandoned", *["sealed"] * len(SOURCES)]
    (dead,) = [r for r in made if r.status == "abandoned"]
    assert dead.source == "ops"
    assert "backup.failed" in _kinds(demo, dead.backup_id)


def _reader_that_waits(demo: Any) -> psutil.Process | None:
    """The process that backs up ops and waits there for a lock."""
    with psycopg.connect(demo.stack.postgres.dsn()) as conn:  # its owner sees every session
        row = conn.execute(
            "select client_port from pg_stat_activity where wait_event_type = 'Lock' "
            "and application_name = 'tidewatch backup ops'"
        ).fetchone()
    if row is None:
        return None
    owners = [c.pid for c in psutil.net_connections("inet") if c.laddr and c.laddr.port == row[0]]
    return next((psutil.Process(pid) for pid in owners if pid), None)


def test_a_table_that_lost_its_rows_stops_its_own_source_and_a_person_decides(demo: Any) -> None:
    with demo.ops() as conn:
        conn.execute("create table ops.kept as select * from ops.post_hashtags")
        conn.execute("create schema aside")
        conn.execute("alter table ops.kept set schema aside")
        conn.execute("delete from ops.post_hashtags where ctid in "
                     "(select ctid from ops.post_hashtags order by post_id limit "
                     "(select count(*) * 3 / 10 from ops.post_hashtags))")  # fmt: skip
    try:
        run = demo.run("back_up_sources")
        backups = _of_run(demo, run.run_id)
        assert run.state == "failed"
        assert {s: b.status for s, b in backups.items()} == dict.fromkeys(SOURCES, "sealed") | {
            "ops": "suspect"
        }
        gate = run.of("gate", "ops")
        assert (gate.state, gate.try_number) == ("failed", 1), "a refusal is not tried again"
        (publish,) = [t for t in run.tasks if t.task_id.endswith("publish") and t.map_index == gate.map_index]
        assert publish.state == "upstream_failed"
        ops = backups["ops"]
        assert any("post_hashtags" in f for f in _failures(ops)), _failures(ops)
        assert _verified(demo, ops.backup_id) == REGIONS, "a suspect backup is kept and locked like any other"
        assert ops.backup_id in _mail(demo)
        with demo.warehouse() as conn:
            refused = conn.execute(
                "select count(*) as n from quality.quarantine where row_key::text like '%%post_hashtags%%'"
            ).fetchone()
        assert refused and refused["n"] >= 1

        decided = demo.command(
            "tidewatch.cli", "backup", "reject", ops.backup_id, "--by", "Li Wei", "--reason", "rows were lost"
        )
        assert decided.returncode == 0, decided.stderr
        with demo.warehouse() as conn:
            row = catalogue.get(conn, ops.backup_id)
        assert (row.status, row.decided_by) == ("rejected", "Li Wei")
    finally:
        with demo.ops() as conn:
            conn.execute("delete from ops.post_hashtags")
            conn.execute("insert into ops.post_hashtags select * from aside.kept")
            conn.execute("drop schema aside cascade")


def _failures(backup: catalogue.Backup) -> list[str]:
    gate = backup.manifest.gate
    return gate.failures if gate else []


def test_the_probe_records_what_each_region_honours(demo: Any) -> None:
    assert demo.run("probe_regions").state == "success"
    with demo.warehouse() as conn:
        for region in REGIONS:
            assert catalogue.latest_probe(conn, region) is not None
            assert [r for r in ledger.records(conn, kind="region.probed", subject=region)]


def test_what_a_failed_attempt_left_is_removed_by_its_dag(
    demo: Any, local_region_factory: Callable[..., Region]
) -> None:
    server = next(r for r in demo.stack.regions() if r.name == "cn-south")
    south = local_region_factory(server, "tidewatch-cn-south")
    now = datetime.now(UTC)
    backup_id = new_backup_id("media", now, b"left")
    with demo.warehouse() as conn:
        catalogue.begin(
            conn, backup_id=backup_id, source="media", source_type="files", data_class="public",
            run=RunRef(dag_id="tests", run_id="left"), now=now,
        )  # fmt: skip
        catalogue.fail(conn, backup_id, "the disk was full", now=now)
    key = BackupPath("tidewatch", "media", backup_id).object_key("pack-00001.tar.zst.age")
    south.store.put(key, b"left")
    run = demo.run("remove_orphans")
    assert run.state == "success", [(t.task_id, t.what, t.state) for t in run.tasks]
    assert {run.of("remove", region).state for region in REGIONS} == {"success"}
    assert not [v for v in south.store.list_versions("") if v.key == key]
    assert "orphans.removed" in _kinds(demo, "cn-south")
