"""`tidewatch models retrain`, `retrainings`, `approve`, `reject`: a new champion without Airflow."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict
from retrain_rig import PLAN, Runner, replace_part

from tidewatch.cli import main
from tidewatch.core.settings import load_settings
from tidewatch.sentiment.retraining.settings import RetrainingFile

Typed = Callable[..., tuple[int, str, str]]
Shell = Callable[[Runner, RetrainingFile], Typed]
BY = ("--by", "Li Wei")


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Runner, RetrainingFile], Typed]:
    """A command line over the warehouse of a runner: exit code, stdout, stderr."""

    def over(house: Runner, plan: RetrainingFile) -> Typed:
        config = tmp_path / "config"
        shutil.copytree(load_settings().config_dir, config)
        content = yaml.safe_dump(plan.model_dump(mode="json"), allow_unicode=True)
        (config / "retraining.yaml").write_text(content, encoding="utf-8")
        fields = conninfo_to_dict(house.dsn)
        connection: dict[str, Any] = {"conn_type": "postgres", "login": fields["user"]}
        connection |= {k: fields[k] for k in ("host", "password")}
        connection |= {"schema": fields["dbname"], "port": int(str(fields["port"]))}
        monkeypatch.setenv("AIRFLOW_CONN_TIDEWATCH_WAREHOUSE", json.dumps(connection))
        monkeypatch.setenv("TIDEWATCH_CONFIG_DIR", str(config))
        monkeypatch.setenv("TIDEWATCH_HOME", str(tmp_path / "home"))

        def typed(*arguments: str) -> tuple[int, str, str]:
            capsys.readouterr()
            code = main(["models", *arguments])
            shown = capsys.readouterr()
            return code, shown.out, shown.err

        return typed

    return over


def test_a_challenger_is_made_shown_and_approved(runner: Runner, shell: Shell) -> None:
    # The posts of the rig are older than the clock of the command line: drift of them says nothing.
    typed = shell(runner, PLAN)
    assert "No retraining" in typed("retrainings")[1]
    code, out, err = typed("retrain", *BY, "--json")
    assert code == 0, out + err
    made = json.loads(out)
    assert made["state"] == "awaiting" and made["started_by"] == "Li Wei" and made["dag_id"] == "cli"
    run = made["run_id"]
    assert typed("retrain", *BY, "--run", run, "--json")[:2] == (0, out), "the same run goes on: nothing new"
    code, out, err = typed("retrain", *BY)
    assert code == 3 and run in err, "a second one says which is open"
    code, out, _ = typed("retrainings", run)
    split = made["split"]
    assert f"{split['train']['n']} texts to train on, {split['held_out']['n']} held out" in out
    assert code == 0 and "frozen" in out and "gate model: passed" in out and f"models approve {run}" in out
    code, out, _ = typed("approve", run, *BY, "--note", "fine")
    assert code == 0 and f"{run} is promoted" in out and "version 1 scores" in out
    assert "clear" not in out, "Airflow has no such run"
    code, out, _ = typed("retrainings")
    assert run in out and "promoted" in out and "fine" in out
    code, _, err = typed("reject", run, *BY, "--note", "after all")
    assert code == 3 and "promoted by Li Wei" in err
    shown = typed("retrainings", run, "--json")[1]
    texts = [row["text"] for row in runner.rows("select text from sentiment.texts")]
    assert len(texts) > 400 and not [text for text in texts if text in shown]


def test_what_is_missing_is_said_in_numbers_and_the_exit_code_is_1(runner: Runner, shell: Shell) -> None:
    typed = shell(runner, replace_part(PLAN, "enough", train_per_class=5000))
    code, out, _ = typed("retrain", *BY)
    assert code == 1 and "not_enough" in out
    for name in ("negative", "neutral", "positive"):
        (row,) = [line.split() for line in out.splitlines() if f"posts to train on, {name}" in line]
        have, needed, missing, to_label = map(int, row[-4:])
        assert (needed, missing) == (5000, 5000 - have) and to_label > missing
    assert typed("retrainings")[0] == 0


def test_a_no_needs_a_reason_and_a_late_yes_says_what_airflow_is_not_told(
    answering: Runner,
    shell: Shell,
) -> None:
    typed = shell(answering, PLAN)
    assert typed("reject", "first", *BY)[0] == 2, "a note is asked for"
    assert typed("approve", "none", *BY)[0] == 3
    answering.say("first", "unanswered", by=None)
    code, out, _ = typed("approve", "first", *BY)
    assert code == 0 and "version 1 scores" in out and "clear `promote` of this run of retrain_model" in out
    assert json.loads(typed("approve", "first", *BY, "--json")[1])["champion"] == 1, "said again, the same"


def test_a_run_whose_process_is_gone_is_ended_by_a_person(runner: Runner, shell: Shell) -> None:
    runner.begin("dead")
    typed = shell(runner, PLAN)
    code, _, err = typed("retrainings", "--end")
    assert code == 3 and "Which run is to end?" in err
    assert typed("retrainings", "--end", "none")[0] == 3
    code, out, _ = typed("retrainings", "--end", "dead", *BY)
    assert code == 0 and "dead is failed" in out
    code, out, _ = typed("retrainings", "dead")
    assert code == 0 and "ended by Li Wei" in out
