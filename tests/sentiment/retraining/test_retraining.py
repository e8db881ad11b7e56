"""A retraining from labels to the question, and what it does with labels that are too few, gone or wrong."""

import json
from typing import Any

import pytest
from retrain_rig import NOW, PLAN, Runner, give, texts

from tidewatch.core.errors import Busy, GateFailed, IntegrityError
from tidewatch.evidence import ledger
from tidewatch.sentiment import registry
from tidewatch.sentiment.labels.deletion import Ref, delete
from tidewatch.sentiment.model import Model
from tidewatch.sentiment.retraining import run as steps
from tidewatch.sentiment.retraining import runs
from tidewatch.sentiment.retraining.run import TooEarly


def state(runner: Runner, run_id: str) -> str:
    with runner.connect() as conn:
        return runs.get(conn, run_id).state


def everything_but_labels(runner: Runner) -> str:
    """All that a retraining writes: its tables, the ledger, notices, judgements, progress, pages."""
    tables = (
        "sentiment.retrainings", "sentiment.evaluations", "sentiment.comparisons", "sentiment.differences",
        "sentiment.drifts", "sentiment.held_out", "sentiment.data_versions", "notices.outbox",
        "evidence.ledger", "quality.judgements", "quality.results", "quality.quarantine",
    )  # fmt: skip
    found = [str(runner.rows(f"select * from {table}")) for table in tables]
    pages = [path.read_text() for path in runner.home.rglob("*.html")]
    return "\n".join([*found, *pages, *runner.told])


def test_a_first_retraining_ends_with_a_question_and_a_challenger_that_nobody_uses_yet(asked: Runner) -> None:
    with asked.connect() as conn:
        run, version = runs.get(conn, "first"), registry.get(conn, 1)
        model = Model.from_bytes(registry.content(conn, 1))
        assert registry.champion(conn) is None
        told = steps.summary(conn, "first")
    assert run.state == "awaiting" and run.challenger == 1 and run.champion is None
    assert version.dataset_sha256 == run.digest == model.header["dataset_sha256"]
    assert version.run == {"dag_id": "retrain_model", "run_id": "first"}
    assert run.split is not None and sum(model.header["texts"].values()) == run.split["train"]["n"]
    kinds = {s["kind"] for s in told["sets"]}
    assert kinds == {"frozen", "recent", "platform", "crisis"} and told["challenger"] == 1
    assert all(s["champion"] is None and "p_value" not in s for s in told["sets"])
    assert told["gates"]["model"]["passed"] and told["chosen"] == (run.search or {})["chosen"]
    assert json.dumps(told, default=str)


def test_nothing_of_a_text_stands_in_what_a_retraining_writes(asked: Runner) -> None:
    written = everything_but_labels(asked)
    for row in asked.rows("select text from sentiment.texts"):
        assert row["text"][:6] not in written and row["text"][-6:] not in written
        assert json.dumps(row["text"])[1:-1][:30] not in written


def test_no_text_that_is_held_out_is_trained_on(asked: Runner, monkeypatch: Any) -> None:
    seen: set[str] = set()
    with asked.connect() as conn:
        run = runs.get(conn, "first")
        frozen, split = steps._prepared(asked.context, conn, run)
    held = {row["text_sha256"] for row in asked.rows("select text_sha256 from sentiment.held_out")}
    seen.update(frozen.table["text_sha256"].take(split.train).to_pylist())
    assert held and not held & seen
    assert set(frozen.table["text_sha256"].take(split.held_out).to_pylist()) == held


def test_steps_that_are_said_again_give_the_same_and_write_nothing(answering: Runner) -> None:
    def facts() -> list[Any]:
        return [
            answering.rows("select * from sentiment.retrainings"),
            answering.rows("select version, model_sha256 from sentiment.models"),
            answering.rows("select kind, n, figures from sentiment.evaluations order by set_name"),
            answering.rows("select max(seq) from evidence.ledger"),
            answering.rows("select fact from notices.outbox"),
        ]

    before = facts()
    again = answering.retrain("first")
    assert again.state == "awaiting" and facts() == before
    answering.say("first", "rejected")
    assert answering.retrain("first").state == "awaiting", "what the gate said; the person has said more"
    assert state(answering, "first") == "rejected"


def test_the_same_labels_give_the_same_model_and_sets_in_another_database_and_at_another_time(
    asked: Runner, runner: Runner
) -> None:
    runner.up_to("another name", steps.freeze)
    runner.later(40)  # nothing is recent any more, seen from then
    runner.up_to("another name", steps.train)
    query = "select model_sha256, dataset_sha256, parameters, metrics from sentiment.models"
    assert runner.rows(query) == asked.rows(query)
    with runner.connect() as conn:
        run = runs.get(conn, "another name")
        _, split = steps._prepared(runner.context, conn, run)
    assert "recent" in split.sets and split.counts == run.split


def test_corrections_make_a_better_challenger_that_is_compared_with_the_champion(answering: Runner) -> None:
    """The first model has learned from labels of which many are wrong; people correct, with more posts."""
    answering.say("first", "approved")
    answering.later(30)
    with answering.connect() as conn:
        give(conn, texts(260, seed=21), now=answering.now, first=10_000)
    verdict = answering.retrain("second")
    assert verdict.state == "awaiting"
    with answering.connect() as conn:
        told = steps.summary(conn, "second")
        run = runs.get(conn, "second")
    assert (run.champion, run.challenger) == (1, 2)
    frozen = next(s for s in told["sets"] if s["kind"] == "frozen")
    assert frozen["difference"] == pytest.approx(
        frozen["challenger"]["accuracy"]["value"] - frozen["champion"]["accuracy"]["value"]
    )
    assert 0 <= frozen["p_value"] <= 1 and frozen["low"] <= frozen["difference"] <= frozen["high"]
    before = {row["text_sha256"] for row in answering.rows(
        "select text_sha256 from sentiment.held_out where run_id = 'first'")}  # fmt: skip
    assert frozen["n"] == len(before), "the frozen set is what was held out before this run"
    for row in answering.rows("select * from sentiment.differences where run_id = 'second'"):
        assert row["champion_says"] != row["challenger_says"] and len(row["champion_p"]) == 3
    assert answering.say("second", "approved").champion == 2
    with answering.connect() as conn:
        assert registry.rollback(conn, by="li.wei", why="no", now=answering.now).version == 1


def test_too_few_labels_are_an_answer_in_numbers_and_nothing_is_trained(runner: Runner) -> None:
    runner.change("limits", recall=0.85)
    verdict = runner.up_to("r1", steps.judge_data)
    verdict.raise_if_failed()
    assert verdict.state == "not_enough" and state(runner, "r1") == "not_enough"
    negative = verdict.missing["test"]["negative"]
    assert negative["needed"] == 196 and negative["missing"] == 196 - negative["have"] > 0
    assert not runner.rows("select from sentiment.models")
    (row,) = runner.rows("select missing, told from sentiment.retrainings")
    assert row["missing"] == verdict.missing
    (notice,) = runner.rows("select fact, severity, body_en from notices.outbox")
    assert (notice["fact"], notice["severity"]) == ("retraining.not_enough/r1", "info")
    assert f"test.negative.missing: {negative['missing']}" in notice["body_en"]
    with pytest.raises(TooEarly, match="not so far"):
        steps.train(runner.context, runner.begin("r1"))
    assert runner.up_to("r1", steps.judge_data) == verdict, "the labels are those that were frozen"
    runner.plan = PLAN
    assert runner.up_to("r1", steps.judge_data).state == "passed", "another limit, the same labels"


def test_a_challenger_below_the_floor_is_refused_told_and_not_asked_about(answering: Runner) -> None:
    answering.say("first", "approved")
    answering.later(30)
    answering.change("limits", accuracy=0.995)
    with pytest.raises(GateFailed, match="gate model refused"):
        answering.retrain("second").raise_if_failed()
    (row,) = answering.rows(
        "select state, told, ledger_seq from sentiment.retrainings where run_id = 'second'"
    )
    assert row["state"] == "refused" and row["told"]["gate"] == "model"
    assert any("accuracy_low" in said for said in row["told"]["critical"])
    with answering.connect() as conn:
        kinds = [r.kind for r in ledger.records(conn, subject="second")]
        champion = registry.champion(conn)
        assert champion is not None and champion.version == 1
    assert kinds == ["retraining.started", "gate.judged", "gate.judged", "retraining.ended"]
    assert [
        r["fact"] for r in answering.rows("select fact from notices.outbox where fact like '%second'")
    ] == ["retraining.refused/second"]
    answering.plan = PLAN
    answering.begin("second")
    assert answering.retrain("second").state == "awaiting", "the limit was put right, and the run goes on"


def test_a_post_that_is_deleted_while_a_run_is_at_work_ends_it_in_words(runner: Runner) -> None:
    runner.up_to("r1", steps.judge_data)
    with runner.connect() as conn:
        post = conn.execute(
            "select platform, native_id from sentiment.posts where platform = 'shop'"
        ).fetchone()
        assert post is not None
        which = Ref(post["platform"], post["native_id"])
        delete(conn, [which], by="li.wei", reason="the author asked", now=NOW)
    with pytest.raises(IntegrityError, match="not those that were frozen") as error:
        steps.train(runner.context, runner.begin("r1"))
    assert "a post was deleted since" in error.value.found and state(runner, "r1") == "failed"
    assert not runner.rows("select from sentiment.models")
    assert runner.up_to("r2", steps.train)["version"] == 1


def test_a_clock_that_goes_back_between_steps_deletes_no_post(runner: Runner) -> None:
    runner.up_to("r1", steps.freeze)
    runner.later(days=-400)
    assert steps.judge_data(runner.context, runner.begin("r1")).state == "passed"
    assert steps.train(runner.context, runner.begin("r1"))["version"] == 1


def test_a_second_retraining_beside_an_open_one_is_busy_and_leaves_it_alone(answering: Runner) -> None:
    with pytest.raises(Busy) as error:
        answering.retrain("second")
    assert "first, waiting for an answer" in error.value.found and "reject first" in error.value.do
    assert state(answering, "first") == "awaiting"
    answering.say("first", "rejected")
    assert answering.up_to("second", steps.freeze)["rows"] > 0


def test_a_step_that_another_process_makes_is_busy(answering: Runner) -> None:
    with (
        answering.connect() as other,
        runs.working(other, "first"),
        pytest.raises(Busy, match="Another process is at work"),
    ):
        steps.judge_model(answering.context, answering.begin("first"))


def test_a_step_before_its_time_says_which_one_is_missing(runner: Runner) -> None:
    ref = runner.begin("r1")
    early: tuple[Any, ...] = (steps.judge_data, steps.train, steps.measure, steps.judge_model)
    for step in early:
        with pytest.raises(TooEarly, match="not so far"):
            step(runner.context, ref)
        assert state(runner, "r1") == "running", "no end: the step can be made"


def test_no_label_at_all_is_not_enough(warehouse: str, tmp_path: Any) -> None:
    empty = Runner(warehouse, tmp_path)
    verdict = empty.up_to("r1", steps.judge_data)
    assert verdict.state == "not_enough"
    assert {n["have"] for n in verdict.missing["test"].values()} == {0}
