"""A full disk on the machine that makes backups: nothing of a backup goes through its files."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from backup_rig import Rig, run_sql
from restoring import compared

from tidewatch.local.postgres import LocalPostgres


@contextmanager
def no_room_for_files() -> Iterator[None]:
    """Files can be made, and not a byte be written into them; pipes and sockets are not concerned. The
    programs that are started meanwhile inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_without_a_byte_of_room_for_files_the_backup_is_whole_and_the_lost_page_is_told(
    rig: Rig, database: str, pg_server: LocalPostgres, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_sql(
        database,
        "create table posts (body text)",
        "insert into posts select md5(n::text) from generate_series(1, 200000) n",
    )
    source = rig.postgres_source("ops", database)
    with no_room_for_files():
        with pytest.raises(OSError, match="too large"):
            (tmp_path / "no.txt").write_text("room")
        outcome = rig.back_up(source)
    assert outcome.verdict == "sealed"
    assert compared(rig, pg_server, outcome.backup_id, tmp_path).equal
    [told] = [r.getMessage() for r in caplog.records if "cannot be written" in r.getMessage()][:1]
    assert str(rig.settings.data_docs_dir) in told and "results are in the database" in told
    pages = rig.settings.data_docs_dir
    assert not list(pages.rglob("*.html")), "no half page is left"
    rig.back_up(source, "run-2")
    assert list(pages.rglob("*.html")), "with room again the next run writes its page"
