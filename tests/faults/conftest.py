"""The rig of tests/backup, here too; and what the tests that try many faults need."""

# ruff: noqa: E402 - the helpers of these tests are found only after the path is set

import os
import secrets
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("backup", "core")]

import pandas as pd
import psycopg
import pytest
from backup_rig import Rig, run_sql
from dependencies import CountingProxy
from invariants import World
from worlds import Maker, Small

from tidewatch.backup.context import Tuning
from tidewatch.core.regions import Region
from tidewatch.local.postgres import LocalPostgres
from tidewatch.quality import run as quality_run


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sweep", choices=["part", "all"], default="part", help="how many fault points to try")


@pytest.fixture
def rig(tmp_path: Path, warehouse: str, three_regions: list[Region], keys: object) -> Rig:
    return Rig(tmp_path, warehouse, three_regions, keys)


@pytest.fixture
def world(warehouse: str, three_regions: list[Region], keys: Any) -> World:
    """The same warehouse and regions as the rig's, for looking at what is really there."""
    return World(warehouse, three_regions, keys.verify_key_file.read_bytes())


_VOLATILE = ["sha256", "plain_sha256", "cipher_sha256", "cipher_size", "name", "snapshot_at", "source",
             "stored_ratio"]  # fmt: skip
_findings: dict[str, Any] = {}


@pytest.fixture
def remembered_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Great Expectations is asked once for each different batch, since it takes most of the time of a tiny
    backup. Batches that differ in digests and moments alone are the same."""
    real: Callable[..., Any] = quality_run.run_expectations

    def remembered(name: str, rules: Any, batch: Any, columns: Any, now: Any) -> Any:
        if not isinstance(batch, pd.DataFrame):
            return real(name, rules, batch, columns, now)
        shown = batch.drop(columns=[c for c in _VOLATILE if c in batch])
        if "snapshot_age_seconds" in shown:
            shown = shown.assign(snapshot_age_seconds=shown["snapshot_age_seconds"] // 3600)
        if "error" in shown:
            shown = shown.assign(error=shown["error"].isna())
        key = f"{name} {rules!r} {shown.to_json()}"
        if key not in _findings:
            _findings[key] = real(name, rules, batch, columns, now)
        return _findings[key]

    monkeypatch.setattr(quality_run, "run_expectations", remembered)


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
            conn.execute(f"create database {name} template {_migrated}".encode())
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
