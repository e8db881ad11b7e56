"""Under which rules: what regions enforce, gates, holds, keys, policies, removals."""

import json
from typing import Any

from tidewatch.evidence.report import document as doc
from tidewatch.evidence.report.blocks import (
    Block,
    Cell,
    Column,
    Heading,
    Para,
    Section,
    Table,
    Tone,
    cell,
    show,
)
from tidewatch.evidence.report.document import ReportFile
from tidewatch.evidence.report.words import Words, count


def probes(report: ReportFile, say: Words) -> Section:
    """What each region was found to honour: can it really refuse a delete?"""
    facts = report.facts
    regions = [p.region for p in facts.probes]
    questions = list(dict.fromkeys(q.question for p in facts.probes for q in p.questions))
    answers = {(p.region, q.question): q for p in facts.probes for q in p.questions}
    required = {q.question for p in facts.probes for q in p.questions if q.required}
    blocks: list[Block] = [
        Para(
            say(
                "探测以小对象实际尝试：写入、覆盖、错误的校验和、删除已锁定的版本、缩短锁定。"
                "下表为期间内最后一次回答；括号内为不符合的次数。标 * 的是必须满足的。",
                "A probe tries with small objects: writing, overwriting, a wrong checksum, deleting a locked "
                "version, shortening a lock. Shown is the last answer of the period, in brackets how often "
                "it was not as it should be. Those with * are required.",
            ),
            "mild",
        ),
        Table(
            [
                Column(say("区域", "Region"), 1.4),
                Column(say("探测次数", "Probes"), 1, number=True),
                Column(say("有探测的天数", "Days probed"), 1, number=True),
                Column(say("不合格次数", "Lacking"), 1, number=True),
                Column(say("最后一次", "Last"), 1.6),
                Column(say("配置的锁定", "Lock as configured"), 2),
            ],
            [_region_row(region, facts, say) for region in facts.regions],
            say("没有区域。", "No region."),
        ),
        Heading(say("回答", "Answers")),
        Table(
            [Column(say("问题", "Question"), 2.4), *(Column(show(region), 1.6) for region in regions)],
            [
                [
                    cell(say.question(question) + (" *" if question in required else "")),
                    *(_answer(answers.get((region, question)), say) for region in regions),
                ]
                for question in questions
            ],
            say("期间内没有探测。", "No probe in the period."),
        ),
    ]
    return Section("probes", say("区域探测", "Probes of regions"), blocks)


def _region_row(region: doc.RegionFacts, facts: doc.Document, say: Words) -> list[Cell]:
    probe = next((p for p in facts.probes if p.region == region.region), None)
    lock = (
        say(f"{region.lock_mode}，{region.lock_days} 天", f"{region.lock_mode}, {region.lock_days} days")
        if region.lock_mode
        else say("不在配置中", "not configured")
    )
    lacking = probe.unusable if probe else 0
    days = probe.days if probe else 0
    return [
        cell(f"{region.region} ({region.jurisdiction})" if region.jurisdiction else region.region),
        cell(probe.probes if probe else 0, "" if probe else "bad"),
        cell(f"{days} / {facts.period.judged_days}", "" if days == facts.period.judged_days else "warn"),
        cell(lacking, "bad" if lacking else ""),
        cell(say.when(probe.last_at) if probe else None),
        cell(lock),
    ]


def _answer(question: doc.QuestionFacts | None, say: Words) -> Cell:
    if question is None:
        return cell(None, "mild")
    sign = {True: "✓", False: "×", None: "–"}[question.ok]
    plain = {"yes": say("是", "yes"), "no": say("否", "no")}.get(question.answer, question.answer)
    often = f" ({question.not_ok}/{question.asked})" if question.not_ok else ""
    tone: Tone = "good" if question.ok else "bad" if question.required else "mild"
    return cell(f"{sign} {plain}{often}", "mild" if question.ok is None else tone, cut=120)


def gates(report: ReportFile, say: Words) -> Section:
    """What was judged by which version of which gate."""
    facts = report.facts
    blocks: list[Block] = [
        Table(
            [
                Column(say("质量门", "Gate"), 1.2),
                Column(say("规则版本 SHA-256", "Version, SHA-256"), 2),
                Column(say("判定", "Judged"), 0.9, number=True),
                Column(say("拒绝", "Refused"), 0.9, number=True),
                Column(say("隔离的行", "Quarantined"), 1.1, number=True),
                Column(say("首次", "First"), 1.6),
                Column(say("末次", "Last"), 1.6),
            ],
            [
                [
                    cell(g.gate),
                    cell(g.gate_sha256[:16], code=True),
                    cell(count(g.judged)),
                    cell(count(g.refused), "bad" if g.refused else ""),
                    cell(count(g.quarantined), "warn" if g.quarantined else ""),
                    cell(say.when(g.first_at)),
                    cell(say.when(g.last_at)),
                ]
                for g in facts.gates
            ],
            say("期间内没有判定。", "Nothing was judged in the period."),
        ),
        Heading(say("被拒绝的批次", "Refused batches")),
        Table(
            [
                Column(say("时间", "At"), 1.4),
                Column(say("对象", "Subject"), 3),
                Column(say("原因", "Why"), 5),
            ],
            [
                [cell(say.when(r.judged_at)), cell(r.subject, code=True), cell("; ".join(r.reasons))]
                for r in facts.refusals
            ],
            say("没有。", "None."),
        ),
    ]
    return Section("gates", say("质量门", "Gates"), blocks)


def holds(report: ReportFile, say: Words) -> Section:
    """Legal holds in force at any time in the period."""
    rows = [
        [
            cell(h.hold_id, code=True),
            cell(h.source),
            cell(h.backup_id or _span(h, say)),
            cell(f"{h.holder}: {h.reason}"),
            cell(f"{say.when(h.placed_at)} · {h.placed_by}"),
            cell(f"{say.when(h.lifted_at)} · {h.lifted_by}: {h.lift_reason}")
            if h.lifted_at
            else cell(say("有效", "in force"), "warn"),
        ]
        for h in report.facts.holds
    ]
    table = Table(
        [
            Column(say("编号", "Hold"), 2),
            Column(say("数据源", "Source"), 1),
            Column(say("范围", "Covers"), 1.8),
            Column(say("持有人与理由", "Holder and reason"), 2.6),
            Column(say("设置", "Placed"), 1.6),
            Column(say("解除", "Lifted"), 1.8),
        ],
        rows,
        say("期间内没有法律保全。", "No legal hold in the period."),
    )
    return Section("holds", say("法律保全", "Legal holds"), [table])


def _span(hold: doc.HoldFacts, say: Words) -> str:
    if hold.span_from is None and hold.span_until is None:
        return say("全部备份", "every backup")
    return f"{say.when(hold.span_from)} – {say.when(hold.span_until)}"


def keys(report: ReportFile, say: Words) -> Section:
    """Key ids in use, and changes. Never a key."""
    facts = report.facts
    blocks: list[Block] = [
        Table(
            [
                Column(say("用途", "Purpose"), 1),
                Column(say("密钥编号", "Key id"), 2),
                Column(say("备份数", "Backups"), 1, number=True),
                Column(say("首次", "First"), 1.6),
                Column(say("末次", "Last"), 1.6),
            ],
            [
                [
                    cell(say.status(k.purpose)),
                    cell(k.key_id, code=True),
                    cell(k.backups),
                    cell(say.when(k.first_at)),
                    cell(say.when(k.last_at)),
                ]
                for k in facts.keys
            ],
            say("期间内没有用过密钥。", "No key was used in the period."),
        ),
        Heading(say("密钥变更", "Changes of keys")),
        Table(
            [
                Column(say("时间", "At"), 1.4),
                Column(say("记录", "Record"), 0.8, number=True),
                Column(say("种类", "Kind"), 1.4),
                Column(say("变更", "Change"), 5),
            ],
            [
                [cell(say.when(r.at)), cell(r.seq), cell(r.kind, code=True), cell(_change(r.body))]
                for r in facts.key_changes
            ],
            say("没有。", "None."),
        ),
    ]
    return Section("keys", say("密钥", "Keys"), blocks)


def _change(body: dict[str, Any]) -> str:
    if "new_key_id" in body:
        return f"{body.get('old_key_id')} → {body['new_key_id']}"
    if isinstance(body.get("new"), list):
        return f"{', '.join(map(str, body.get('old', []))) or '–'} → {', '.join(map(str, body['new']))}"
    return json.dumps(body, ensure_ascii=False, sort_keys=True)


def policies(report: ReportFile, say: Words) -> Section:
    """Versions of policies that records name; more than one is a change."""
    facts = report.facts
    rows = [
        [
            cell(p.policy),
            cell(p.version),
            cell(p.records),
            cell(say.when(p.first_at)),
            cell(say.when(p.last_at)),
        ]
        for p in facts.policies
    ]
    rows += [
        [
            cell(say(f"质量门 {g.gate}", f"gate {g.gate}")),
            cell(g.gate_sha256[:16], code=True),
            cell(g.judged),
            cell(say.when(g.first_at)),
            cell(say.when(g.last_at)),
        ]
        for g in facts.gates
    ]
    blocks: list[Block] = [
        Para(
            say(
                "列出记录中出现过的版本；同一策略多于一行即为期间内的变更。",
                "Listed are the versions that records name. More than one line of a policy is a change "
                "within the period.",
            ),
            "mild",
        ),
        Table(
            [
                Column(say("策略", "Policy"), 2.4),
                Column(say("版本", "Version"), 2),
                Column(say("记录数", "Records"), 1, number=True),
                Column(say("首次", "First"), 1.6),
                Column(say("末次", "Last"), 1.6),
            ],
            rows,
            say("期间内没有记录。", "No record in the period."),
        ),
    ]
    blocks += [
        Heading(say("保留规则的变更", "Changes of the rules of retention")),
        Table(
            [
                Column(say("时间", "At"), 1.4),
                Column(say("数据源", "Source"), 1.4),
                Column(say("此前", "Before"), 3),
                Column(say("此后", "After"), 3),
            ],
            [
                [
                    cell(say.when(r.at)),
                    cell(r.body.get("source", r.subject)),
                    cell(r.body.get("old")),
                    cell(r.body.get("new")),
                ]
                for r in facts.policy_changes
            ],
            say("没有。", "None."),
        ),
    ]
    return Section("policies", say("策略及其变更", "Policies and their changes"), blocks)


def _why_removed(kind: str, say: Words) -> str:
    if kind == "removal.done":
        return say("备份到期", "backups at the end of their time")
    return say("未完成备份的残留", "left by unfinished attempts")


def removals(report: ReportFile, say: Words) -> Section:
    """What was removed on purpose."""
    facts = report.facts
    blocks: list[Block] = [
        Table(
            [
                Column(say("备份", "Backup"), 3.4),
                Column(say("快照", "Snapshot"), 1.6),
                Column(say("保留级别", "Kept as"), 1.6),
                Column(say("开始清除", "Removal began"), 1.6),
            ],
            [
                [
                    cell(e.backup_id, code=True),
                    cell(say.when(e.snapshot_at)),
                    cell(", ".join(say.status(g) for g in e.generations)),
                    cell(say.when(e.expired_at)),
                ]
                for e in facts.expired
            ],
            say("期间内没有因到期而清除的备份。", "No backup was removed at the end of its time."),
        ),
        Heading(say("从区域中清除的对象", "What was removed from the regions")),
        Table(
            [
                Column(say("时间", "At"), 1.4),
                Column(say("为何", "Why"), 2.4),
                Column(say("区域", "Region"), 1.4),
                Column(say("对象数", "Objects"), 1, number=True),
                Column(say("字节", "Bytes"), 1.2, number=True),
                Column(say("记录", "Record"), 0.8, number=True),
            ],
            [
                [
                    cell(say.when(r.at)),
                    cell(_why_removed(r.kind, say)),
                    cell(r.subject),
                    cell(r.body.get("keys")),
                    cell(r.body.get("bytes")),
                    cell(r.seq),
                ]
                for r in facts.removals
            ],
            say("没有。", "None."),
        ),
    ]
    return Section("removals", say("保留期满与清除", "Retention and removals"), blocks)
