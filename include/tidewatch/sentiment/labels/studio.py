"""Label Studio's JSON export: tasks with annotations.

The form is Label Studio's own: a list of `{"id", "data", "annotations": [{"completed_by", "was_cancelled",
"updated_at", "result": [{"from_name", "type": "choices", "value": {"choices": [...]}}]}]}`
(labelstud.io/guide/export, "Label Studio JSON format of annotated tasks").
"""

from collections.abc import Iterator
from typing import Any

from tidewatch.sentiment.labels.mapping import Mapping
from tidewatch.sentiment.labels.rows import Row, broken

ANNOTATOR, LABELLED_AT = "\0annotator", "\0labelled_at"
"""Columns that Label Studio has of its own; the mapping names those of the task's data."""


def studio_rows(name: str, content: Any, mapping: Mapping) -> Iterator[Row]:
    """One row an annotation, numbered by its task. Predictions are a model's and are left out; so are
    annotations that were cancelled (skipped) and tasks without any."""
    if not isinstance(content, list):
        raise broken(name, "Label Studio's JSON export, a list of tasks", type(content).__name__)
    for number, task in enumerate(content, 1):
        data = task.get("data") if isinstance(task, dict) else None
        annotations = task.get("annotations") if isinstance(task, dict) else None
        if not isinstance(data, dict) or not isinstance(annotations, list):
            raise broken(
                name, "tasks with `data` and `annotations`: the export called JSON", f"task {number} has not"
            )
        for annotation in annotations:
            if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
                yield number, "columns"
            elif not annotation.get("was_cancelled"):
                yield number, _row(data, annotation, mapping)


def _row(data: dict[str, Any], annotation: dict[str, Any], mapping: Mapping) -> dict[str, Any] | str:
    choices = [
        choice
        for part in annotation["result"]
        if isinstance(part, dict) and part.get("from_name") == mapping.label and part.get("type") == "choices"
        for choice in _choices(part)
    ]
    if len(choices) > 1:
        return "several_labels"
    columns = [c for c in mapping.columns if c != mapping.label]
    row: dict[str, Any] = {c: data.get(c) for c in columns}
    row[mapping.label] = choices[0] if choices else None
    row[ANNOTATOR] = _who(annotation.get("completed_by"))
    row[LABELLED_AT] = annotation.get("updated_at") or annotation.get("created_at")
    return row


def _choices(part: dict[str, Any]) -> list[Any]:
    value = part.get("value")
    found = value.get("choices") if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _who(completed_by: Any) -> str | None:
    """An e-mail address where the export has one, else the user's number in that Label Studio."""
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("id")
    if isinstance(completed_by, int) and not isinstance(completed_by, bool):
        return f"label_studio:{completed_by}"
    return completed_by if isinstance(completed_by, str) else None
