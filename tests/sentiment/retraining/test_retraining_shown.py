"""The console shows a retraining as its steps have written it, and its answer is that of everybody else."""

import sys
from pathlib import Path

from retrain_rig import Runner

sys.path.insert(0, str(Path(__file__).parents[2] / "console"))

from console_house import House, send

from tidewatch.sentiment import registry
from tidewatch.sentiment.retraining import run as steps
from tidewatch.sentiment.retraining import runs


def test_a_run_is_shown_decided_about_and_compared_with_on_the_console(
    answering: Runner, tmp_path: Path
) -> None:
    house = House(answering.dsn, tmp_path)
    client, address = house.client("analyst"), "/model/retraining?run=first"
    before, page = client.get("/model").text, client.get(address).text
    assert "No model is in use" in before and "no model (it would be the first)" in page
    with answering.connect() as conn:
        run = runs.get(conn, "first")
    assert run.split is not None and run.measured is not None
    assert f"{run.split['held_out']['n']} held out" in page and "posts a second" in page
    for row in answering.rows("select n, figures from sentiment.evaluations"):
        assert f"{row['n']:,}" in page and f"{row['figures']['accuracy']['value']:.1%}" in page
    assert page.count("Platform <bdi>") == 2 and "Crisis <bdi>recall</bdi>" in page

    assert send(client, "/model/decide", page=address, run="first", decision="approved").status_code == 303
    with answering.connect() as conn:
        now = registry.champion(conn)
    assert now is not None and (now.version, now.by) == (1, "the.analyst")
    # As the task in Airflow does when its question is answered after that.
    assert answering.say("first", "unanswered", None, "").state == "promoted"
    after = client.get("/model").text
    assert "posts that no model was trained on" in after and "version 1" in after


def test_too_few_labels_are_shown_in_numbers(runner: Runner, tmp_path: Path) -> None:
    runner.change("enough", train_per_class=100_000)
    assert runner.up_to("small", steps.judge_data).state == "not_enough"
    page = House(runner.dsn, tmp_path).client("compliance").get("/model/retraining?run=small").text
    assert "100,000" in page and page.count(">training</th>") == 3 and "/labelling" not in page
