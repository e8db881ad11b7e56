"""The gate over the labels of a run: what stops it, what is only told, and what is kept of it."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from retrain_rig import NOW, PLAN, give, replace_part, texts

from tidewatch.core.database import Connection, connect
from tidewatch.core.settings import Settings
from tidewatch.evidence import ledger
from tidewatch.local.postgres import LocalPostgres
from tidewatch.quality.judgement import Judgement
from tidewatch.sentiment.labels.agreement import Agreement, Figure
from tidewatch.sentiment.labels.training import TrainingSet, training_set
from tidewatch.sentiment.retraining import data_gate
from tidewatch.sentiment.retraining.data_gate import before_and_recent, frames, judge
from tidewatch.sentiment.retraining.drift import Drift
from tidewatch.sentiment.retraining.settings import RetrainingFile
from tidewatch.sentiment.retraining.splitting import Split, split
from tidewatch.vault.manifest import RunRef

RUN = RunRef(dag_id="retrain_model", run_id="r1")
NOBODY = Agreement(
    ("a",), 0, Figure(None, None, None, 0, "nobody"), Figure(None, None, None, 0, "nobody"), ()
)


@pytest.fixture(scope="module")
def dsn(pg_server: LocalPostgres, _migrated: str) -> Iterator[str]:
    """A database with labels of a year, the newest of today, and a run."""
    name = f"t_{secrets.token_hex(6)}"
    with psycopg.connect(pg_server.dsn(), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {_migrated}".encode())
    with connect(pg_server.dsn(name), application_name="tests") as conn:
        give(conn, texts(40, seed=2), source="seed", annotator="seed:corpus")
        give(conn, texts(300, seed=1), now=NOW)
        give(conn, texts(300, seed=4), now=NOW - timedelta(days=60), first=1000)
        conn.execute(
            "insert into sentiment.retrainings (run_id, dag_id, started_at) values ('r1', 'd', %s)",
            (NOW,),
        )
    yield pg_server.dsn(name)
    pg_server.drop_database(name)


@pytest.fixture
def conn(dsn: str) -> Iterator[Connection]:
    """What a test writes is rolled back."""
    with connect(dsn, application_name="tests") as conn:
        yield conn
        conn.rollback()


@pytest.fixture
def made(conn: Connection) -> tuple[TrainingSet, Split]:
    frozen = training_set(conn, now=NOW)
    return frozen, split(conn, frozen, settings=PLAN, run_id="r1", now=NOW)


def judged(
    conn: Connection, made: tuple[TrainingSet, Split], home: Path, plan: RetrainingFile = PLAN
) -> Judgement:
    return judge(conn, *made, run=RUN, plan=plan, settings=Settings(home=home), now=NOW)


def test_sound_labels_pass_and_what_was_found_is_kept_once_also_when_said_again(
    conn: Connection, made: tuple[TrainingSet, Split], tmp_path: Path
) -> None:
    judgement = judged(conn, made, tmp_path)
    judgement.raise_if_failed()
    assert judgement.staged == judgement.published and judgement.docs is not None
    assert any("agreement was not measured" in str(one) for one in judgement.warnings)
    rows = conn.execute("select * from sentiment.drifts order by feature").fetchall()
    assert {"label", "new_ngrams", "phrases", "platform"} <= {r["feature"] for r in rows}
    (record,) = ledger.records(conn, kind="gate.judged")
    assert record.body["passed"] is True and record.body["gate"] == "training_data"  # type: ignore[index]
    judged(conn, made, tmp_path)
    assert conn.execute("select * from sentiment.drifts order by feature").fetchall() == rows
    stored = conn.execute("select gate, passed from quality.judgements").fetchall()
    assert [(r["gate"], r["passed"]) for r in stored] == [("training_data", True)]


def test_no_text_is_in_what_is_kept_or_shown(
    conn: Connection, made: tuple[TrainingSet, Split], tmp_path: Path
) -> None:
    frozen, sides = made
    leaking = replace(sides, train=np.sort(np.append(sides.train, sides.held_out[:3])))
    judgement = judged(conn, (frozen, leaking), tmp_path)
    page = Path(str(judgement.docs)).read_text(encoding="utf-8")
    kept = str(conn.execute("select row_to_json(q) as q from quality.quarantine q").fetchall())
    for text in frozen.table["text"].to_pylist():
        assert text not in page and text not in kept and text not in str(judgement.critical)


def test_a_held_out_post_with_a_near_duplicate_in_training_stops_the_run(
    conn: Connection, made: tuple[TrainingSet, Split], tmp_path: Path
) -> None:
    frozen, sides = made
    held = int(sides.held_out[0])
    leaking = replace(sides, train=np.sort(np.append(sides.train, held)))
    judgement = judged(conn, (frozen, leaking), tmp_path)
    assert not judgement.passed
    (failure,) = judgement.critical
    assert failure.column == "alike_in_training" and "flatter" in failure.note_en
    assert frozen.table["text_sha256"][held].as_py()[:10] in "".join(failure.rows)


def found(made: tuple[TrainingSet, Split], **parts: Any) -> dict[str, Any]:
    defaults = {"plan": PLAN, "agreed": NOBODY, "found": []}
    return frames(*made, **(defaults | parts))


def failures(conn: Connection, made: Any, tmp_path: Path, monkeypatch: Any, **parts: Any) -> dict[str, str]:
    """Columns that did not hold, with their severity, when the gate is given these frames."""
    ready = {**found(made), **parts}
    monkeypatch.setattr(data_gate, "frames", lambda *_: ready)
    judgement = judged(conn, made, tmp_path)
    return {str(f.column): f.severity for f in (*judgement.warnings, *judgement.critical)}


def test_annotators_who_are_shown_to_disagree_stop_the_run_and_doubt_is_told(
    conn: Connection, made: tuple[TrainingSet, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(alpha: float, low: float, high: float) -> Any:
        figure = Figure(alpha, low, high, 80)
        return found(made, agreed=replace(NOBODY, nominal=figure))["agreement"]

    def said(*values: float) -> dict[str, str]:
        return failures(conn, made, tmp_path, monkeypatch, agreement=measured(*values))

    assert said(0.9, 0.8, 0.95).keys().isdisjoint({"alpha", "high"})
    assert said(0.6, 0.5, 0.7)["alpha"] == "warning" and "high" not in said(0.6, 0.5, 0.7)
    assert said(0.4, 0.2, 0.6)["high"] == "critical"


def test_drift_is_told_and_stops_the_run_only_where_the_plan_says_so(
    conn: Connection, made: tuple[TrainingSet, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = [Drift("length", 0.5, 0.1, 100, 90, True), Drift("label", 0.01, 0.1, 100, 90, False)]
    told = found(made, found=moved)["drift"]
    strict = found(made, found=moved, plan=replace_part(PLAN, "drift", refuses=True))["drift"]
    mild = failures(conn, made, tmp_path, monkeypatch, drift=told)
    assert mild["drifted"] == "warning" and "refused" not in mild
    assert failures(conn, made, tmp_path, monkeypatch, drift=strict)["refused"] == "critical"


def test_labels_of_one_class_alone_stop_the_run(
    made: tuple[TrainingSet, Split], conn: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = replace(made[1], labels=np.zeros_like(made[1].labels))
    classes = found((made[0], one))["classes"]
    assert failures(conn, made, tmp_path, monkeypatch, classes=classes)["share_of_people"] == "critical"


def test_recent_and_earlier_posts_are_those_of_people_with_a_time_and_copies_count_once(
    made: tuple[TrainingSet, Split], conn: Connection
) -> None:
    before, recent = before_and_recent(*made, PLAN)
    since = NOW - timedelta(days=PLAN.held_out.recent_days)
    assert before.num_rows + recent.num_rows <= 600 and min(before.num_rows, recent.num_rows) > 200
    assert all(at > since for at in recent["posted_at"].to_pylist())
    assert all(at <= since for at in before["posted_at"].to_pylist())
    assert set(before["origin"].to_pylist()) == {"import"}
    together = replace(made[1], groups=np.zeros_like(made[1].groups))
    assert [side.num_rows for side in before_and_recent(made[0], together, PLAN)] == [1, 1]


def test_platforms_are_those_people_labelled_posts_of(made: tuple[TrainingSet, Split]) -> None:
    table = found(made)["platforms"]
    assert table["platform"].tolist() == ["shop", "weibo"]
    assert table["held_out"].sum() == len(made[1].held_out)


def test_an_empty_store_is_judged_too(conn: Connection, tmp_path: Path) -> None:
    frozen = training_set(conn, now=NOW, up_to=0)
    nothing = split(conn, frozen, settings=PLAN, run_id="r1", now=NOW)
    judgement = judged(conn, (frozen, nothing), tmp_path)
    assert judgement.passed and len(judgement.warnings) > 2
