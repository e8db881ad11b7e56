"""Versions that never change, one champion at any moment, and the way back."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.database import Connection, connect
from tidewatch.core.errors import Busy, ConfigError, IntegrityError, NotFound
from tidewatch.evidence import ledger
from tidewatch.sentiment import registry

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
DATA = sha256_hex(b"labels")


@pytest.fixture
def conn(warehouse: str) -> Any:
    with connect(warehouse, application_name="tests") as conn:
        yield conn


def registered(conn: Connection, content: bytes = b"one", **more: Any) -> registry.Version:
    facts: dict[str, Any] = {
        "dataset_sha256": DATA, "parameters": {"seed": 1}, "metrics": {"accuracy": 0.9},
        "compared_with": None, "run": {"dag_id": "retrain_model", "run_id": "r"}, "by": "retrain_model",
        "now": NOW,
    }  # fmt: skip
    return registry.register(conn, content, **facts | more)


def promoted(conn: Connection, version: int, instead_of: int | None, **more: Any) -> registry.Champion:
    facts: dict[str, Any] = {"by": "li.wei", "why": "better on every platform", "now": NOW}
    return registry.promote(conn, version, instead_of=instead_of, **facts | more)


def kinds(conn: Connection) -> list[str]:
    return [r.kind for r in ledger.records(conn, subject="sentiment")]


def test_a_version_is_kept_with_where_it_comes_from_and_the_same_bytes_are_the_same_version(
    conn: Connection, tmp_path: Path
) -> None:
    first, second = registered(conn), registered(conn, b"two", compared_with=1)
    assert (first.version, second.version, registered(conn, by="again").version) == (1, 2, 1)
    assert registry.get(conn, 1) == first and first.model_sha256 == sha256_hex(b"one")
    assert first.run == {"dag_id": "retrain_model", "run_id": "r"} and first.registered_by == "retrain_model"
    assert [v.version for v in registry.versions(conn)] == [1, 2]
    assert kinds(conn) == ["model.registered"] * 2
    path = registry.model_file(conn, 2, tmp_path / "models")
    assert path.read_bytes() == b"two" and path.name == f"{second.model_sha256}.model"
    path.write_bytes(b"damaged")
    assert registry.model_file(conn, 2, tmp_path / "models").read_bytes() == b"two"


def test_promoting_and_going_back_move_one_champion_and_each_step_is_recorded(conn: Connection) -> None:
    for content in (b"one", b"two", b"three"):
        registered(conn, content)
    assert registry.champion(conn) is None
    promoted(conn, 1, None)
    promoted(conn, 2, 1, now=NOW + timedelta(days=30))
    promoted(conn, 3, 2, now=NOW + timedelta(days=60))
    assert [v.champion for v in registry.versions(conn)] == [False, False, True]
    back = registry.rollback(
        conn, by="li.wei", why="it calls thanks a complaint", now=NOW + timedelta(days=61)
    )
    assert back.version == 2
    again = registry.rollback(conn, by="li.wei", why="older still", now=NOW + timedelta(days=62))
    assert again.version == 1, "a second step goes on down, not up again"
    with pytest.raises(NotFound, match="no former model"):
        registry.rollback(conn, by="li.wei", why="x", now=NOW)
    promoted(conn, 3, 1, now=NOW + timedelta(days=63))
    assert registry.rollback(conn, by="li.wei", why="no", now=NOW + timedelta(days=64)).version == 1
    acts = [
        (r.body["act"], r.body["version"], r.body["before"])
        for r in ledger.records(conn, kind="model.promoted", subject="sentiment")
    ]
    assert acts == [
        ("promoted", 1, None), ("promoted", 2, 1), ("promoted", 3, 2), ("rolled_back", 2, 3),
        ("rolled_back", 1, 2), ("promoted", 3, 1), ("rolled_back", 1, 3),
    ]  # fmt: skip


def test_whoever_names_the_version_that_is_to_go_takes_no_second_step_by_mistake(conn: Connection) -> None:
    for number, content in enumerate((b"one", b"two", b"three"), 1):
        registered(conn, content)
        promoted(conn, number, number - 1 or None)
    assert registry.rollback(conn, by="li.wei", why="wrong", now=NOW, instead_of=3).version == 2
    with pytest.raises(Busy, match=r"version 3 as the champion, which is to go.*version 2"):
        registry.rollback(conn, by="wang.wei", why="wrong", now=NOW, instead_of=3)
    now = registry.champion(conn)
    assert now is not None and (now.version, now.by) == (2, "li.wei")


def test_promoting_again_changes_nothing_and_an_outdated_comparison_is_refused(conn: Connection) -> None:
    for content in (b"one", b"two", b"three"):
        registered(conn, content)
    first = promoted(conn, 1, None)
    assert promoted(conn, 1, None, now=NOW + timedelta(days=1)) == first
    promoted(conn, 2, 1)
    with pytest.raises(Busy, match="version 2"):
        promoted(conn, 3, 1)
    with pytest.raises(NotFound):
        promoted(conn, 9, 2)
    champion = registry.champion(conn)
    assert champion is not None and champion.version == 2
    assert kinds(conn).count("model.promoted") == 2


def test_two_who_promote_at_once_do_not_both_replace_the_same_champion(warehouse: str) -> None:
    with connect(warehouse, application_name="tests") as conn:
        for content in (b"one", b"two", b"three"):
            registered(conn, content)
        promoted(conn, 1, None)
    refused: list[type[Exception]] = []
    ready = threading.Barrier(2)

    def try_it(version: int) -> None:
        with connect(warehouse, application_name="tests") as mine:
            ready.wait(30)
            try:
                promoted(mine, version, 1)
            except Busy as error:
                refused.append(type(error))

    threads = [threading.Thread(target=try_it, args=(v,)) for v in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert refused == [Busy]


def test_what_was_rolled_back_by_the_database_leaves_no_trace(warehouse: str) -> None:
    with connect(warehouse, application_name="tests") as conn:
        registered(conn)
        conn.commit()
        promoted(conn, 1, None)
        conn.rollback()
        assert registry.champion(conn) is None and kinds(conn) == ["model.registered"]


def test_a_version_cannot_be_changed_and_other_bytes_are_not_handed_out(
    conn: Connection, tmp_path: Path
) -> None:
    registered(conn)
    conn.commit()
    for statement in (
        "update sentiment.models set content = 'x'",
        "delete from sentiment.models",
        "truncate sentiment.models cascade",
        "delete from sentiment.champions",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation):
            conn.execute(statement.encode())
        conn.rollback()
    conn.execute("alter table sentiment.models disable trigger all")
    conn.execute("update sentiment.models set content = 'other'")
    with pytest.raises(IntegrityError, match="not what was registered"):
        registry.model_file(conn, 1, tmp_path)
    conn.execute("update sentiment.models set model_sha256 = encode(sha256(content), 'hex')")
    with pytest.raises(IntegrityError, match="not what was registered"):
        registry.model_file(conn, 1, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "by"), [(b"", "li.wei"), (bytes(20 * 2**20 + 1), "li.wei"), (b"one", " ")]
)
def test_no_file_a_huge_one_and_nobody_are_refused(conn: Connection, content: bytes, by: str) -> None:
    with pytest.raises(ConfigError):
        registered(conn, content, by=by)
    assert registry.versions(conn) == [] and kinds(conn) == []
