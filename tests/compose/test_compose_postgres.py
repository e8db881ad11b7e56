"""compose/postgres/10-databases.sql, run by psql as the image runs it, on a PostgreSQL 18 of its own."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tidewatch.core.database import connect, migrate
from tidewatch.core.settings import load_settings
from tidewatch.local.postgres import LocalPostgres


@pytest.fixture(scope="module")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, project: Path, secrets_directory: Path
) -> Iterator[LocalPostgres]:
    """A server as the container has it once its volume is set up. Roles belong to a whole server: it is not
    the one that the other tests share."""
    home = tmp_path_factory.mktemp("pg")
    for directory in (home, *home.parents):  # as root the server runs as another user, who has to get there
        if directory.name.startswith("pytest-"):
            directory.chmod(0o711)
    server = LocalPostgres(home / "server", fsync=False)
    server.start()
    try:
        subprocess.run(
            [
                server.bin_dir / "psql",
                "--no-psqlrc",
                "--set=ON_ERROR_STOP=1",
                f"--file={project / 'compose/postgres/10-databases.sql'}",
                server.dsn(),
            ],
            env={**os.environ, "TIDEWATCH_SECRETS_DIR": str(secrets_directory)},
            check=True,
            capture_output=True,
        )
        yield server
    finally:
        server.destroy()


def _dsn(server: LocalPostgres, secrets_directory: Path, role: str, database: str) -> str:
    file = "postgres_backup_password" if role == "tidewatch_backup" else f"postgres_{role}_password"
    place = conninfo_to_dict(server.dsn(database))
    place |= {"user": role, "password": (secrets_directory / file).read_text().strip()}
    return make_conninfo(**{k: str(v) for k, v in place.items() if v is not None})


@pytest.mark.parametrize("role", ["tidewatch", "airflow"])
def test_each_owner_makes_its_tables_in_its_own_database_only(
    prepared: LocalPostgres, secrets_directory: Path, role: str
) -> None:
    with psycopg.connect(_dsn(prepared, secrets_directory, role, role)) as conn:
        conn.execute("create table own (id int)")
        conn.rollback()
    other = {"tidewatch": "airflow", "airflow": "tidewatch"}[role]
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(_dsn(prepared, secrets_directory, role, other))


def test_the_migrations_run_as_the_owner_and_the_backup_role_reads_everything(
    prepared: LocalPostgres, secrets_directory: Path
) -> None:
    owner = _dsn(prepared, secrets_directory, "tidewatch", "tidewatch")
    with connect(owner, application_name="tests") as conn:
        migrate(conn, load_settings().sql_dir / "migrations")
        conn.execute("create table hidden (id int)")
        conn.execute("insert into hidden values (1)")
        conn.execute("alter table hidden enable row level security")
        conn.execute("alter table hidden force row level security")
    reader = _dsn(prepared, secrets_directory, "tidewatch_backup", "tidewatch")
    with psycopg.connect(reader) as conn:
        assert conn.execute("select count(*) from evidence.ledger").fetchone() is not None
        assert conn.execute("select count(*) from hidden").fetchone() == (1,)


@pytest.mark.parametrize("database", ["tidewatch", "airflow"])
def test_the_backup_role_dumps_but_cannot_write(
    prepared: LocalPostgres, secrets_directory: Path, database: str
) -> None:
    reader = _dsn(prepared, secrets_directory, "tidewatch_backup", database)
    dumped = subprocess.run([prepared.bin_dir / "pg_dump", "-Fc", reader], capture_output=True)
    assert dumped.returncode == 0 and dumped.stdout.startswith(b"PGDMP")
    with psycopg.connect(reader) as conn, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        conn.execute("create temporary table mine (id int)")
    with psycopg.connect(reader) as conn:
        conn.execute("set session characteristics as transaction read write")
        conn.commit()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("create table public.mine (id int)")


def test_passwords_are_not_in_the_servers_log(prepared: LocalPostgres, secrets_directory: Path) -> None:
    passwords = [p.read_text().strip() for p in secrets_directory.glob("postgres_*_password")]
    logs = [p for p in prepared.home.rglob("*.log") if p.is_file()]
    assert logs
    for log in logs:
        text = log.read_text(errors="replace")
        assert not any(password in text for password in passwords)


def test_the_server_is_set_up_with_the_arguments_of_the_compose_file(
    services: dict[str, dict[str, dict[str, str]]], prepared: LocalPostgres
) -> None:
    owner = prepared.data.stat()
    root = os.getuid() == 0  # whom initdb refuses
    arguments = services["postgres"]["environment"]["POSTGRES_INITDB_ARGS"].split()
    with tempfile.TemporaryDirectory(dir=prepared.data.parent) as new:
        os.chown(new, owner.st_uid, owner.st_gid)
        made = subprocess.run(
            [prepared.bin_dir / "initdb", "--no-sync", "--auth-local=peer", *arguments, new],
            capture_output=True,
            text=True,
            cwd="/",
            user=owner.st_uid if root else None,
            group=owner.st_gid if root else None,
        )
    assert made.returncode == 0, made.stderr
    assert "builtin" in made.stdout and "C.UTF-8" in made.stdout
