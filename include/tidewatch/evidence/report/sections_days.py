"""The calendar, what is missing in it, and every backup."""

from tidewatch.evidence.report import document as doc
from tidewatch.evidence.report.blocks import (
    Block,
    Calendar,
    Cell,
    Column,
    Heading,
    Line,
    Para,
    Section,
    Table,
    Tone,
    cell,
    show,
)
from tidewatch.evidence.report.calendar import GOOD
from tidewatch.evidence.report.document import ReportFile
from tidewatch.evidence.report.tones import status_cell
from tidewatch.evidence.report.words import Words, count, size

_SIGNS: dict[doc.CellState, tuple[str, Tone]] = {
    "verified": ("●", "good"),
    "lacking": ("×", "warn"),
    "refused": ("▲", "bad"),
    "none": ("○", "bad"),
    "not_planned": ("–", "mild"),
    "not_expected": ("·", "mild"),
    "future": ("", "mild"),
}


def calendar(report: ReportFile, say: Words) -> Section:
    """Days x sources x regions."""
    facts = report.facts
    regions = [r.region for r in facts.regions]
    by_source: dict[str, list[doc.DayFacts]] = {}
    for day in facts.days:
        by_source.setdefault(day.source, []).append(day)
    lines = [
        Line(
            source=show(source),
            region=show(region),
            cells=[Cell(*_SIGNS[d.regions[region]]) for d in days],
            first=number == 0,
            lines=len(regions),
        )
        for source, days in by_source.items()
        for number, region in enumerate(regions)
    ]
    numbers = sorted({d.day.day for d in facts.days}) or list(range(1, facts.period.days + 1))
    blocks: list[Block] = [
        Para(
            say(
                "每格为一个数据源在一个区域的一天。备份按其快照时刻归日；没有快照的按开始时刻。",
                "Each cell is one source in one region on one day. A backup belongs to the day of its "
                "snapshot; one without a snapshot to the day on which it began.",
            ),
            "mild",
        ),
        Calendar(
            [str(n) for n in numbers], lines, _legend(say), say("数据源", "Source"), say("区域", "Region")
        ),
        Heading(say("数据源", "Sources")),
        Table(
            [
                Column(say("数据源", "Source"), 2),
                Column(say("类型", "Type"), 1),
                Column(say("数据类别", "Data class"), 1),
                Column(say("应备份期间", "Expected"), 2.2),
                Column(say("应备份天数", "Days"), 1, number=True),
                Column(say("有备份", "Covered"), 1, number=True),
                Column(say("说明", "Note"), 2.6),
            ],
            [_source_row(s, say) for s in facts.sources],
            say("没有数据源。", "No source."),
        ),
        Para(
            say(
                "一个数据源从第一次尝试备份之日起应有备份；不再配置的，到最后一次尝试之日为止。",
                "A source is expected from the day of its first attempt on; one that is no longer configured "
                "up to the day of its last.",
            ),
            "mild",
        ),
    ]
    return Section("calendar", say("备份日历", "Calendar of backups"), blocks)


def _legend(say: Words) -> list[Cell]:
    return [
        cell("● " + say("已读回核对", "verified there"), "good"),
        cell("× " + say("有备份，此区域缺副本", "backup made, copy lacking here"), "warn"),
        cell("▲ " + say("被质量门拒绝", "refused by the gate"), "bad"),
        cell("○ " + say("没有备份（发现项）", "no backup (a finding)"), "bad"),
        cell("– " + say("不存放于此", "not kept here"), "mild"),
        cell("· " + say("不在应备份期间", "not expected"), "mild"),
    ]


def _source_row(source: doc.SourceFacts, say: Words) -> list[Cell]:
    if source.expected_from is None:
        span, note, tone = "–", say("已配置，从未备份", "configured, never backed up"), "bad"
    else:
        span = f"{source.expected_from} – {source.expected_until}"
        note, tone = (say("不再配置", "no longer configured"), "warn") if source.ended else ("", "")
    short = source.covered_days < source.expected_days
    return [
        cell(source.source, code=True),
        cell(say.status(source.source_type)),
        cell(source.data_class),
        cell(span),
        cell(source.expected_days),
        cell(source.covered_days, "bad" if short else ""),
        cell(note, "bad" if tone == "bad" else "warn" if tone else ""),
    ]


def findings(report: ReportFile, say: Words) -> Section:
    """Days without a backup, and what else is not as it must be."""
    facts = report.facts
    rows = [
        [
            status_cell(say, f.severity),
            cell(say(f.said_zh, f.said_en)),
            cell(f.key, code=True),
            cell(say.when(f.opened_at)),
            cell(say("未关闭", "open"), "bad")
            if f.closed_at is None
            else cell(f"{say.when(f.closed_at)} · {f.closed_by}: {f.closed_why}"),
        ]
        for f in facts.findings
    ]
    blocks: list[Block] = [
        Para(
            say(
                "列出期间内任何时候未关闭的发现项，以及关于期间内某天的发现项。过去的一天无法补做备份，"
                "因此这类发现项不会自动关闭：由人说明原因后关闭，日历中的空缺仍然保留。",
                "Listed is what was open at any time in the period, and what is about a day of it. A day "
                "that has passed cannot be backed up any more: such a finding is never closed by itself. A "
                "person closes it with an explanation; the gap in the calendar stays.",
            ),
            "mild",
        ),
        Table(
            [
                Column(say("程度", "Severity"), 0.9),
                Column(say("发现", "What was found"), 4),
                Column(say("编号", "Key"), 2.4),
                Column(say("打开", "Opened"), 1.4),
                Column(say("关闭", "Closed"), 2.4),
            ],
            rows,
            say("没有发现项。", "No findings."),
        ),
    ]
    return Section("findings", say("发现项", "Findings"), blocks)


def backups(report: ReportFile, say: Words) -> Section:
    """Every attempt of the period."""
    facts = report.facts
    lacking = [
        [
            cell(b.backup_id, code=True),
            cell(c.region),
            cell(f"{c.verified_objects} / {c.objects}", "warn"),
            cell(c.error),
        ]
        for b in facts.backups
        if b.status in GOOD and b.expired_at is None
        for c in b.copies
        if c.state == "lacking"
    ]
    blocks: list[Block] = [
        Table(
            [
                Column(say("备份", "Backup"), 3.4),
                Column(say("快照", "Snapshot"), 1.6),
                Column(say("状态", "Status"), 1),
                Column(say("副本", "Copies"), 0.9, number=True),
                Column(say("行 / 文件", "Rows / files"), 1.2, number=True),
                Column(say("原始大小", "Plain"), 1.1, number=True),
                Column(say("锁定至", "Locked until"), 1.6),
            ],
            [_backup_row(b, say) for b in facts.backups],
            say("期间内没有备份。", "No backup in the period."),
        ),
        Heading(say("缺少的副本", "Copies that are lacking")),
        Table(
            [
                Column(say("备份", "Backup"), 3),
                Column(say("区域", "Region"), 1),
                Column(say("已核对对象", "Objects verified"), 1),
                Column(say("原因", "Why"), 4),
            ],
            lacking,
            say(
                "没有：每个有效备份都在其全部区域核对过。",
                "None: each good backup is verified in all its regions.",
            ),
        ),
        Heading(say("失败、存疑与人工决定", "Failures, refusals and decisions")),
        Table(
            [
                Column(say("备份", "Backup"), 3),
                Column(say("状态", "Status"), 1),
                Column(say("原因", "Why"), 3.5),
                Column(say("决定", "Decision"), 2.5),
            ],
            [
                [
                    cell(b.backup_id, code=True),
                    status_cell(say, b.status),
                    cell(b.error),
                    cell(
                        f"{say.when(b.decided_at)} · {b.decided_by}: {b.decision_reason}"
                        if b.decided_by
                        else None
                    ),
                ]
                for b in facts.backups
                if b.status not in ("sealed", "degraded")
            ],
            say("没有。", "None."),
        ),
    ]
    return Section("backups", say("备份", "Backups"), blocks)


def _backup_row(backup: doc.BackupFacts, say: Words) -> list[Cell]:
    verified = sum(c.state == "verified" for c in backup.copies)
    until = [c.retain_until for c in backup.copies if c.retain_until]
    return [
        cell(backup.backup_id, code=True),
        cell(say.when(backup.snapshot_at or backup.started_at)),
        status_cell(say, backup.status),
        cell(f"{verified} / {len(backup.copies)}", "" if verified == len(backup.copies) else "warn"),
        cell(count(backup.rows if backup.rows is not None else backup.files)),
        cell(size(backup.plain_bytes)),
        cell(say("已清除", "removed") if backup.expired_at else say.when(min(until, default=None))),
    ]
