"""Keys: unique for each attempt, readable, and parsed back without guessing."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewatch.core.errors import ConfigError
from tidewatch.vault import layout
from tidewatch.vault.layout import BackupPath, new_backup_id, parse_manifest_key

SOURCES = st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True)
PREFIXES = st.sampled_from(["", "tidewatch", "a/b", "objects", "2026/11/x"])
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(SOURCES, MOMENTS, st.binary(min_size=4, max_size=4), PREFIXES)
def test_a_manifest_key_gives_the_backup_back(
    source: str, now: datetime, entropy: bytes, prefix: str
) -> None:
    backup_id = new_backup_id(source, now, entropy)
    path = BackupPath(prefix, source, backup_id)
    assert parse_manifest_key(path.manifest_key) == path
    assert layout.source_of(backup_id) == source
    assert layout.started_at(backup_id) == now.replace(microsecond=0)
    assert path.manifest_key == layout.region_key(prefix, path.relative.manifest_key)
    assert path.object_key("roles.sql.zst.age").startswith(layout.source_prefix(prefix, source))


@given(MOMENTS, MOMENTS, st.binary(min_size=2, max_size=4), st.binary(min_size=2, max_size=4))
def test_ids_of_one_source_sort_by_the_moment_at_which_they_began(
    one: datetime, other: datetime, random: bytes, more: bytes
) -> None:
    for later in (other, one.replace(microsecond=other.microsecond)):
        if one != later:
            assert (new_backup_id("ops", one, random) < new_backup_id("ops", later, more)) == (one < later)


def test_keys_look_as_documented() -> None:
    now = datetime(2026, 11, 30, 23, 59, 1, 0xDEADB, tzinfo=timezone(timedelta(hours=-8)))
    backup_id = new_backup_id("ops", now, b"\xee\xff and more")
    assert backup_id == "ops-20261201T075901Z-deadbeef"
    path = BackupPath("tidewatch", "ops", backup_id)
    root = "tidewatch/ops/2026/12/ops-20261201T075901Z-deadbeef"
    assert path.object_key("dump.pgc.zst.age") == f"{root}/objects/dump.pgc.zst.age"
    assert path.manifest_key == f"{root}/manifest.json"
    assert path.decision_key == f"{root}/decision.json"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "manifest.json",
        "tidewatch/ops/2026/12/ops-20261201T075901Z-deadbeef/objects/manifest.json",
        "tidewatch/ops/2026/12/ops-20261201T075901Z-deadbeef/manifest.json.tmp",
        "tidewatch/ops/2026/11/ops-20261201T075901Z-deadbeef/manifest.json",
        "tidewatch/media/2026/12/ops-20261201T075901Z-deadbeef/manifest.json",
        "tidewatch/ops/2026/13/ops-20261301T075901Z-deadbeef/manifest.json",
        "tidewatch/ops/2026/12/ops-20261201T075901Z-DEADBEEF/manifest.json",
    ],
)
def test_what_is_not_the_manifest_of_a_backup_in_its_own_place_is_none(key: str) -> None:
    assert parse_manifest_key(key) is None


@pytest.mark.parametrize("source", ["", "Ops", "a-b", "a/b", "..", "x" * 41, "1a", "ops\n"])
def test_a_source_that_would_make_an_ambiguous_key_is_refused(source: str) -> None:
    with pytest.raises(ConfigError):
        new_backup_id(source, datetime(2026, 1, 1, tzinfo=UTC), b"1234")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "\x00", "n" * 201, "名.age", "x\n"])
def test_an_object_name_cannot_leave_its_backup(name: str) -> None:
    path = BackupPath("p", "ops", "ops-20261201T075901Z-deadbeef")
    with pytest.raises(ConfigError):
        path.object_key(name)


def test_too_little_entropy_is_refused() -> None:
    with pytest.raises(ValueError, match="2 random bytes"):
        new_backup_id("ops", datetime(2026, 1, 1, tzinfo=UTC), b"1")
