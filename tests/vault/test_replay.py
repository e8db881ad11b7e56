"""Statements asked at backup time: their answers are digests, and one that fails harms nothing."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from vault_samples import database_fingerprint, files_draft, finished

from tidewatch.core.config import read_yaml
from tidewatch.core.database import Connection, connect
from tidewatch.core.settings import load_settings
from tidewatch.core.signing import SigningKey
from tidewatch.core.sources import SourcesFile
from tidewatch.vault.facts import ReplayAnswer
from tidewatch.vault.manifest import open_manifest, sign
from tidewatch.vault.replay import Question, answers, questions
from tidewatch.vault.session import pin


@pytest.fixture
def snapshot(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(
            "create table public.t as select i, 'Müller ' || i as name from generate_series(1, 50) i"
        )
    with connect(database, application_name="tests", autocommit=True) as conn2:
        conn2.execute("begin isolation level repeatable read read only")
        pin(conn2, lock_timeout_seconds=30)
        yield conn2


def ask(conn: Connection, *statements: str, seconds: float = 60) -> list[ReplayAnswer]:
    return answers(conn, [Question(f"q{i}", s) for i, s in enumerate(statements)], seconds=seconds)


def test_an_answer_is_a_count_and_a_digest_that_do_not_depend_on_the_order_of_rows(
    snapshot: Connection,
) -> None:
    up, down, less = ask(
        snapshot,
        "select * from public.t order by i",
        "select * from public.t order by i desc;  ",
        "select * from public.t where i > 1 -- but the first",
    )
    assert (up.rows, up.error) == (50, None)
    assert up.sha256 == down.sha256 != less.sha256
    assert less.rows == 49
    assert "Müller" not in up.model_dump_json() + less.model_dump_json()


def test_one_that_fails_is_said_in_words_without_values_and_the_next_is_answered(
    snapshot: Connection,
) -> None:
    gone, secret, slow, good = ask(
        snapshot,
        "select * from public.gone",
        "select name::integer from public.t",
        "select pg_sleep(30)",
        "select count(*) from public.t",
        seconds=0.3,
    )
    assert gone.error == "UndefinedTable (42P01)"
    assert secret.error is not None and "Müller" not in secret.error
    assert slow.error == "it took longer than 0.3 s"
    assert (good.rows, good.error) == (1, None)
    assert snapshot.execute("show statement_timeout").fetchone() == {"statement_timeout": "0"}


def test_nothing_can_be_written(snapshot: Connection) -> None:
    [refused] = ask(snapshot, "insert into public.t values (51, 'x') returning i")
    assert refused.error == "ReadOnlySqlTransaction (25006)"


def test_a_lost_session_is_an_answer_too(snapshot: Connection) -> None:
    lost, after = ask(snapshot, "select pg_terminate_backend(pg_backend_pid())", "select 1")
    assert lost.error is not None and after.error is not None


def test_every_shipped_statement_belongs_to_a_source_of_the_configuration() -> None:
    settings = load_settings()
    sources = [s.name for s in read_yaml(settings.config_dir / "sources.yaml", SourcesFile).sources]
    files = list((settings.sql_dir / "restore" / "replay").iterdir())
    assert len(files) == sum(len(questions(settings.sql_dir, s)) for s in sources) >= 3


def test_a_manifest_with_answers_opens_again_and_one_without_has_no_key_for_them(tmp_path: Path) -> None:
    key = SigningKey.generate()
    changes = {"source_type": "postgres", "files": None, "database": database_fingerprint()}
    draft = finished(files_draft(1, files=[], objects=[])).model_copy(update=changes)
    assert b'"replay"' not in sign(draft, key)
    answer = ReplayAnswer(name="q", statement="select 1", rows=1, sha256="a" * 64)
    data = sign(draft.model_copy(update={"replay": [answer]}), key)
    assert open_manifest(data, key.public).replay == [answer]
