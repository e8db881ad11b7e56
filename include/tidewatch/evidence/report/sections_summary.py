"""The figures of the month on one page."""

from collections import Counter
from collections.abc import Sequence

from tidewatch.evidence.report import document as doc
from tidewatch.evidence.report.blocks import (
    Block,
    Cell,
    Facts,
    Para,
    Section,
    cell,
    show,
)
from tidewatch.evidence.report.calendar import GOOD
from tidewatch.evidence.report.document import GAPS, ReportFile
from tidewatch.evidence.report.words import Words


def summary(report: ReportFile, say: Words) -> Section:
    """The figures of the month on one page."""
    facts = report.facts
    period = facts.period
    expected = sum(s.expected_days for s in facts.sources)
    covered = sum(s.covered_days for s in facts.sources)
    gaps = sum(d.state in GAPS for d in facts.days)
    never = [s.source for s in facts.sources if s.expected_from is None]
    open_now = [f for f in facts.findings if f.closed_at is None]
    blocks: list[Block] = [
        Para(
            say(
                "本报告陈述事实，不作合规结论。没有记录到的事情也写在这里：缺少备份的日子是发现项。",
                "This report states facts and draws no conclusion on compliance. What did not happen is "
                "told, too: a day without a backup is a finding.",
            ),
            "mild",
        ),
        _headline(say, gaps, never, open_now),
        Facts(
            [
                (
                    say("期间", "Period"),
                    cell(
                        f"{period.month}-01 – {period.judged_until.isoformat()} ({period.timezone}), "
                        + say(f"{period.judged_days} 天", f"{period.judged_days} days")
                    ),
                ),
                (say("数据源与区域", "Sources and regions"), cell(_places(facts, say))),
                (
                    say("应有备份的天次", "Source-days expected"),
                    cell(
                        say(
                            f"{expected}：有备份 {covered}，没有备份 {gaps}",
                            f"{expected}: with a backup {covered}, without {gaps}",
                        ),
                        "bad" if gaps else "good",
                    ),
                ),
                (say("备份", "Backups"), cell(_by_status(say, [b.status for b in facts.backups]))),
                (say("副本", "Copies"), _copies_cell(facts, say)),
                (say("恢复测试", "Restore tests"), _tests_cell(facts, say)),
                (say("签署", "Sign-offs"), _signed_cell(facts, say)),
                (
                    say("区域探测", "Probes of regions"),
                    cell(
                        say(
                            f"{sum(p.probes for p in facts.probes)} 次，其中不合格 "
                            f"{sum(p.unusable for p in facts.probes)} 次",
                            f"{sum(p.probes for p in facts.probes)}, of which "
                            f"{sum(p.unusable for p in facts.probes)} found something lacking",
                        ),
                        "bad" if any(p.unusable for p in facts.probes) else "",
                    ),
                ),
                (
                    say("质量门", "Gates"),
                    cell(
                        say(
                            f"判定 {sum(g.judged for g in facts.gates)} 次，拒绝 "
                            f"{sum(g.refused for g in facts.gates)} 次",
                            f"{sum(g.judged for g in facts.gates)} judgements, "
                            f"{sum(g.refused for g in facts.gates)} refused",
                        )
                    ),
                ),
                (say("发现项", "Findings"), _findings_cell(facts, say)),
                (
                    say("法律保全与清除", "Legal holds and removals"),
                    cell(
                        say(
                            f"保留 {len(facts.holds)} 项；到期清除的备份 {len(facts.expired)} 个",
                            f"{len(facts.holds)} holds; {len(facts.expired)} backups removed at the end of "
                            "their time",
                        )
                    ),
                ),
                (
                    say("账本末端", "Head of the ledger"),
                    cell(f"{facts.ledger.seq} {facts.ledger.hash}", code=True),
                ),
                (say("事实摘要 SHA-256", "SHA-256 of the facts"), cell(report.facts_sha256, code=True)),
            ]
        ),
    ]
    return Section("summary", say("摘要", "Summary"), blocks)


def _headline(say: Words, gaps: int, never: Sequence[str], open_now: Sequence[doc.FindingFacts]) -> Para:
    parts = []
    if gaps:
        parts.append(say(f"有 {gaps} 个天次没有备份。", f"{gaps} source-days have no backup."))
    if never:
        names = ", ".join(never)
        parts.append(say(f"从未备份的数据源：{names}。", f"Never backed up: {names}."))
    if open_now:
        parts.append(say(f"有 {len(open_now)} 项发现未关闭。", f"{len(open_now)} findings are open."))
    if not parts:
        return Para(
            say("期间内每个应备份的日子都有备份，没有未关闭的发现项。",
                "Every day of every source has its backup, and no finding is open."), "good"
        )  # fmt: skip
    return Para(show(say("", " ").join(parts)), "bad")


def _places(facts: doc.Document, say: Words) -> str:
    regions = ", ".join(r.region for r in facts.regions)
    return say(
        f"{len(facts.sources)} 个数据源；区域 {regions}", f"{len(facts.sources)} sources; regions {regions}"
    )


def _by_status(say: Words, statuses: Sequence[str]) -> str:
    counts = Counter(statuses)
    listed = say("，", ", ").join(f"{say.status(name)} {n}" for name, n in sorted(counts.items()))
    return f"{len(statuses)}" + (say("：", ": ") + listed if listed else "")


def _copies_cell(facts: doc.Document, say: Words) -> Cell:
    copies = [c for b in facts.backups if b.status in GOOD and b.expired_at is None for c in b.copies]
    lacking = sum(c.state == "lacking" for c in copies)
    return cell(
        say(
            f"已读回核对 {len(copies) - lacking}，缺少 {lacking}",
            f"{len(copies) - lacking} read back and verified, {lacking} lacking",
        ),
        "warn" if lacking else "",
    )


def _tests_cell(facts: doc.Document, say: Words) -> Cell:
    bad = sum(t.status in ("failed", "error") for t in facts.restore_tests)
    text = _by_status(say, [t.status for t in facts.restore_tests])
    if facts.untested:
        text += say(f"；未测试 {len(facts.untested)}", f"; not tested {len(facts.untested)}")
    return cell(text, "bad" if bad or facts.untested else "")


def _signed_cell(facts: doc.Document, say: Words) -> Cell:
    decided = [s.decision or "" for s in facts.sign_offs]
    waiting = sum(not d for d in decided)
    text = _by_status(say, [d for d in decided if d])
    if waiting:
        text += say(f"；等待签署 {waiting}", f"; waiting {waiting}")
    return cell(text)


def _findings_cell(facts: doc.Document, say: Words) -> Cell:
    opened = sum(facts.period.since <= f.opened_at < facts.period.cut for f in facts.findings)
    closed = sum(f.closed_at is not None for f in facts.findings)
    later = sum(f.opened_at >= facts.period.cut for f in facts.findings)
    still = len(facts.findings) - closed
    return cell(
        say(
            f"列出 {len(facts.findings)} 项：期间内打开 {opened}，之后就本期打开 {later}；"
            f"其中已关闭 {closed}，未关闭 {still}",
            f"{len(facts.findings)} listed: {opened} opened in the period, {later} opened later about it; "
            f"{closed} are closed, {still} open",
        ),
        "bad" if still else "",
    )
