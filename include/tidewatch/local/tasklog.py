"""Where the log of a task lies on this machine, and what its last error says."""

import json
from pathlib import Path
from typing import Any

from tidewatch.core.processes import tail
from tidewatch.local.rest import TaskState


def log_file(airflow_home: Path, dag_id: str, run_id: str, task: TaskState) -> Path:
    """The file of the task's last attempt, as Airflow's default template names it."""
    place = airflow_home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task.task_id}"
    if task.map_index >= 0:
        place /= f"map_index={task.map_index}"
    return place / f"attempt={task.try_number}.log"


def last_error(path: Path) -> str:
    """The last error of a task log (JSON lines); its last line when there is none."""
    lines = tail(path, 400).splitlines()
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # cut off by `tail`, or printed by something that does not log
        if isinstance(entry, dict) and entry.get("level") in {"error", "critical"}:
            return _text(entry)
    return lines[-1][:500] if lines else "(there is no log: the task was ended before it began)"


def _text(entry: dict[str, Any]) -> str:
    details = entry.get("error_detail") or []
    if details and isinstance(details[-1], dict) and details[-1].get("exc_value"):
        return f"{details[-1].get('exc_type')}: {details[-1]['exc_value']}"
    return str(entry.get("event", ""))
