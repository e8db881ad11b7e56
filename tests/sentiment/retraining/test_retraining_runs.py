"""One retraining at a time, each with an end that is told and recorded."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidewatch.core.database import Connection, connect
from tidewatch.core.errors import Busy, ConfigError, NotFound
from tidewatch.evidence import ledger
from tidewatch.sentiment import registry
from tidewatch.sentiment.retraining import runs
from tidewatch.vault.manifest import RunRef

NOW = datetime(2026, 11, 3, 1, 0, tzinfo=UTC)
MISSING = {"test": {"negative": {"have": 3, "needed": 196, "missing": 193}}}


@pytest.fixture
def conn(warehouse: str) -> Any:
    with connect(warehouse, application_name="tests") as conn:
        yield conn


def begun(conn: Connection, run_id: str = "r1", dag_id: str = "retrain_model") -> runs.Retraining:
    found = runs.begin(conn, RunRef(dag_id=dag_id, run_id=run_id), "li.wei", NOW)
    conn.commit()
    return found


def champion(conn: Connection, content: bytes, instead_of: int | None) -> int:
    version = registry.register(
        conn, content, dataset_sha256="0" * 64, parameters={}, metrics={}, compared_with=instead_of, run=None,
        by="li.wei", now=NOW,
    ).version  # fmt: skip
    registry.promote(conn, version, instead_of=instead_of, by="li.wei", why="by hand", now=NOW)
    conn.commit()
    return version


def kinds(conn: Connection) -> list[str]:
    return [record.kind for record in ledger.records(conn) if record.kind.startswith("retraining.")]


def notices(conn: Connection) -> list[str]:
    return [row["fact"] for row in conn.execute("select fact from notices.outbox order by fact")]


def test_a_run_is_entered_once_however_often_it_begins(conn: Connection) -> None:
    first, again = begun(conn), begun(conn)
    assert first == again and first.state == "running" and first.open and first.started_by == "li.wei"
    assert first.champion is None and kinds(conn) == ["retraining.started"]
    assert runs.retrainings(conn) == [first] and runs.open_run(conn) == first
    with pytest.raises(NotFound, match="no retraining r9"):
        runs.get(conn, "r9")


def test_a_second_run_is_told_which_one_is_open_and_how_to_end_it(conn: Connection) -> None:
    begun(conn)
    with pytest.raises(Busy) as error:
        begun(conn, "r2")
    assert "r1, at work since 2026-11-03 01:00Z" in error.value.found
    assert "tidewatch models retrainings --end r1" in error.value.do
    conn.rollback()
    runs.end(conn, "r1", by="wang.fang", now=NOW)
    conn.commit()
    assert begun(conn, "r2").state == "running"
    ended = runs.get(conn, "r1")
    assert (ended.state, ended.told) == ("failed", {"why": "ended by wang.fang: its process was gone"})


def test_of_many_runs_that_begin_at_once_one_is_open(warehouse: str) -> None:
    ready, outcomes = threading.Barrier(4), []

    def one(name: str) -> None:
        with connect(warehouse, application_name="tests") as conn:
            ready.wait()
            try:
                outcomes.append(begun(conn, name).run_id)
            except Busy:
                outcomes.append(None)

    threads = [threading.Thread(target=one, args=(f"r{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([name for name in outcomes if name]) == 1
    with connect(warehouse, application_name="tests") as conn:
        assert len(runs.retrainings(conn)) == 1 and kinds(conn) == ["retraining.started"]


def test_a_run_that_a_process_works_on_is_not_ended(conn: Connection, warehouse: str) -> None:
    begun(conn)
    with connect(warehouse, application_name="tests") as other, runs.working(other, "r1"):
        with pytest.raises(Busy, match="Another process is at work"):
            runs.end(conn, "r1", by="wang.fang", now=NOW)
        conn.rollback()
    assert runs.end(conn, "r1", by="wang.fang", now=NOW).state == "failed"
    conn.commit()
    with pytest.raises(ConfigError, match="not at work"):
        runs.end(conn, "r1", by="wang.fang", now=NOW)


def test_an_end_is_told_once_recorded_once_and_kept(conn: Connection) -> None:
    begun(conn)
    for why in ("not enough labels", "said again"):
        found = runs.stop(conn, "r1", "not_enough", why, now=NOW + timedelta(hours=1), missing=MISSING)
        conn.commit()
    assert (found.state, found.missing, found.told) == ("not_enough", MISSING, {"why": "not enough labels"})
    assert found.ended_at == NOW + timedelta(hours=1)
    assert kinds(conn) == ["retraining.started", "retraining.ended"]
    assert notices(conn) == ["retraining.not_enough/r1"]
    (told,) = conn.execute("select body_zh, body_en from notices.outbox").fetchall()
    assert "test.negative.missing: 193" in told["body_en"] and "test.negative.missing: 193" in told["body_zh"]
    (ended,) = [record for record in ledger.records(conn) if record.kind == "retraining.ended"]
    assert ended.seq == found.ledger_seq and ended.body["state"] == "not_enough"


@pytest.mark.parametrize("state", runs.STOPPED)
def test_what_was_stopped_goes_on_under_its_own_id(conn: Connection, state: runs.Stopped) -> None:
    begun(conn)
    runs.note(conn, "r1", gates={"training_data": {"passed": True}, "model": {"passed": False}})
    runs.stop(conn, "r1", state, "why", now=NOW, missing=MISSING)
    conn.commit()
    again = begun(conn)
    assert again.state == "running" and again.open and again.missing is None and again.told is None
    assert again.gates == {"training_data": {"passed": True}}, "what was refused is judged again"
    assert kinds(conn) == ["retraining.started", "retraining.ended"]


def test_what_was_stopped_does_not_go_on_beside_another_run(conn: Connection) -> None:
    begun(conn)
    stopped = runs.stop(conn, "r1", "refused", "why", now=NOW)
    conn.commit()
    begun(conn, "r2")
    for act in (lambda: begun(conn), lambda: runs.reopen(conn, stopped)):
        with pytest.raises(Busy, match="another one is open"):
            act()
        conn.rollback()


def test_another_champion_since_means_that_everything_is_measured_anew(conn: Connection) -> None:
    first = champion(conn, b"one", None)
    assert begun(conn).champion == first
    conn.execute("insert into sentiment.evaluations values ('r1', 'challenger', 'frozen', 'frozen', 1, '{}')")
    conn.execute("insert into sentiment.comparisons values ('r1', 'frozen', 1, 0, 0, 0, -1, 1, 1)")
    runs.note(conn, "r1", measured={"posts_per_second": 1}, gates={"model": {"passed": True}})
    conn.commit()
    assert begun(conn).measured == {"posts_per_second": 1}, "the champion is the same"
    second = champion(conn, b"two", first)
    again = begun(conn)
    assert (again.champion, again.measured, again.gates) == (second, None, {})
    for table in ("evaluations", "comparisons"):
        assert not conn.execute(f"select from sentiment.{table}".encode()).fetchall()


def test_an_id_that_steers_what_shows_it_is_refused(conn: Connection) -> None:
    for run_id in ("", " ", "a\nb", "\x1b[2J", "\u202eabc", "x" * 251):
        with pytest.raises(ConfigError, match="cannot have this id"):
            begun(conn, run_id)


@pytest.mark.parametrize("name", ["", "  ", "\u200b", "n" * 201, "a\udcff", "a\0b"])
def test_a_run_that_nobody_can_be_asked_about_does_not_begin(conn: Connection, name: str) -> None:
    with pytest.raises(ConfigError, match="name of who starts"):
        runs.begin(conn, RunRef(dag_id="cli", run_id="r1"), name, NOW)
    assert runs.retrainings(conn) == []
    begun(conn)
    with pytest.raises(ConfigError, match="who starts or ends it"):
        runs.end(conn, "r1", by=name, now=NOW)
    assert runs.get(conn, "r1").state == "running"


@pytest.mark.parametrize("run_id", ["x\udcff", "x\0"])
def test_an_id_that_cannot_be_written_down_is_of_no_run(conn: Connection, run_id: str) -> None:
    with pytest.raises(NotFound, match="no retraining x"):
        runs.get(conn, run_id)


def test_the_id_of_another_dag_is_refused(conn: Connection) -> None:
    begun(conn)
    with pytest.raises(ConfigError, match="a run of another Dag"):
        begun(conn, "r1", dag_id="cli")


def test_the_database_itself_refuses_a_second_open_run_and_a_lost_end(conn: Connection) -> None:
    import psycopg

    begun(conn)
    said: list[Callable[[], Any]] = [
        lambda: conn.execute(
            "insert into sentiment.retrainings (run_id, dag_id, started_at) values ('r2', 'd', now())"
        ),
        lambda: conn.execute("update sentiment.retrainings set state = 'failed'"),
        lambda: conn.execute("delete from sentiment.retrainings"),
    ]
    for act in said:
        with pytest.raises(psycopg.Error):
            act()
        conn.rollback()
