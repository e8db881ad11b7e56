"""What the other tests stand on is real."""

import psycopg

from tidewatch.core.regions import Region
from tidewatch.local.postgres import LocalPostgres
from tidewatch.local.s3 import LocalRegion


def test_a_database_is_fresh_and_empty(database: str) -> None:
    with psycopg.connect(database) as conn:
        found = conn.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchone()
    assert found == (0,)


def test_the_warehouse_is_migrated(warehouse: str, pg_server: LocalPostgres) -> None:
    with psycopg.connect(warehouse) as conn:
        assert conn.execute("SELECT to_regclass('evidence.ledger') IS NOT NULL").fetchone() == (True,)
    assert (pg_server.bin_dir / "pg_dump").exists()


def test_the_three_regions_are_three_places_with_lock(three_regions: list[Region]) -> None:
    assert len({region.endpoint_url for region in three_regions}) == 3
    for region in three_regions:
        facts = region.store.describe()
        assert facts.exists and facts.object_lock


def test_a_killed_region_is_up_again_in_the_next_test(
    region_servers: list[LocalRegion],
    three_regions: list[Region],
) -> None:
    region_servers[0].kill()
    assert not region_servers[0].running()


def test_the_region_killed_before_answers(three_regions: list[Region]) -> None:
    assert all(region.store.describe().exists for region in three_regions)
