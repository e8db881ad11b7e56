"""Restores a backup with stock pg_restore into a database of its own and takes the fingerprint of that."""

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backup_rig import Rig, run_sql

from tidewatch.core.database import connect
from tidewatch.local.postgres import LocalPostgres
from tidewatch.vault.compare import Comparison, compare
from tidewatch.vault.facts import DatabaseFingerprint
from tidewatch.vault.fingerprint import fingerprint_database


def fingerprint(dsn: str) -> DatabaseFingerprint:
    """Of a database as it is now."""
    with connect(dsn, application_name="tests", autocommit=True) as conn:
        conn.execute("begin isolation level repeatable read read only")
        return fingerprint_database(conn)


@contextmanager
def restored(rig: Rig, server: LocalPostgres, backup_id: str, into: Path) -> Iterator[str]:
    """DSN of a fresh database with the content of the backup, as the last region holds it."""
    manifest = rig.get(backup_id).manifest
    [entry] = [o for o in manifest.objects if o.role == "dump"]
    dump = into / "dump.pgc"
    dump.write_bytes(rig.plain(rig.regions[-1], entry))
    name = f"restored_{secrets.token_hex(6)}"
    assert manifest.database is not None
    run_sql(
        server.dsn(),
        f"create database {name} template template0 encoding '{manifest.database.encoding}'",
    )
    try:
        done = subprocess.run(
            [server.bin_dir / "pg_restore", "--exit-on-error", f"--dbname={server.dsn(name)}", dump],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        yield server.dsn(name)
    finally:
        dump.unlink()
        server.drop_database(name)


def compared(rig: Rig, server: LocalPostgres, backup_id: str, into: Path) -> Comparison:
    """The backup's own fingerprint with that of what is restored from it."""
    backup = rig.get(backup_id).manifest.database
    assert backup is not None
    with restored(rig, server, backup_id, into) as dsn:
        return compare(backup, fingerprint(dsn))
