"""The rig of tests/backup, here too; and what the tests that try many faults need."""

# ruff: noqa: E402 - the helpers of these tests are found only after the path is set

import os
import secrets
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("backup", "core")]

import psycopg
import pytest
from backup_rig import Rig, run_sql
from dependencies import CountingProxy
from invariants import World
from worlds import Maker, Small

from tidewatch.backup.context import Tuning
from tidewatch.core.regions import Region
from tidewatch.local.postgres import LocalPostgres


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sweep", choices=["part", "all"], default="part", help="how many fault points to try")


@pytest.fixture(autouse=True)
def _gate_is_remembered(remembered_gate: None) -> None:
    """What gates say is tested in tests/quality."""


@pytest.fixture
def rig(tmp_path: Path, warehouse: str, three_regions: list[Region], keys: object) -> Rig:
    return Rig(tmp_path, warehouse, three_regions, keys)


@pytest.fixture
def world(warehouse: str, three_regions: list[Region], keys: Any) -> World:
    """The same warehouse and regions as the rig's, for looking at what is really there."""
    return World(warehouse, three_regions, keys.verify_key_file.read_bytes())


@pytest.fixture(scope="module")
def bucket_regions(region_servers: list[Any], local_region_factory: Any) -> Iterator[dict[str, Any]]:
    """One bucket for all tries, reached through counting proxies."""
    bucket = f"t-{secrets.token_hex(8)}"
    real: list[Region] = []
    for server in region_servers:
        server.resume()
        server.start()
        server.create_bucket(bucket)
        # two days: a lock that is long enough is not set again when the run is taken up a second later
        real.append(local_region_factory(server, bucket, lock_days=2))
    proxies = {r.name: CountingProxy(r) for r in real}
    yield {"real": real, "proxies": proxies, "shown": [proxies[r.name].before(r) for r in real]}
    for proxy in proxies.values():
        proxy.close()


@pytest.fixture
def make(
    tmp_path: Path,
    pg_server: LocalPostgres,
    _migrated: str,
    database: str,
    bucket_regions: dict[str, Any],
    keys: Any,
    remembered_gate: None,
    small_parts: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Maker]:
    """A new world a call; tries share the servers, the bucket and the source's content."""
    # Waiting between two tries is not what is tested.
    monkeypatch.setattr("tenacity.nap.time", types.SimpleNamespace(sleep=lambda _: None))
    root = tmp_path / "media"
    (root / "sub").mkdir(parents=True)
    (root / "film").write_bytes(os.urandom(300 * 1024))
    (root / "sub" / "note").write_bytes(b"hello" * 1000)
    (root / "empty").touch()
    run_sql(
        database,
        "create table posts (id int primary key, body text)",
        "insert into posts select n, md5(n::text) || md5((n * 7)::text) from generate_series(1, 3000) n",
    )
    made: list[str] = []

    def make(scenario: str) -> Small:
        name = f"s_{secrets.token_hex(6)}"
        with psycopg.connect(pg_server.dsn(), autocommit=True) as conn:
            conn.execute(f"create database {name} template {_migrated} strategy file_copy".encode())
        made.append(name)
        (tmp_path / name).mkdir()  # a first run makes more directories than a second one
        rig = Rig(tmp_path / name, pg_server.dsn(name), bucket_regions["shown"], keys)
        rig.tuning = Tuning(part_size=100 * 1024, stall_seconds=10)
        if scenario == "a backup of a database":
            source = rig.postgres_source(name, database)
        else:
            source = rig.files_source(name, root)
        public = keys.verify_key_file.read_bytes()
        world = World(rig.warehouse, bucket_regions["real"], public, source)
        return Small(rig, world, source, bucket_regions["proxies"], database)

    yield make
    for name in made:
        pg_server.drop_database(name)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts smaller than a MiB, so that a tiny source has several (local regions take them)."""
    monkeypatch.setattr("tidewatch.backup.upload.first_size", lambda _, smallest: smallest)
