"""Restores as tests make them: a context beside the rig that made the backups, and targets."""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from backup_rig import Rig

from tidewatch.core.database import connect
from tidewatch.local.postgres import LocalPostgres
from tidewatch.restore.choose import Chosen, choose
from tidewatch.restore.context import RestoreContext
from tidewatch.vault.compare import Comparison, compare
from tidewatch.vault.fingerprint import fingerprint_database


def context(rig: Rig, **settings: Any) -> RestoreContext:
    """What restores are given, where the rig has made backups."""
    given = {"identity_file": rig.keys.identity_file, **settings}
    made = rig.ctx
    return RestoreContext(
        settings=rig.settings.model_copy(update=given),
        connect=made.connect,
        sources=made.sources,
        regions_file=made.regions_file,
        regions=made.regions,
        resolver=made.resolver,
        clock=made.clock,
        progress=rig.said.append,
    )


def newest(ctx: RestoreContext, source: str, region: int = 0) -> Chosen:
    return choose(ctx, source, region=ctx.regions[region], at=None, backup_id=None)


@contextlib.contextmanager
def free_name(server: LocalPostgres) -> Iterator[str]:
    """DSN of a database that is not there; whatever is made under names that begin so goes afterwards."""
    name = f"restored_{secrets.token_hex(5)}"
    try:
        yield server.dsn(name)
    finally:
        for found in databases(server):
            if found.startswith(name):
                server.drop_database(found)


def databases(server: LocalPostgres) -> set[str]:
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        return {row[0] for row in conn.execute("select datname from pg_database")}


def compared(chosen: Chosen, dsn: str) -> Comparison:
    """The backup's own fingerprint with that of the database of `dsn` as it is now."""
    assert chosen.manifest.database is not None
    with connect(dsn, application_name="tests", autocommit=True) as conn:
        conn.execute("begin isolation level repeatable read read only")
        return compare(chosen.manifest.database, fingerprint_database(conn))


def forked(work: Callable[[], object]) -> int:
    """Run `work` in a child process of its own; the wait status."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(3)
    return os.waitpid(child, 0)[1]
