"""The gate over a challenger: what it refuses, what it tells, and what it lets pass."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.types.json import Jsonb

from tidewatch.core.database import Connection, connect
from tidewatch.core.errors import GateFailed
from tidewatch.core.settings import Settings
from tidewatch.evidence import ledger
from tidewatch.local.postgres import LocalPostgres
from tidewatch.sentiment import registry
from tidewatch.sentiment.evaluate import figures
from tidewatch.sentiment.retraining import model_gate, runs
from tidewatch.sentiment.retraining.settings import Enough, Limits, RetrainingFile
from tidewatch.vault.manifest import RunRef

NOW = datetime(2026, 11, 3, 1, 0, tzinfo=UTC)
RUN = RunRef(dag_id="retrain_model", run_id="r1")


@pytest.fixture(scope="module")
def database_of_runs(pg_server: LocalPostgres, _migrated: str) -> Iterator[str]:
    with psycopg.connect(pg_server.dsn(), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE t_model_gate TEMPLATE {_migrated}".encode())
    with connect(pg_server.dsn("t_model_gate"), application_name="tests") as conn:
        for content in (b"one", b"two"):
            registry.register(
                conn, content, dataset_sha256="0" * 64, parameters={}, metrics={}, compared_with=None,
                run=None, by="li.wei", now=NOW,
            )  # fmt: skip
        registry.promote(conn, 1, instead_of=None, by="li.wei", why="the first", now=NOW)
        runs.begin(conn, RUN, None, NOW)
        runs.note(conn, "r1", challenger=2, measured={"posts_per_second": 90_000.0})
    yield pg_server.dsn("t_model_gate")
    pg_server.drop_database("t_model_gate")


@pytest.fixture
def conn(database_of_runs: str) -> Iterator[Connection]:
    """What a test enters is gone after it."""
    with connect(database_of_runs, application_name="tests") as conn:
        yield conn
        conn.rollback()


def measured(
    n: int = 900, right: float = 0.93, by_class: tuple[float, ...] | None = None, sure: float | None = None,
    by_luck: float = 0.02,
) -> dict[str, Any]:  # fmt: skip
    """Figures of a model that is right on so many posts of each class, and as sure as that (or `sure`)."""
    truth = np.repeat(np.arange(3, dtype=np.int8), n // 3)
    given = truth.copy()
    for place in range(3):
        share = (by_class or (right,) * 3)[place]
        own = np.flatnonzero(truth == place)
        wrong = own[round(len(own) * share) :]
        given[wrong] = (truth[wrong] + 1 + np.arange(len(wrong)) % 2) % 3
    chance = sure if sure is not None else float((given == truth).mean())
    chances = np.full((len(truth), 3), (1 - chance) / 2)
    chances[np.arange(len(truth)), given] = chance
    whole = figures(given, chances, truth).as_dict()
    return {**whole, "emoticons_removed": whole, "ece_by_luck": by_luck}


def enter(conn: Connection, name: str, kind: str, figures: dict[str, Any]) -> None:
    conn.execute(
        "insert into sentiment.evaluations values ('r1', 'challenger', %s, %s, %s, %s)",
        (name, kind, figures["n"], Jsonb(figures)),
    )


def compare(conn: Connection, name: str, difference: float, low: float, high: float, n: int = 900) -> None:
    conn.execute(
        "insert into sentiment.comparisons values ('r1', %s, %s, 0, 0, %s, %s, %s, 0.5)",
        (name, n, difference, low, high),
    )


def judged(conn: Connection, tmp_path: Path, **limits: Any) -> tuple[list[str], list[str]]:
    """The names of what was refused, and of what was told."""
    settings = Settings(home=tmp_path)
    plan = RetrainingFile(limits=Limits(**limits), enough=Enough(platform=100))
    judgement = model_gate.judge(conn, runs.get(conn, "r1"), RUN, plan, settings, NOW)
    return [f.name for f in judgement.critical], [f.name for f in judgement.warnings]


UNFAIR = ["overall.fair expect_column_values_to_be_in_set"]
"""The champion of these tests was promoted by hand."""


def test_a_good_challenger_passes_and_the_judgement_is_recorded(conn: Connection, tmp_path: Path) -> None:
    enter(conn, "frozen", "frozen", measured())
    enter(conn, "platform:weibo", "platform", measured(90))
    compare(conn, "frozen", 0.01, -0.005, 0.025)
    compare(conn, "platform:weibo", 0.0, -0.02, 0.02)
    assert judged(conn, tmp_path) == ([], UNFAIR)
    (record,) = [r for r in ledger.records(conn) if r.kind == "gate.judged"]
    assert record.body["gate"] == "model" and record.body["passed"] and record.subject == "r1"


def test_a_first_model_is_held_to_the_floors_alone(conn: Connection, tmp_path: Path) -> None:
    conn.execute("update sentiment.retrainings set champion = null")
    enter(conn, "frozen", "frozen", measured())
    assert judged(conn, tmp_path) == ([], [])


def test_a_champion_of_a_retraining_is_a_fair_one(conn: Connection, tmp_path: Path) -> None:
    conn.execute(
        "insert into sentiment.retrainings (run_id, dag_id, started_at, state, challenger, ended_at) "
        "values ('r0', 'retrain_model', now(), 'promoted', 1, now())"
    )
    enter(conn, "frozen", "frozen", measured())
    compare(conn, "frozen", 0.01, -0.005, 0.025)
    assert judged(conn, tmp_path) == ([], [])


@pytest.mark.parametrize(
    ("figures", "refused"),
    [
        (measured(right=0.86), "overall.accuracy_low"),
        (measured(by_class=(0.84, 0.95, 0.95)), "classes.recall_low"),
        (measured(by_class=(0.6, 1.0, 1.0)), "classes.precision_low"),
        (measured(48, right=1.0), "classes.recall_low"),  # 16 of 16 show nothing
        (measured(right=0.93, sure=0.99), "sets.calibration_beyond_luck"),
    ],
)
def test_a_floor_that_is_not_shown_to_be_reached_refuses(
    conn: Connection, tmp_path: Path, figures: dict[str, Any], refused: str
) -> None:
    enter(conn, "frozen", "frozen", figures)
    compare(conn, "frozen", 0.01, -0.005, 0.025)
    assert refused in [name.split()[0] for name in judged(conn, tmp_path)[0]]


def test_twenty_two_of_twenty_two_of_each_class_reach_the_floor_of_85_percent(
    conn: Connection, tmp_path: Path
) -> None:
    enter(conn, "frozen", "frozen", measured(66, right=1.0))
    compare(conn, "frozen", 0.01, -0.005, 0.025)
    assert judged(conn, tmp_path) == ([], UNFAIR)


def test_an_error_of_calibration_that_luck_explains_is_none(conn: Connection, tmp_path: Path) -> None:
    off = measured(right=0.93, sure=0.97)
    assert off["ece"] > 0.03
    enter(conn, "frozen", "frozen", {**off, "ece_by_luck": 0.06})
    compare(conn, "frozen", 0.01, -0.005, 0.025)
    assert judged(conn, tmp_path) == ([], UNFAIR)


@pytest.mark.parametrize(
    ("name", "numbers", "refused", "told"),
    [
        ("frozen", (-0.001, -0.01, 0.01), ["comparisons.difference"], []),
        ("frozen", (0.01, -0.05, 0.07), ["comparisons.low"], []),
        ("platform:weibo", (-0.08, -0.12, -0.03), ["comparisons.shown_worse"], ["comparisons.difference"]),
        ("crisis:recall", (-0.08, -0.2, 0.04), [], ["comparisons.difference"]),  # so few posts show nothing
        ("platform:weibo", (-0.02, -0.03, -0.01), [], []),  # shown, but within the margin
    ],
)
def test_worse_than_the_champion_refuses_where_it_is_shown_and_is_told_where_it_may_be_luck(
    conn: Connection,
    tmp_path: Path,
    name: str,
    numbers: tuple[float, float, float],
    refused: list[str],
    told: list[str],
) -> None:
    enter(conn, "frozen", "frozen", measured())
    enter(conn, "platform:weibo", "platform", measured())
    enter(conn, "crisis:recall", "crisis", measured())
    for of in ("frozen", "platform:weibo", "crisis:recall"):
        compare(conn, of, *(numbers if of == name else (0.01, -0.005, 0.025)))
    critical, warnings = judged(conn, tmp_path)
    assert [each.split()[0] for each in critical] == refused
    assert [each.split()[0] for each in warnings if each not in UNFAIR] == told


def test_a_platform_of_few_posts_is_told_and_refuses_nothing(conn: Connection, tmp_path: Path) -> None:
    enter(conn, "frozen", "frozen", measured())
    enter(conn, "platform:weibo", "platform", measured(99))
    compare(conn, "frozen", 0.01, -0.005, 0.025)
    compare(conn, "platform:weibo", -0.08, -0.12, -0.03, n=99)
    critical, warnings = judged(conn, tmp_path)
    assert not critical
    assert [each.split()[0] for each in warnings if each not in UNFAIR] == ["comparisons.difference"]


def test_what_rests_on_emoticons_or_is_the_champion_itself_is_told(conn: Connection, tmp_path: Path) -> None:
    conn.execute("update sentiment.retrainings set challenger = 1")
    enter(conn, "frozen", "frozen", {**measured(), "emoticons_removed": measured(right=0.7)})
    compare(conn, "frozen", 0.0, -0.005, 0.005)
    critical, warnings = judged(conn, tmp_path)
    assert not critical
    assert {each.split()[0] for each in warnings} == {"overall.is_new", "sets.on_emoticons"}


def test_a_slow_challenger_and_one_without_a_frozen_set_are_refused(conn: Connection, tmp_path: Path) -> None:
    enter(conn, "recent", "recent", measured())
    critical, _ = judged(conn, tmp_path)
    assert {each.split(".")[0].split()[0] for each in critical} == {"overall", "classes"}
    enter(conn, "frozen", "frozen", measured())
    critical, _ = judged(conn, tmp_path, posts_per_second=90_001)
    assert [each.split()[0] for each in critical] == ["overall.posts_per_second"]


def test_a_refusal_is_an_error_that_names_what_did_not_hold() -> None:
    verdict = model_gate.ModelVerdict("r1", "refused", tuple("abcdefg"), (), "/docs/page.html")
    with pytest.raises(GateFailed) as error:
        verdict.raise_if_failed()
    assert error.value.found == "a; b; c; d; e; and 2 more" and "/docs/page.html" in error.value.do
    model_gate.ModelVerdict("r1", "awaiting", (), ("warned",), None).raise_if_failed()
