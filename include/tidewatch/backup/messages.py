"""Notices about backups: what happened, whether to act now, the next step. Chinese and English."""

from collections.abc import Mapping, Sequence

from tidewatch.core.errors import TidewatchError
from tidewatch.notices.notice import Notice
from tidewatch.vault.manifest import RunRef


def source_failed(source: str, run: RunRef, error: TidewatchError) -> Notice:
    """The source could not be read, or no region took it. One notice a run, whatever the number of tries."""
    retried_zh = "这类错误常会自行消失，任务会自动重试。" if error.retryable else "重试不会有帮助。"
    retried_en = (
        "Such errors often pass; the task tries again by itself."
        if error.retryable
        else ("Trying again will not help.")
    )
    return Notice(
        fact=f"backup.failed/{source}/{run.run_id}",
        severity="warning" if error.retryable else "critical",
        title_zh=f"{source} 备份失败",
        title_en=f"The backup of {source} failed",
        body_zh=f"来源 {source} 在运行 {run.run_id} 中没有得到备份。{error.what}。"
        f"发现：{error.found}。{retried_zh}",
        body_en=f"Source {source} got no backup in run {run.run_id}. {error.what}. Found: {error.found}. "
        f"{retried_en}",
        act_now=not error.retryable,
        next_step_zh=f"{error.do}。然后在 Airflow 中清除该任务使其重跑。"
        if not error.retryable
        else f"如果本次运行最终仍失败：{error.do}",
        next_step_en=f"{error.do}. Then clear the task in Airflow so that it runs again"
        if not error.retryable
        else f"if the run still ends red: {error.do}",
    )


def run_failed(run: RunRef, error: TidewatchError) -> Notice:
    """Nothing could be planned: no source at all got a backup in this run."""
    return Notice(
        fact=f"backup.not_planned/{run.run_id}",
        severity="critical",
        title_zh="没有任何来源得到备份",
        title_en="No source got a backup",
        body_zh=f"运行 {run.run_id} 无法开始。{error.what}。发现：{error.found}。",
        body_en=f"Run {run.run_id} could not begin. {error.what}. Found: {error.found}.",
        act_now=True,
        next_step_zh=f"{error.do}。然后在 Airflow 中清除任务 plan 使其重跑。",
        next_step_en=f"{error.do}. Then clear the task plan in Airflow so that it runs again",
    )


def source_given_up(source: str, run: RunRef, error: TidewatchError) -> Notice:
    """The last try failed as well. The first failure was told as one that may pass by itself."""
    return Notice(
        fact=f"backup.given_up/{source}/{run.run_id}",
        severity="critical",
        title_zh=f"{source} 备份多次重试后仍失败",
        title_en=f"The backup of {source} failed at every try",
        body_zh=f"来源 {source} 在运行 {run.run_id} 中没有得到备份，不会再自动重试。{error.what}。"
        f"发现：{error.found}。",
        body_en=f"Source {source} got no backup in run {run.run_id} and is not tried again by itself. "
        f"{error.what}. Found: {error.found}.",
        act_now=True,
        next_step_zh=f"{error.do}。然后在 Airflow 中清除该任务使其重跑。",
        next_step_en=f"{error.do}. Then clear the task in Airflow so that it runs again",
    )


def degraded(backup_id: str, verified: Sequence[str], missing: Mapping[str, str]) -> Notice:
    """Copies are missing; healing completes them."""
    zh = "；".join(f"{region}：{why}" for region, why in missing.items())
    en = "; ".join(f"{region}: {why}" for region, why in missing.items())
    return Notice(
        fact=f"backup.degraded/{backup_id}",
        severity="warning",
        title_zh=f"备份 {backup_id} 缺少副本",
        title_en=f"Backup {backup_id} lacks copies",
        body_zh=f"已在 {'、'.join(verified)} 验证，可以恢复。缺少：{zh}",
        body_en=f"Verified in {', '.join(verified)}: it can be restored. Missing: {en}",
        act_now=False,
        next_step_zh="heal_copies 每小时会自动补齐；若四小时后仍未补齐，"
        "请检查该区域（tidewatch region probe）。",
        next_step_en="heal_copies completes it by itself every hour; if it has not after four hours, "
        "look at the region (tidewatch region probe)",
    )


def suspect(backup_id: str, source: str, failures: Sequence[str], docs: str | None) -> Notice:
    """The gate refused it: a person decides."""
    where = f" {docs}" if docs else ""
    return Notice(
        fact=f"backup.suspect/{backup_id}",
        severity="critical",
        title_zh=f"备份 {backup_id} 可疑，需要人来判断",
        title_en=f"Backup {backup_id} is suspect: a person must decide",
        body_zh=f"{source} 的内容与最近的备份相差太多，已保留但没有作为好备份封存：{'；'.join(failures[:5])}",
        body_en=f"The content of {source} differs too much from its last backups. "
        f"It is kept, but not sealed as good: {'; '.join(failures[:5])}",
        act_now=True,
        next_step_zh=f"查看质量报告{where}；若数据确实如此，执行 "
        f"tidewatch backup accept {backup_id} --by 姓名 --reason 原因，"
        "否则先处理数据丢失，并以同样方式执行 tidewatch backup reject。",
        next_step_en=f"look at the gate's report{where}; if the data are meant to be so, run "
        f"`tidewatch backup accept {backup_id} --by NAME --reason TEXT`, otherwise deal with "
        "the loss of data and run `tidewatch backup reject` in the same way",
    )


def not_verified(backup_id: str, reasons: Mapping[str, str]) -> Notice:
    """It was sent, and no region could show it again."""
    zh = "；".join(f"{region}：{why}" for region, why in reasons.items())
    en = "; ".join(f"{region}: {why}" for region, why in reasons.items())
    return Notice(
        fact=f"backup.not_verified/{backup_id}",
        severity="critical",
        title_zh=f"备份 {backup_id} 在任何区域都未通过验证",
        title_en=f"Backup {backup_id} was verified in no region",
        body_zh=f"上传之后没有一个区域能完整读回，这个备份不能算数：{zh}",
        body_en=f"After the upload no region could show it again in full; it does not count: {en}",
        act_now=True,
        next_step_zh="执行 tidewatch region probe 找出原因，修复后在 Airflow 中重跑 back_up_sources。",
        next_step_en="run `tidewatch region probe` to find the cause, repair it, "
        "then run back_up_sources again",
    )


def copy_damaged(backup_id: str, region: str, key: str, problem: str) -> Notice:
    """A region shows other bytes than it was given."""
    return Notice(
        fact=f"copy.damaged/{backup_id}/{region}/{key}"[:300],
        severity="critical",
        title_zh=f"{region} 中备份 {backup_id} 的副本损坏",
        title_en=f"The copy of {backup_id} in {region} is damaged",
        body_zh=f"对象 {key} 与清单不符：{problem}。其他区域的副本不受影响。",
        body_en=f"Object {key} is not what the manifest says: {problem}. "
        "The copies of other regions are not touched.",
        act_now=True,
        next_step_zh="请联系该存储的提供方并保留现场；被锁定的对象无法覆盖，修复前请依赖其他区域。",
        next_step_en="ask the provider of that store and keep everything as it is; a locked object cannot be "
        "replaced, so rely on the other regions until then",
    )


def region_lacks(region: str, day: str, lacking: Sequence[str]) -> Notice:
    """A probe found that the region does not do what a backup needs."""
    return Notice(
        fact=f"region.lacking/{region}/{day}/{'+'.join(sorted(lacking))}"[:300],
        severity="critical",
        title_zh=f"区域 {region} 不满足备份的要求",
        title_en=f"Region {region} does not do what a backup needs",
        body_zh=f"探测发现以下检查未通过：{'、'.join(lacking)}",
        body_en=f"The probe found these checks failing: {', '.join(lacking)}",
        act_now=True,
        next_step_zh=f"执行 tidewatch region probe {region} 查看细节；修正存储桶设置、凭据或时钟。",
        next_step_en=f"run `tidewatch region probe {region}` for details; correct the bucket's settings, the "
        "credentials or the clock",
    )


def recipients_changed(fact: str, backup_id: str, old: Sequence[str], new: Sequence[str]) -> Notice:
    """Backups are encrypted to other keys than before: meant, or somebody lets himself in."""
    came, went = sorted(set(new) - set(old)), sorted(set(old) - set(new))
    zh = "；".join(p for p in (came and f"新增 {'、'.join(came)}", went and f"移除 {'、'.join(went)}") if p)
    en = "; ".join(
        p for p in (came and f"added {', '.join(came)}", went and f"removed {', '.join(went)}") if p
    )
    return Notice(
        fact=f"keys.changed/{fact}",
        severity="warning",
        title_zh="备份的加密密钥已更换",
        title_en="Backups are encrypted to other keys",
        body_zh=f"自备份 {backup_id} 起，接收者密钥：{zh}。此前的备份仍由原来的密钥打开。",
        body_en=f"Since backup {backup_id} the recipients are others: {en}. Earlier backups are still "
        "opened by the keys they were made for.",
        act_now=False,
        next_step_zh="如果是有意更换，请在所有旧备份到期之前保留旧私钥（tidewatch keys list）；"
        "否则立即查明是谁改了接收者文件。",
        next_step_en="if it was meant, keep the old private keys until the last backup that needs them has "
        "ended (`tidewatch keys list`); if it was not, find out at once who changed the recipients file",
    )


def attempt_died(backup_id: str, source: str, run: RunRef) -> Notice:
    """An attempt whose process ended without a word, and that no later run of its source took up."""
    return Notice(
        fact=f"backup.died/{backup_id}",
        severity="warning",
        title_zh=f"备份 {backup_id} 的进程中途消失",
        title_en=f"The process that made {backup_id} ended without a word",
        body_zh=f"来源 {source} 在运行 {run.run_id} 中开始了备份，一天之后仍未完成，也没有进程在处理它。"
        "该次尝试已标记为放弃；它留下的对象在锁定到期后由 remove_orphans 清除。",
        body_en=f"A backup of {source} was begun in run {run.run_id}. A day later it is not finished and no "
        "process works on it. The attempt is marked as abandoned; remove_orphans takes what it left in the "
        "regions as soon as the locks allow.",
        act_now=False,
        next_step_zh=f"确认 {source} 之后有成功的备份（tidewatch backup list --source {source}）；"
        "若没有，请运行 back_up_sources。",
        next_step_en=f"see that {source} has a good backup since "
        f"(`tidewatch backup list --source {source}`); if it has none, run back_up_sources",
    )


def left_staged(backup_id: str, source: str, run: RunRef) -> Notice:
    """Everything is uploaded, and nobody judges it."""
    return Notice(
        fact=f"backup.left_staged/{backup_id}",
        severity="warning",
        title_zh=f"备份 {backup_id} 已上传但没有完成",
        title_en=f"Backup {backup_id} is uploaded and was never finished",
        body_zh=f"来源 {source} 在运行 {run.run_id} 中的备份已全部上传，但一天之后仍未验证和提交，"
        "因此不能算数，其对象也可能尚未锁定。",
        body_en=f"Everything of the backup of {source} in run {run.run_id} is uploaded, but a day later it "
        "is neither proved nor committed. It does not count, and its objects may not be locked.",
        act_now=False,
        next_step_zh=f"在 Airflow 中清除运行 {run.run_id} 里 {source} 失败的任务（gate 或 publish），"
        "它会从停下的地方继续。",
        next_step_en=f"in Airflow clear the failed task of {source} (gate or publish) in run {run.run_id}; "
        "it goes on where it stopped",
    )
