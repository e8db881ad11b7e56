"""House rules for Dags. Each message says what to do."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from inventory import inventory

PROJECT = Path(__file__).resolve().parents[2]
FILES = sorted((PROJECT / "dags").rglob("*.py"))
GOLDEN = PROJECT / "tests" / "golden" / "dags.txt"
HEADINGS = ("Why.", "When.", "Reads.", "Writes.", "Gate.", "If it fails.")
HEAVY = {
    "pandas", "numpy", "great_expectations", "boto3", "botocore", "psycopg", "pyrage", "zstandard", "apprise",
    "pyarrow", "sklearn",
}  # fmt: skip

by_file = pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)


def test_every_dag_file_parses_and_defines_the_dag_it_is_named_after(dagbag: Any) -> None:
    assert dagbag.import_errors == {}
    # A missing folder gives no Dags and no errors: the ids are what must be there.
    assert sorted(dagbag.dag_ids) == sorted(p.stem for p in FILES)
    assert len(FILES) >= 3


def test_what_exists_is_what_the_golden_inventory_says(dagbag: Any) -> None:
    found = inventory(dagbag.dags)
    assert found == GOLDEN.read_text(), (
        "Dags, schedules, tasks or assets changed. If that is meant, write the new inventory with "
        "`.venv/bin/python tools/generate_docs.py` and look at the difference in review."
    )


def test_every_dag_has_owner_tags_schedule_and_explicit_run_rules(dagbag: Any) -> None:
    from tidewatch.orchestration.policy import TAGS

    for dag in dagbag.dags.values():
        assert dag.owner == "data-engineering", f"{dag.dag_id}: set the owner through DEFAULT_ARGS"
        assert dag.tags and set(dag.tags) <= TAGS, f"{dag.dag_id}: tags come from {sorted(TAGS)}"
        assert dag.catchup is False, f"{dag.dag_id}: say catchup=False"
        waits_for_a_person = any(task.task_type == "SignOffOperator" for task in dag.tasks)
        assert dag.max_active_runs == 1 or waits_for_a_person, (
            f"{dag.dag_id}: two runs at once would wait for each other"
        )


def test_every_docstring_is_a_runbook_with_the_six_headings(dagbag: Any) -> None:
    for dag in dagbag.dags.values():
        found = [h for h in HEADINGS if f"**{h}**" in (dag.doc_md or "")]
        assert found == list(HEADINGS), f"{dag.dag_id}: the docstring needs the headings {HEADINGS} in order"
        failing = dag.doc_md.split("**If it fails.**")[1]
        assert "wake" in failing.lower() or "woken" in failing, f"{dag.dag_id}: say whether to wake someone"


def test_every_task_retries_what_passes_by_itself_and_nothing_else(dagbag: Any) -> None:
    from airflow.sdk import RetryAction

    from tidewatch.core import errors

    text = {"expected": "-", "found": "-", "do": "-"}
    for dag in dagbag.dags.values():
        for task in dag.tasks:
            policy = (
                task.partial_kwargs["retry_policy"] if hasattr(task, "partial_kwargs") else task.retry_policy
            )
            assert task.retries >= 1, f"{dag.dag_id}.{task.task_id}: set retries through DEFAULT_ARGS"
            gone = policy.evaluate(errors.RegionUnavailable("x", **text), 1, 3)
            refused = policy.evaluate(errors.GateFailed("x", **text), 1, 3)
            assert (gone.action, refused.action) == (RetryAction.RETRY, RetryAction.FAIL)


@by_file
def test_a_dag_file_is_a_table_of_contents(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert len(path.read_text().splitlines()) <= 120, f"{path.name}: move logic to include/tidewatch/"
    last = tree.body[-1]
    assert isinstance(last, ast.Expr) and isinstance(last.value, ast.Call), (
        f"{path.name}: end with the Dag's call"
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(
            ast.unparse(d).split("(")[0] == "task" for d in node.decorator_list
        ):
            assert len(node.body) <= 5, f"{path.name}: task {node.name} calls one named function"


@pytest.fixture(scope="module")
def parsed() -> dict[str, dict[str, Any]]:
    script = [sys.executable, str(Path(__file__).with_name("parsing.py")), *map(str, FILES)]
    shown = subprocess.run(script, capture_output=True, text=True, check=True, timeout=250).stdout
    return dict(json.loads(shown.splitlines()[-1]))


@by_file
def test_a_dag_file_imports_nothing_heavy_at_parse(path: Path, parsed: dict[str, dict[str, Any]]) -> None:
    heavy = HEAVY & set(parsed[path.name]["packages"])
    assert not heavy, f"{path.name}: import {heavy} inside the task"


@by_file
def test_a_dag_file_parses_in_under_300_ms_of_cpu(path: Path, parsed: dict[str, dict[str, Any]]) -> None:
    cost = parsed[path.name]["seconds"]
    assert cost < 0.3, f"{path.name} costs {cost:.2f} s: import inside tasks"


def test_the_plugin_folder_registers_only_plugin_py() -> None:
    """Airflow would register every .py under plugins/ under its bare name, `email.py` included."""
    ignore = (PROJECT / "plugins" / ".airflowignore").read_text().split()
    assert ignore == ["*.py", "!plugin.py"]
