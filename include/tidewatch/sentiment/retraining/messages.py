"""Notices of retraining. Chinese and English."""

from collections.abc import Iterator, Mapping
from typing import Any

from tidewatch.notices.notice import Notice

_SHOWN = 20
_TITLES = {
    "not_enough": ("标注不足，本次未重新训练情感模型", "Not enough labels to retrain the sentiment model"),
    "refused": ("质量闸门拒绝了情感模型的重新训练", "A gate refused the retraining of the sentiment model"),
    "failed": ("情感模型的重新训练失败", "The retraining of the sentiment model failed"),
}
_NEXT = {
    "not_enough": (
        "在控制台的标注页补充标注，或用 tidewatch labels import 导入；下一次运行会再次检查。",
        "label on the console's labelling page, or import with `tidewatch labels import`; the next run looks "
        "again",
    ),
    "refused": (
        "在控制台“模型”页查看每一项结果；修复后在 Airflow 中重新执行该任务。当前模型继续使用。",
        "look at the console page Model for every result; repair, then clear the task in Airflow. The "
        "present champion stays in use",
    ),
    "failed": (
        "在 Airflow 中查看失败任务的日志，修复后重新执行。当前模型继续使用。",
        "read the log of the failed task in Airflow, repair, and clear it. The present champion stays in use",
    ),
}


def stopped(run_id: str, state: str, found: str, missing: Mapping[str, Any] | None) -> Notice:
    """A run ended before a person was asked."""
    lines = list(numbers(missing or {}))
    more = len(lines) - _SHOWN
    rest = "".join(f"\n{line}" for line in lines[:_SHOWN]) + (f"\n+ {more}" if more > 0 else "")
    title, step = _TITLES[state], _NEXT[state]
    return Notice(
        fact=f"retraining.{state}/{run_id}"[:300],
        severity="info" if state == "not_enough" else "warning",
        title_zh=title[0],
        title_en=title[1],
        body_zh=f"运行 {run_id}：{found}{rest}",
        body_en=f"Run {run_id}: {found}{rest}",
        act_now=False,
        next_step_zh=step[0],
        next_step_en=step[1],
    )


def awaiting(run_id: str, challenger: int, champion: int | None, days: int) -> Notice:
    """A challenger has passed the gates and waits for a person."""
    before_zh = f"当前模型为版本 {champion}" if champion else "目前没有模型"
    before_en = f"the champion is version {champion}" if champion else "there is no champion yet"
    return Notice(
        fact=f"retraining.awaiting/{run_id}"[:300],
        severity="warning",
        title_zh=f"情感模型版本 {challenger} 等待批准",
        title_en=f"Version {challenger} of the sentiment model waits for approval",
        body_zh=f"运行 {run_id} 的版本 {challenger} 通过了全部闸门，{before_zh}。"
        f"{days} 天内无人答复则不启用。",
        body_en=f"Version {challenger} of run {run_id} has passed the gates; {before_en}. Without an answer "
        f"within {days} days it is not put to use.",
        act_now=False,
        next_step_zh="在控制台“模型”页查看比较结果和两者不同的帖子，再在 Airflow 中批准或拒绝。",
        next_step_en="look at the comparison and the posts on which the two differ on the console page "
        "Model, then approve or reject in Airflow",
    )


def promoted(run_id: str, challenger: int, champion: int | None, by: str) -> Notice:
    """A person approved, and the champion is another one."""
    instead_zh = f"，取代版本 {champion}" if champion else ""
    instead_en = f" instead of version {champion}" if champion else ""
    return Notice(
        fact=f"retraining.promoted/{run_id}"[:300],
        severity="info",
        title_zh=f"情感模型版本 {challenger} 已启用",
        title_en=f"Version {challenger} of the sentiment model is in use",
        body_zh=f"{by} 批准了运行 {run_id} 的版本 {challenger}{instead_zh}。",
        body_en=f"{by} approved version {challenger} of run {run_id}{instead_en}.",
        act_now=False,
        next_step_zh="无需处理；如需恢复前一版本，执行 tidewatch models rollback。",
        next_step_en="nothing; `tidewatch models rollback` brings the former version back",
    )


def unanswered(run_id: str, challenger: int) -> Notice:
    """Nobody answered in time."""
    return Notice(
        fact=f"retraining.unanswered/{run_id}"[:300],
        severity="warning",
        title_zh=f"情感模型版本 {challenger} 无人答复，未启用",
        title_en=f"Nobody answered for version {challenger} of the sentiment model",
        body_zh=f"运行 {run_id} 的版本 {challenger} 在期限内无人批准，当前模型继续使用。",
        body_en=f"Version {challenger} of run {run_id} was not approved in time; the champion stays in use.",
        act_now=False,
        next_step_zh=f"只要当前模型未变，仍可执行 tidewatch models approve {run_id}；"
        "否则重新运行 retrain_model。",
        next_step_en=f"as long as the champion is the same, `tidewatch models approve {run_id}` still does "
        "it; else run retrain_model again",
    )


def numbers(values: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """The numbers and names of nested JSON, a line each: `test.negative: 12`."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from numbers(value, f"{before}{name}.")
        else:
            yield f"{before}{name}: {value}"
