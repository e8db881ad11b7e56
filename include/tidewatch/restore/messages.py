"""Notices and findings of restore tests. Chinese and English."""

from tidewatch.notices.notice import Notice
from tidewatch.restore.results import Planned

_CHOICE_ZH = {"latest": "最新备份", "older": "较早的备份"}


def said(planned: Planned, problem: str) -> tuple[str, str]:
    """What a finding says of a test that did not pass."""
    zh = (
        f"{planned.source} 的{_CHOICE_ZH[planned.choice]} {planned.backup_id} 未能从 {planned.region} "
        f"通过恢复测试：{problem}"
    )
    en = f"Backup {planned.backup_id} of {planned.source} did not pass its restore test from "
    return zh, f"{en}{planned.region}: {problem}"


def not_passed(
    planned: Planned, run_id: str, test_id: str, problem: str, *, passes_by_itself: bool
) -> Notice:
    """A restore test failed. The first failure of its kind in a run is told, all are recorded."""
    zh, en = said(planned, problem)
    kind = "interrupted" if passes_by_itself else "failed"
    return Notice(
        fact=f"restore.{kind}/{run_id}/{planned.source}/{planned.region}/{planned.choice}"[:300],
        severity="warning" if passes_by_itself else "critical",
        title_zh=f"{planned.source} 从 {planned.region} 的恢复测试未通过",
        title_en=f"The restore test of {planned.source} from {planned.region} did not pass",
        body_zh=f"{zh}（{test_id}）。相应的发现项会一直保留，直到之后一次测试通过。",
        body_en=f"{en} ({test_id}). The finding stays open until a later test passes.",
        act_now=not passes_by_itself,
        next_step_zh="这类错误常会自行消失，任务会自动重试；若仍失败，"
        f"执行 tidewatch restores show {test_id} 查看细节。"
        if passes_by_itself
        else f"执行 tidewatch restores show {test_id} 查看差异；在查明之前，请不要依赖该区域的这个备份，"
        "并检查其他区域的结果。",
        next_step_en=(
            "such errors often pass, the task tries again by itself; if it still fails, "
            f"run `tidewatch restores show {test_id}`"
        )
        if passes_by_itself
        else f"run `tidewatch restores show {test_id}` for the differences; do not rely on this backup in "
        "this region until the cause is known, and look at what the other regions gave",
    )


def untested(run_id: str, pairs: list[str]) -> Notice:
    """Sources and regions of which the run has no test of a newest backup."""
    shown = ", ".join(pairs[:20])
    return Notice(
        fact=f"restore.untested/{run_id}"[:300],
        severity="critical",
        title_zh="有来源没有做恢复测试",
        title_en="Sources without a restore test",
        body_zh=f"运行 {run_id} 中以下来源和区域没有可用的最新备份恢复测试：{shown}",
        body_en=f"Run {run_id} has no restore test of the newest backup for: {shown}",
        act_now=True,
        next_step_zh="执行 tidewatch backup list 检查是否有好的备份；修复后在 Airflow 中重跑 test_restores。",
        next_step_en="run `tidewatch backup list` to see whether there are good backups; repair, then run "
        "test_restores again",
    )


def to_sign(run_id: str, passed: bool, tests: int, failed: int, sha256: str) -> Notice:
    """A report waits for a person."""
    zh = "全部通过" if passed else "未通过"
    return Notice(
        fact=f"restore.to_sign/{run_id}/{sha256[:16]}"[:300],
        severity="info" if passed else "warning",
        title_zh=f"恢复测试报告等待签署（{zh}）",
        title_en=f"A restore test report waits to be signed ({'passed' if passed else 'not passed'})",
        body_zh=f"运行 {run_id}：{tests} 次测试，{failed} 次失败。报告 SHA-256：{sha256}",
        body_en=f"Run {run_id}: {tests} tests, {failed} failed. SHA-256 of the report: {sha256}",
        act_now=False,
        next_step_zh=f"在 Airflow 的待办操作中签署或拒绝，或执行 tidewatch restores sign {run_id}。",
        next_step_en="sign or refuse it in Airflow's required actions, or with "
        f"`tidewatch restores sign {run_id}`",
    )


def unsigned(run_id: str, sha256: str, why: str) -> Notice:
    """Nobody signed: that is not a yes."""
    return Notice(
        fact=f"restore.unsigned/{run_id}/{sha256[:16]}"[:300],
        severity="warning",
        title_zh="恢复测试报告没有被签署",
        title_en="A restore test report was not signed",
        body_zh=f"运行 {run_id} 的报告没有人签署，不算获得认可。",
        body_en=f"The report of run {run_id} is unsigned, and so not approved: {why}",
        act_now=False,
        next_step_zh=f"查看报告后补签：tidewatch restores sign {run_id}。",
        next_step_en=f"read the report, then sign it late: `tidewatch restores sign {run_id}`",
    )
