"""Backups of a small shop and its pictures, made for real in three regions, and what restores them."""

import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from backup_rig import UNUSED, Rig

from tidewatch.core.database import connect
from tidewatch.core.regions import Region
from tidewatch.core.sources import SourcesFile
from tidewatch.local.postgres import LocalPostgres
from tidewatch.local.s3 import LocalRegion
from tidewatch.restore.context import RestoreContext
from tidewatch.restore.targets import RestoreTestsFile
from tidewatch.vault.layout import region_key
from tidewatch.vault.manifest import RunRef

SHOP = """
create schema shop;
create table shop.orders (
    id bigint primary key, total numeric not null check (total >= 0), placed timestamptz
);
create table shop.lines (order_id bigint references shop.orders, line int, what text);
create index on shop.lines (what);
create sequence shop.tickets;
insert into shop.orders select i, i * 1.5, now() - i * interval '1 minute' from generate_series(1, 300) i;
insert into shop.lines select 1 + i % 300, i, 'thing ' || i from generate_series(1, 900) i;
select setval('shop.tickets', 77);
select lo_from_bytea(4712, 'a letter');
do $$ begin create role drill_reader; exception when duplicate_object then null; end $$;
grant select on shop.orders to drill_reader;
grant select on large object 4712 to drill_reader;
comment on large object 4712 is 'from the office';
"""
REPLAY = "select placed::date as day, count(*), sum(total) from shop.orders group by 1"
TARGETS: dict[str, Any] = {
    "default": {"rto_seconds": 600, "rpo_seconds": 3600, "newest": ["shop.orders.placed"]},
}


@dataclass
class Shop:
    """`ctx` restores; `older`, `latest`: backup ids of the source `shop`, `pictures` of the files."""

    rig: Rig
    older: str = ""
    latest: str = ""
    pictures: str = ""
    said: list[str] = field(default_factory=list)

    @property
    def ctx(self) -> RestoreContext:
        return RestoreContext(
            settings=self.rig.settings,
            connect=lambda: connect(self.rig.warehouse, application_name="tests"),
            sources=SourcesFile.model_validate({"sources": self.rig.sources or [UNUSED]}),
            regions_file=self.rig.regions_file,
            regions=tuple(self.rig.regions),
            resolver=self.rig.connections.__getitem__,
            clock=self.rig.clock,
            progress=self.said.append,
        )

    @property
    def targets(self) -> RestoreTestsFile:
        return RestoreTestsFile.model_validate(TARGETS)

    def region(self, name: str) -> Region:
        return next(r for r in self.rig.regions if r.name == name)

    def cover(self, region: str, key: str, change: Callable[[bytes], bytes]) -> None:
        """Put other bytes over an object (relative key): the locked version stays below, unseen."""
        place = self.region(region)
        full = region_key(place.config.prefix, key)
        body = change(b"".join(place.store.get(full)))
        place.store.client.put_object(Bucket=place.config.bucket, Key=full, Body=body)


def run(run_id: str) -> RunRef:
    return RunRef(dag_id="test_restores", run_id=run_id)


@pytest.fixture(scope="session")
def shop(
    pg_server: LocalPostgres,
    _migrated: str,
    region_servers: list[LocalRegion],
    local_region_factory: Callable[..., Region],
    keys: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shop]:
    home = tmp_path_factory.mktemp("drill")
    home.chmod(0o711)
    names = {part: f"t_{part}_{secrets.token_hex(6)}" for part in ("warehouse", "source")}
    with psycopg.connect(pg_server.dsn(), autocommit=True) as conn:
        conn.execute(f"create database {names['warehouse']} template {_migrated}".encode())
        conn.execute(f"create database {names['source']} template template0".encode())
    bucket = f"t-{secrets.token_hex(8)}"
    regions = []
    for server in region_servers:
        server.resume()
        server.start()
        server.create_bucket(bucket)
        regions.append(local_region_factory(server, bucket))
    rig = Rig(home, pg_server.dsn(names["warehouse"]), regions, keys)
    (home / "sql/restore/replay").mkdir(parents=True)
    (home / "sql/restore/replay/shop.days.sql").write_text(REPLAY)
    (home / "sql/restore/replay/shop.gone.sql").write_text("select * from shop.never_was")
    rig.settings = rig.settings.model_copy(
        update={"identity_file": keys.identity_file, "sql_dir": home / "sql"}
    )
    yield _backed_up(Shop(rig), pg_server.dsn(names["source"]), home / "pictures")
    for name in names.values():
        pg_server.drop_database(name)
    shutil.rmtree(home, ignore_errors=True)


def _backed_up(shop: Shop, source: str, pictures: Path) -> Shop:
    with psycopg.connect(source, autocommit=True) as conn:
        conn.execute(SHOP.encode())
    (pictures / "2026").mkdir(parents=True)
    (pictures / "2026" / "春.txt").write_text("spring")
    (pictures / "2026" / "b.bin").write_bytes(bytes(range(256)) * 64)
    (pictures / "empty").write_bytes(b"")
    (pictures / "link").symlink_to("2026/b.bin")
    (pictures / "empty").chmod(0o640)
    rig = shop.rig
    rig.postgres_source("shop", source)
    rig.files_source("pictures", pictures)
    shop.older = rig.back_up("shop", "run-0").backup_id
    with psycopg.connect(source, autocommit=True) as conn:
        conn.execute("insert into shop.orders values (301, 3, now())")
    shop.latest = rig.back_up("shop").backup_id
    shop.pictures = rig.back_up("pictures").backup_id
    return shop
