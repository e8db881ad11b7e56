"""A pg_dump that says it succeeded, and has not written everything: nothing is committed."""

from pathlib import Path

import pytest
from backup_rig import Rig, run_sql
from restoring import compared

from tidewatch.core.errors import SourceError
from tidewatch.local.postgres import LocalPostgres


@pytest.fixture
def source(rig: Rig, database: str) -> str:
    run_sql(
        database,
        "create table posts (body text)",
        "insert into posts select repeat('评论', 20) from generate_series(1, 500)",
        'create table "odd name" ()',
        "create materialized view counted as select count(*) from posts",
        "select lo_from_bytea(0, 'picture')",
    )
    return rig.postgres_source("ops", database)


def programs(rig: Rig, real: Path, directory: Path, **scripts: str) -> None:
    """Scripts in the place of PostgreSQL's programs; `$real` is the true one."""
    for name in ("pg_dump", "pg_dumpall", "pg_restore"):
        script = scripts.get(name, '"$real" "$@"')
        (directory / name).write_text(
            f"#!/bin/sh\nreal={real / name}\n"
            f'case "$1" in --version) exec "$real" --version;; esac\n{script}\n'
        )
        (directory / name).chmod(0o755)
    rig.settings = rig.settings.model_copy(update={"pg_bin_dir": directory})


SHORT = {
    '"$real" "$@" | head -c 0': "input file is too short",
    '"$real" "$@" | head -c 1500': "end of file",
    '"$real" "$@" | head -c -1': "an archive that breaks off",
    '"$real" "$@" | head -c -10000': "an archive that breaks off",
    '"$real" "$@" --format=plain': "appears to be a text format dump",
    '"$real" "$@" --schema-only': "no data of public.odd name, public.posts",
    '"$real" "$@" --exclude-table-data=posts': "no data of public.posts",
}


def test_a_dump_that_is_short_or_leaves_a_table_out_is_no_backup(
    rig: Rig, source: str, pg_server: LocalPostgres, tmp_path: Path
) -> None:
    for number, (script, found) in enumerate(SHORT.items()):
        programs(rig, pg_server.bin_dir, tmp_path, pg_dump=script)
        with pytest.raises(SourceError, match="not complete") as caught:
            rig.back_up(source, f"run-{number}")
        assert found in caught.value.found, script
        assert str(tmp_path) in caught.value.do
        assert [rig.manifests(region) for region in rig.regions] == [[], [], []], script
        assert rig.kinds()[-1] == "backup.failed"


def test_roles_that_break_off_are_no_backup(
    rig: Rig, source: str, pg_server: LocalPostgres, tmp_path: Path
) -> None:
    programs(rig, pg_server.bin_dir, tmp_path, pg_dumpall='"$real" "$@" | head -c -100')
    with pytest.raises(SourceError, match="not complete") as caught:
        rig.back_up(source)
    assert "cluster dump complete" in caught.value.expected
    assert [rig.manifests(region) for region in rig.regions] == [[], [], []]
    rig.settings = rig.settings.model_copy(update={"pg_bin_dir": pg_server.bin_dir})
    assert rig.back_up(source).verdict == "sealed"


def test_a_script_that_changes_nothing_will_do(
    rig: Rig, source: str, pg_server: LocalPostgres, tmp_path: Path
) -> None:
    programs(rig, pg_server.bin_dir, tmp_path)
    assert rig.back_up(source).verdict == "sealed"


def test_tables_of_extensions_are_asked_for_as_far_as_pg_dump_saves_them(
    rig: Rig, source: str, database: str, pg_server: LocalPostgres, stack_home: Path, tmp_path: Path
) -> None:
    """Of an extension's table only the user's rows are in a dump, of most of its tables none."""
    home = stack_home / "extension-of-dumps"
    (home / "extension").mkdir(parents=True)
    (home / "extension" / "rates.control").write_text("default_version = '1'\nrelocatable = false\n")
    (home / "extension" / "rates--1.sql").write_text(
        "create table rates (name text, custom boolean);"
        "insert into rates values ('standard', false);"
        "create table internal (a integer);"
        "select pg_extension_config_dump('rates', 'where custom');"
    )
    for path in (home, home / "extension"):
        path.chmod(0o755)
    run_sql(pg_server.dsn(), f"alter role postgres set extension_control_path = '{home}'")
    try:
        run_sql(database, "create extension rates", "insert into rates values ('mine', true)")
        outcome = rig.back_up(source)
        assert outcome.verdict == "sealed"
        assert compared(rig, pg_server, outcome.backup_id, tmp_path).equal
    finally:
        run_sql(pg_server.dsn(), "alter role postgres reset extension_control_path")
