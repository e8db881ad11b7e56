"""The tasks of retrain_model and rollback_model, called as Airflow calls them."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from psycopg.conninfo import conninfo_to_dict
from retrain_rig import Runner, give, texts

from tidewatch.core.errors import Busy, GateFailed
from tidewatch.sentiment import LABELS, registry
from tidewatch.sentiment.retraining.decide import NotToBeAnswered
from tidewatch.sentiment.train import train

tasks = pytest.importorskip("tidewatch.orchestration.retrain_tasks")
question = pytest.importorskip("tidewatch.orchestration.question")
sign_off = pytest.importorskip("tidewatch.orchestration.sign_off")
skip = pytest.importorskip("airflow.sdk.exceptions").AirflowSkipException

LI_NA = {"id": "2", "name": "li.na"}


class Events(dict[str, Any]):
    """What a task attaches to events of assets."""

    def __getitem__(self, asset: Any) -> Any:
        return self.setdefault(asset.name, SimpleNamespace(extra=None))


class DagRun:
    """One run in Airflow over the warehouse of a runner."""

    def __init__(self, over: Runner, monkeypatch: pytest.MonkeyPatch, run_id: str, dag: str) -> None:
        self.runner, self.delivered, self.events = over, 0, Events()
        self.context: dict[str, Any] = {
            "dag": SimpleNamespace(dag_id=dag),
            "run_id": run_id,
            "ti": SimpleNamespace(try_number=1),
            "dag_run": SimpleNamespace(triggering_user_name=None),
            "params": {},
            "outlet_events": self.events,
        }
        monkeypatch.setattr(tasks, "get_current_context", lambda: self.context)
        monkeypatch.setattr(tasks, "_context", lambda: over.context)
        monkeypatch.setattr(tasks.notice_tasks, "deliver", self._deliver)
        fields = conninfo_to_dict(over.dsn)
        connection = {"conn_type": "postgres", "login": fields["user"], "schema": fields["dbname"]}
        connection |= {k: fields[k] for k in ("host", "password")} | {"port": int(str(fields["port"]))}
        monkeypatch.setenv("AIRFLOW_CONN_TIDEWATCH_WAREHOUSE", json.dumps(connection))

    def _deliver(self) -> dict[str, int]:
        self.delivered += 1
        return {}

    @property
    def told(self) -> dict[str, Any] | None:
        """The extra of the champion's event."""
        found = self.events.get("sentiment.champion")
        return found.extra if found else None

    @property
    def state(self) -> str:
        (row,) = self.runner.rows("select state from sentiment.retrainings")
        return str(row["state"])

    @property
    def champion(self) -> int | None:
        with self.runner.connect() as conn:
            found = registry.champion(conn)
        return found.version if found else None

    def answered(self, option: str | None, user: dict[str, str] | None = LI_NA, note: str = "") -> Any:
        chosen = [option or sign_off.OPEN]
        return tasks.promote(
            {"chosen_options": chosen, "params_input": {"note": note}, "responded_by_user": user}
        )


@pytest.fixture
def dag_run(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> DagRun:
    return DagRun(runner, monkeypatch, "scheduled__1", "retrain_model")


@pytest.fixture
def waiting(answering: Runner, monkeypatch: pytest.MonkeyPatch) -> DagRun:
    """A run that has come to its question, with no champion before it."""
    return DagRun(answering, monkeypatch, "first", "retrain_model")


def test_a_run_goes_from_labels_to_a_champion_whose_event_dags_follow(dag_run: DagRun) -> None:
    frozen = tasks.freeze()
    assert frozen["rows"] > 0 and tasks.freeze() == frozen, "said again, the same"
    judged = tasks.gate_data()
    assert judged["state"] == "passed" and judged["missing"] is None
    made = tasks.train(judged)
    assert tasks.measure()["sets"][0] == "frozen"
    assert dag_run.delivered == 0
    asked_ = tasks.gate_model()
    assert dag_run.delivered == 1, "whoever is to answer hears of it before the wait"
    assert (
        asked_["challenger"] == made["version"] and "/tidewatch/model/retraining?run=" in asked_["question"]
    )
    assert (dag_run.champion, dag_run.told) == (None, None)
    told = dag_run.answered(sign_off.APPROVE, note="fine")
    assert told == dag_run.told and told["act"] == "promoted"
    assert (told["version"], told["instead_of"]) == (made["version"], None) == (dag_run.champion, None)
    assert dag_run.answered(sign_off.APPROVE, note="fine") == told, "cleared, it tells again"
    tasks.tell()
    assert dag_run.state == "promoted"
    posts = dag_run.runner.rows("select text from sentiment.texts")
    shown = json.dumps([frozen, judged, made, asked_, told], ensure_ascii=False)
    assert not [row for row in posts if row["text"] in shown], "XCom carries names and counts"


def test_not_enough_labels_is_an_answer_and_skips_the_rest(dag_run: DagRun) -> None:
    dag_run.runner.change("enough", train_per_class=100_000)
    tasks.freeze()
    judged = tasks.gate_data()
    assert judged["state"] == "not_enough" and judged["missing"]["train"]["negative"]["needed"] == 100_000
    with pytest.raises(skip, match=r"tidewatch models retrainings scheduled__1"):
        tasks.train(judged)
    tasks.tell()
    assert (dag_run.state, dag_run.champion, dag_run.told) == ("not_enough", None, None)


def test_labels_that_were_missing_count_in_the_next_run(dag_run: DagRun) -> None:
    house = dag_run.runner
    needed = 2 * house.rows("select count(*) from sentiment.labels")[0]["count"]
    house.change("enough", train_per_class=needed // 4)
    tasks.freeze()
    judged = tasks.gate_data()
    assert judged["state"] == "not_enough"
    with house.connect() as conn:
        give(conn, texts(2 * needed, seed=9, wrong=0.05), first=50_000)
    house.later(1)
    dag_run.context["run_id"] = "scheduled__2"
    tasks.freeze()
    assert tasks.gate_data()["state"] == "passed"
    split = house.rows("select split from sentiment.retrainings where run_id = 'scheduled__2'")[0]["split"]
    held = house.rows("select count(*) from sentiment.held_out")[0]["count"]
    assert split["sets"]["frozen"]["n"] == held, (
        "nothing was measured with before: all of it is the frozen set"
    )


def test_a_run_that_a_defect_left_open_is_ended_and_goes_on_when_it_is_cleared(
    dag_run: DagRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks.freeze()
    assert dag_run.state == "running"
    tasks.tell()
    assert dag_run.state == "failed"
    dag_run.context["run_id"] = "scheduled__2"
    with monkeypatch.context() as other:
        other.setattr(tasks, "_end", lambda _: None)
        assert tasks.tell() == {}
    assert tasks.freeze()["rows"] > 0, "the next run is not held up"
    with pytest.raises(Busy, match="scheduled__2"):
        dag_run.context["run_id"] = "scheduled__1"
        tasks.freeze()
    tasks.tell()
    rows = dag_run.runner.rows("select run_id, state from sentiment.retrainings order by run_id")
    assert [r["state"] for r in rows] == ["failed", "running"], "what another process works on stays"


@pytest.mark.parametrize("note", ["", " ", "\u200b"])
def test_a_no_leaves_the_champion_and_skips_the_promotion(waiting: DagRun, note: str) -> None:
    for _ in range(2):
        with pytest.raises(skip, match="rejected"):
            waiting.answered(sign_off.REJECT, note=note)
    (row,) = waiting.runner.rows("select state, decided_by, note from sentiment.retrainings")
    assert tuple(row.values()) == ("rejected", "li.na", "no reason was given")
    assert (waiting.champion, waiting.told) == (None, None)


@pytest.mark.parametrize(("option", "user"), [(None, None), (None, LI_NA), ("approve", None)])
def test_silence_is_no_yes_and_a_late_yes_elsewhere_is_told_when_the_task_is_cleared(
    waiting: DagRun, option: str | None, user: dict[str, str] | None
) -> None:
    with pytest.raises(GateFailed, match="tidewatch models approve first"):
        waiting.answered(sign_off.APPROVE if option else None, user)
    assert (waiting.state, waiting.champion, waiting.told) == ("unanswered", None, None)
    waiting.runner.say("first", "approved", by="wang.fang")
    told = waiting.answered(None, None)
    assert told["version"] == waiting.champion and told == waiting.told


def test_what_was_answered_elsewhere_while_airflow_asked_is_not_answered_twice(waiting: DagRun) -> None:
    waiting.runner.say("first", "approved", by="wang.fang")
    assert waiting.answered(sign_off.APPROVE)["version"] == waiting.champion
    with pytest.raises(NotToBeAnswered, match=r"promoted by wang\.fang"):
        waiting.answered(sign_off.REJECT)
    (row,) = waiting.runner.rows("select decided_by, via from sentiment.retrainings")
    assert tuple(row.values()) == ("wang.fang", "command_line")


def test_another_champion_in_the_meantime_is_compared_with_when_the_run_is_cleared(waiting: DagRun) -> None:
    said = texts(150, seed=4, wrong=0.3)
    model = train([t for t, _ in said], np.array([LABELS.index(label) for _, label in said]), seed=1, bits=12)
    with waiting.runner.connect() as conn:
        kept = registry.register(
            conn, model.to_bytes(), dataset_sha256="0" * 64, parameters={}, metrics={}, compared_with=None,
            run=None, by="x", now=waiting.runner.now,
        )  # fmt: skip
        registry.promote(conn, kept.version, instead_of=None, by="x", why="now", now=waiting.runner.now)
    with pytest.raises(Busy, match="no champion as the champion, which it was compared with"):
        waiting.answered(sign_off.APPROVE)
    assert (waiting.state, waiting.champion, waiting.told) == ("awaiting", kept.version, None)
    tasks.freeze()
    tasks.train(tasks.gate_data())
    assert tasks.measure()["difference"] > 0
    assert f"Champion**: version {kept.version}" in tasks.gate_model()["question"]
    assert waiting.answered(sign_off.APPROVE)["instead_of"] == kept.version


def test_a_rollback_takes_one_step_however_often_its_task_is_tried(
    waiting: DagRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting.answered(sign_off.APPROVE)
    with waiting.runner.connect() as conn:
        first = registry.champion(conn)
        assert first
        facts = dataclasses.asdict(registry.get(conn, first.version))
        kept = {k: facts[k] for k in ("dataset_sha256", "parameters", "metrics")}
        for before, content in ((1, b"second"), (2, b"third")):
            registry.register(
                conn, content, **kept, compared_with=before, run=None, by="x", now=waiting.runner.now
            )
            registry.promote(
                conn, before + 1, instead_of=before, by="x", why="better", now=waiting.runner.now
            )
    back = DagRun(waiting.runner, monkeypatch, "manual__1", "rollback_model")
    back.context["dag_run"].triggering_user_name = "li.na"
    back.context["params"] = {"reason": "thanks became complaints", "confirm": 1}
    with pytest.raises(Busy, match="version 1 as the champion, which is to go"):
        tasks.roll_back()
    assert (back.champion, back.told) == (3, None)
    back.context["params"]["confirm"] = 3
    told = tasks.roll_back()
    assert (told["act"], told["version"], told["instead_of"]) == ("rolled_back", 2, 3)
    assert tasks.roll_back() == told and back.champion == 2, "tried again after a kill, it is done already"
    with waiting.runner.connect() as conn:
        now = registry.champion(conn)
    assert now and now.by == "li.na" and now.why.startswith("thanks became complaints")


def test_names_from_files_are_no_markup_in_the_question(waiting: DagRun) -> None:
    with waiting.runner.connect() as conn:
        facts = tasks.retraining.summary(conn, "first")
    shown = question.question(facts, "https://airflow/tidewatch/model/retraining?run=first")
    assert "There is no champion yet" in shown and "| frozen |" in shown
    facts["sets"][0]["set"] = "platform:a|b\n# <img src=x>[x](y)"
    facts["gates"]["model"]["warnings"] = ["**w**"]
    hostile = question.question(facts, "https://airflow/")
    assert r"| platform:a\|b \# \<img src=x\>\[x\]\(y\) |" in hostile and r"\*\*w\*\*" in hostile


def test_a_new_installation_without_any_label_is_told_how_many_it_needs(
    warehouse: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = DagRun(Runner(warehouse, tmp_path), monkeypatch, "scheduled__1", "retrain_model")
    assert tasks.freeze()["rows"] == 0
    judged = tasks.gate_data()
    assert judged["state"] == "not_enough"
    assert judged["missing"]["test"]["negative"]["have"] == judged["missing"]["train"]["neutral"]["have"] == 0
    with pytest.raises(skip):
        tasks.train(judged)
    tasks.tell()
    assert new.state == "not_enough"
