"""Write what is generated from the code: docs/DAGS.md, docs/cli.md, docs/schemas/, tests/golden/dags.txt.

`--check` writes nothing and fails when a file differs from what the code says.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "tests" / "dags"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = 0
    for path, text in _pages():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if check:
            print(f"{path.relative_to(PROJECT)} is not what the code says: run `make docs`", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(PROJECT)}")
    return 1 if check and stale else 0


def _pages() -> Iterator[tuple[Path, str]]:
    from inventory import inventory

    from tidewatch.evidence.report import document
    from tidewatch.vault.manifest import schema_text

    dags = _dags()
    yield PROJECT / "docs" / "DAGS.md", _dag_page(dags)
    yield PROJECT / "tests" / "golden" / "dags.txt", inventory(dags)
    yield PROJECT / "docs" / "cli.md", _cli_page()
    yield PROJECT / "docs" / "schemas" / "manifest-1.json", schema_text()
    yield PROJECT / "docs" / "schemas" / "compliance-report-1.json", document.schema_text()


def _dags() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(AIRFLOW_HOME=home, AIRFLOW__CORE__LOAD_EXAMPLES="False")
        os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(str(PROJECT / "dags"))
    if bag.import_errors:
        raise SystemExit(f"a Dag file does not parse: {bag.import_errors}")
    return dict(bag.dags)


def _dag_page(dags: dict[str, Any]) -> str:
    lines = ["# Dags", "", "<!-- Generated from the docstrings by `make docs`; edit the Dag files. -->", ""]
    lines += ["| Dag | runs | tags |", "|---|---|---|"]
    for dag_id in sorted(dags):
        dag = dags[dag_id]
        when = "by hand"
        if dag.timetable.can_be_scheduled:
            when = f"`{dag.timetable.expression}` {dag.timetable.timezone}"
        lines.append(f"| [{dag_id}](#{dag_id}) | {when} | {', '.join(sorted(dag.tags))} |")
    for dag_id in sorted(dags):
        path = Path(dags[dag_id].fileloc).relative_to(PROJECT)
        lines += ["", f"## {dag_id}", "", f"[{path}](../{path})", "", dags[dag_id].doc_md.strip()]
    return "\n".join(lines) + "\n"


def _cli_page() -> str:
    command = [sys.executable, "-m", "typer", "tidewatch.cli", "utils", "docs", "--name", "tidewatch"]
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return "<!-- Generated from the command line's help by `make docs`. -->\n\n" + shown.stdout.strip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
