"""What exists, as a page a person can read: Dags, schedules, tasks, assets. Used by the golden test."""

from typing import Any


def inventory(dags: dict[str, Any]) -> str:
    """YAML-like text, one block per Dag, in the order of their ids."""
    blocks = []
    for dag_id in sorted(dags):
        dag = dags[dag_id]
        lines = [
            f"{dag_id}:",
            f"  schedule: {_schedule(dag)}",
            f"  catchup: {str(dag.catchup).lower()}",
            f"  max_active_runs: {dag.max_active_runs}",
            f"  tags: {', '.join(sorted(dag.tags))}",
            "  tasks:",
        ]
        for task in sorted(dag.tasks, key=lambda t: t.task_id):
            marks = [m for m, on in (("mapped", _mapped(task)), ("teardown", task.is_teardown)) if on]
            after = ", ".join(sorted(task.upstream_task_ids)) or "-"
            assets = [o.name for o in task.outlets]
            lines.append(
                f"    {task.task_id}: after {after}"
                + (f" [{', '.join(marks)}]" if marks else "")
                + (f" -> {', '.join(assets)}" if assets else "")
            )
        blocks.append("\n".join(lines))
    return "\n".join(blocks) + "\n"


def _schedule(dag: Any) -> str:
    timetable = dag.timetable
    if not timetable.can_be_scheduled:
        return "by hand"
    return f"{type(timetable).__name__}({timetable.expression}, {timetable.timezone})"


def _mapped(task: Any) -> bool:
    return bool(task._is_mapped or task.get_closest_mapped_task_group())
