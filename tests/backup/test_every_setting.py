"""Whatever a role or a database forces upon its sessions, the backup is the same and restores."""

import subprocess
from pathlib import Path

import psycopg
from backup_rig import PROJECT, Rig, run_sql
from restoring import compared, fingerprint

from tidewatch.local.postgres import LocalPostgres
from tidewatch.vault.compare import compare

EVERYTHING = (PROJECT / "tests" / "vault" / "everything.sql").read_text(encoding="utf-8")
SETTINGS = {
    # how values are written
    "DateStyle": "'SQL, DMY'",
    "IntervalStyle": "iso_8601",
    "TimeZone": "'Australia/Lord_Howe'",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "client_encoding": "GBK",
    "xmlbinary": "hex",
    "xmloption": "document",
    "array_nulls": "off",
    "lc_monetary": "'C.UTF-8'",
    "lc_numeric": "'C.UTF-8'",
    "standard_conforming_strings": "off",
    "escape_string_warning": "off",
    # what names mean and how they are written
    "search_path": '"Select", " ", pg_temp',
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
    # who may see what, and for how long
    "row_security": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "statement_timeout": "'30s'",
    "lock_timeout": "'1ms'",
    "idle_in_transaction_session_timeout": "'1ms'",
    "idle_session_timeout": "0",
    "transaction_timeout": "'30s'",
    # how they are read
    "enable_seqscan": "off",
    "synchronize_seqscans": "on",
    "client_min_messages": "debug1",
}


def test_what_is_forced_upon_role_and_database_changes_neither_dump_nor_fingerprint(
    rig: Rig, database: str, pg_server: LocalPostgres, tmp_path: Path
) -> None:
    run_sql(database, EVERYTHING)
    before = fingerprint(database)
    with psycopg.connect(database, autocommit=True) as conn:
        name = conn.info.dbname
        for setting, value in SETTINGS.items():
            conn.execute(f"alter database {name} set {setting} = {value}".encode())
            # stronger than what stands in a connection's place, and gone with the database
            conn.execute(f"alter role postgres in database {name} set {setting} = {value}".encode())
    with psycopg.connect(database) as conn:
        assert conn.info.encoding == "gbk", "the settings are in force"
    outcome = rig.back_up(rig.postgres_source("ops", database))
    assert outcome.verdict == "sealed"
    backup = rig.get(outcome.backup_id).manifest.database
    assert backup is not None
    assert compare(before, backup).sentence().startswith("equal")
    assert backup.content_sha256 == before.content_sha256
    assert compared(rig, pg_server, outcome.backup_id, tmp_path).sentence().startswith("equal")


PROPERTIES = """
    select coalesce(s.setrole::regrole::text, ''), s.setconfig, d.datconnlimit,
           shobj_description(d.oid, 'pg_database'),
           array(select acl::text from unnest(d.datacl) acl order by 1)
    from pg_database d left join pg_db_role_setting s on s.setdatabase = d.oid
    where d.datname = current_database() order by 1
"""


def test_settings_privileges_and_comment_of_the_database_itself_come_back_with_create(
    rig: Rig, database: str, pg_server: LocalPostgres, tmp_path: Path
) -> None:
    run_sql(database, "create table posts (body text)", "insert into posts values ('a')")
    with psycopg.connect(database, autocommit=True) as conn:
        name = conn.info.dbname
        for statement in (
            f"alter database {name} set timezone = 'Asia/Shanghai'",
            f"alter role postgres in database {name} set work_mem = '5MB'",
            f"alter database {name} connection limit 7",
            f"comment on database {name} is '客户'",
            f"revoke connect on database {name} from public",
            f"grant connect on database {name} to pg_monitor",
        ):
            conn.execute(statement.encode())
        before = conn.execute(PROPERTIES.encode()).fetchall()
    assert len(before) == 2
    content = fingerprint(database)
    outcome = rig.back_up(rig.postgres_source("ops", database))
    dump = tmp_path / "dump.pgc"
    dump.write_bytes(rig.plain(rig.regions[0], rig.get(outcome.backup_id).manifest.objects[0]))
    pg_server.drop_database(name)
    subprocess.run(
        [
            pg_server.bin_dir / "pg_restore",
            "--exit-on-error",
            "--create",
            f"--dbname={pg_server.dsn()}",
            dump,
        ],
        check=True,
    )
    with psycopg.connect(database) as conn:
        assert conn.execute(PROPERTIES.encode()).fetchall() == before
    assert compare(content, fingerprint(database)).equal
