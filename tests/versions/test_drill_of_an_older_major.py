"""A restore test of a source on a server of the distribution: on a scratch server of the same version."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from backup_rig import Rig
from drill_rig import TARGETS, Shop, run
from test_every_major import everything_database, sample_database

from tidewatch.local.postgres import LocalPostgres
from tidewatch.restore import results, trial
from tidewatch.restore.drill import run_test
from tidewatch.restore.results import Planned
from tidewatch.restore.scratch import scratch_server
from tidewatch.restore.targets import RestoreTestsFile

MAJOR = 15
PROGRAMS = Path(f"/usr/lib/postgresql/{MAJOR}/bin")

pytestmark = pytest.mark.skipif(
    not (PROGRAMS / "pg_amcheck").exists() or not (PROGRAMS / "postgres").exists(),
    reason=f"no server in {PROGRAMS} (on Debian 12: apt-get install postgresql-{MAJOR})",
)


@pytest.mark.parametrize("make", [sample_database, everything_database], ids=["sample", "everything"])
def test_a_source_on_the_server_of_a_distribution_is_tested_on_its_own_major(
    make: object, rig: Rig, keys: object, stack_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(make)
    used = []

    @contextmanager
    def noted(*arguments: Any, **more: Any) -> Iterator[Any]:
        with scratch_server(*arguments, **more) as scratch:
            with psycopg.connect(scratch.server.dsn()) as conn:
                used.append(conn.info.server_version // 10000)
            yield scratch

    monkeypatch.setattr(trial, "scratch_server", noted)
    server = LocalPostgres(stack_home / "pg-packaged", fsync=False, server_binaries=PROGRAMS)
    try:
        server.start()
        backup = rig.back_up(rig.postgres_source("source", make(server, MAJOR)))
    finally:
        server.kill()
    assert backup.verdict == "sealed"
    rig.settings = rig.settings.model_copy(update={"identity_file": keys.identity_file})  # type: ignore[attr-defined]
    shop = Shop(rig)
    planned = Planned("source", "cn-north", "latest", backup.backup_id)
    targets = RestoreTestsFile.model_validate({"default": {**TARGETS["default"], "newest": []}})
    outcome = run_test(shop.ctx, planned, run("run-15"), targets)
    assert outcome.status == "passed", outcome.problem
    with shop.ctx.connect() as conn:
        [row] = results.of_run(conn, "run-15")
    assert used == [MAJOR]
    names = [check["name"] for check in row.checks]
    assert {"schema", "tables", "sequences", "grants", "roles", "indexes"} <= set(names), names
