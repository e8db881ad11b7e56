"""The local PostgreSQL: private, and up again after any kind of death."""

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from tidewatch.core import pgbinaries, processes
from tidewatch.local.postgres import LocalPostgres


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalPostgres]:
    made = LocalPostgres(tmp_path / "pg", fsync=False)
    made.start()
    yield made
    made.destroy()


def listeners(server: LocalPostgres) -> set[tuple[str, int]]:
    assert server.daemon is not None
    found = psutil.Process(server.daemon.pid).net_connections(kind="inet")
    return {(c.laddr.ip, c.laddr.port) for c in found if c.status == "LISTEN"}


def test_it_listens_on_the_loopback_address_only_and_wants_the_password(server: LocalPostgres) -> None:
    assert server.port is not None
    assert listeners(server) == {("127.0.0.1", server.port)}
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.dsn(password="wrong"))


def test_its_password_file_is_private(server: LocalPostgres) -> None:
    assert stat.S_IMODE((server.home / "password").stat().st_mode) == 0o600
    assert server.password not in server.log.read_text()


def test_committed_rows_survive_a_killed_postmaster(server: LocalPostgres) -> None:
    with psycopg.connect(server.dsn()) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    holder = psycopg.connect(server.dsn())  # a backend that is still there when the postmaster dies
    holder.execute("SELECT 1")
    server.kill()
    again = LocalPostgres(server.home, fsync=False)
    assert not again.running()
    again.start()
    with psycopg.connect(again.dsn()) as conn:
        assert conn.execute("SELECT answer FROM kept").fetchone() == (42,)
    holder.close()


def test_a_stale_lock_file_that_names_a_living_stranger_does_not_stop_it(server: LocalPostgres) -> None:
    server.stop()
    (server.data / "postmaster.pid").write_text(
        f"{os.getppid()}\n{server.data}\n0\n{server.port}\n\n127.0.0.1\n"
    )
    server.start()
    assert server.answers()


def test_starting_twice_keeps_the_running_server(server: LocalPostgres) -> None:
    before = server.daemon
    again = LocalPostgres(server.home, fsync=False)
    again.start()
    assert again.daemon == before


def test_a_server_whose_record_was_lost_is_adopted_not_doubled(server: LocalPostgres) -> None:
    before = server.daemon
    assert before is not None
    (server.home / "postgres.json").unlink()
    again = LocalPostgres(server.home, fsync=False)
    again.start()
    assert again.daemon is not None
    assert again.daemon.pid == before.pid


def test_another_port_is_taken_when_the_old_one_is_in_use(server: LocalPostgres) -> None:
    server.stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", server.port or 0))
        taken.listen()
        old = server.port
        server.start()
        assert server.port != old
        assert server.answers()


def test_a_cluster_cut_off_while_being_made_is_made_anew(tmp_path: Path) -> None:
    half = tmp_path / "pg" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server = LocalPostgres(tmp_path / "pg", fsync=False)
    try:
        server.start()
        assert server.answers()
    finally:
        server.destroy()


def test_stop_leaves_neither_process_nor_port(server: LocalPostgres) -> None:
    daemon, port = server.daemon, server.port
    assert daemon is not None and port is not None
    server.stop()
    assert processes.family(daemon) == []
    assert not processes.port_open(port)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hand the server to another user")
def test_behind_a_door_that_the_other_user_may_not_pass_the_data_moves_out(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = LocalPostgres(closed / "pg", fsync=False)
    try:
        server.start()
        assert server.answers()
        assert closed not in server.data.parents
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    finally:
        server.destroy()
    assert not server.data.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hand the server to another user")
def test_binaries_that_the_other_user_cannot_reach_are_copied(tmp_path: Path) -> None:
    closed = tmp_path / "venv"
    closed.mkdir(mode=0o700)
    (closed / "pginstall").symlink_to(pgbinaries.wheel_binaries().parent)
    identity = pgbinaries.other_identity()
    found = pgbinaries.usable_binaries(closed / "pginstall" / "bin", identity)
    try:
        assert closed not in found.parents
        assert identity is not None and pgbinaries._runs(found, identity)
    finally:
        shutil.rmtree(found.parent.parent)


def test_a_role_password_reaches_the_server_as_a_verifier_only(server: LocalPostgres) -> None:
    server.ensure_role("keeper", "s3cret-word", options="BYPASSRLS")
    server.create_database("kept", owner="keeper")
    with psycopg.connect(server.dsn("kept", "keeper", "s3cret-word")) as conn:
        row = conn.execute("SELECT rolbypassrls FROM pg_roles WHERE rolname = current_user").fetchone()
    assert row == (True,)
    with psycopg.connect(server.dsn()) as conn:
        stored = conn.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'keeper'").fetchone()
    assert stored is not None and stored[0].startswith("SCRAM-SHA-256$")
