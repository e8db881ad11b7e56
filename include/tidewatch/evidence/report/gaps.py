"""What did not happen becomes a finding: a day without a backup, a source never tried, a region from which
nothing was restored.

Such a finding is never closed by itself. A day that has passed cannot be backed up any more, and a backup
that turns up later (a catalogue that was rebuilt) is for a person to look at. Nor is one that a person has
closed opened again when the report is made once more: the day stays a gap in the calendar, with what was said
to it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tidewatch.core.database import Connection, execute
from tidewatch.evidence.findings import open_finding
from tidewatch.evidence.report import calendar
from tidewatch.evidence.report.document import GAPS, DayFacts, Document

RESTORE_MISSING = "restore.missing"

_SAID = {
    "missing": ("没有任何备份尝试", "no backup was tried"),
    "failed": ("备份尝试均失败", "every attempt failed"),
    "unfinished": ("备份尝试没有结束", "no attempt came to an end"),
    "refused": ("备份被质量门拒绝，尚未被接受", "the backup was refused by the gate and is not accepted"),
}


@dataclass(frozen=True)
class Gap:
    """A finding to be opened."""

    key: str
    kind: str
    severity: Literal["warning", "critical"]
    source: str
    region: str | None
    subject: str
    said_zh: str
    said_en: str
    detail: dict[str, Any]


def gaps(facts: Document) -> list[Gap]:
    """Every gap of the period, in a fixed order."""
    zone = facts.period.timezone
    found = [_day(day, zone) for day in facts.days if day.state in GAPS]
    found += [
        Gap(
            calendar.never_key(s.source),
            calendar.NEVER,
            "critical",
            s.source,
            None,
            s.source,
            f"数据源 {s.source} 已配置，但从未尝试备份",
            f"Source {s.source} is configured and was never backed up",
            {"month": facts.period.month},
        )
        for s in facts.sources
        if s.expected_from is None
    ]
    found += [
        Gap(
            u.finding,
            RESTORE_MISSING,
            "warning",
            u.source,
            u.region,
            f"{u.source} {u.region} {facts.period.month}",
            f"{facts.period.month} 没有从区域 {u.region} 对数据源 {u.source} 做恢复测试",
            f"No restore of source {u.source} from region {u.region} was tested in {facts.period.month}",
            {"month": facts.period.month},
        )
        for u in facts.untested
    ]
    return found


def _day(day: DayFacts, zone: str) -> Gap:
    said_zh, said_en = _SAID[day.state]
    return Gap(
        str(day.finding),
        calendar.MISSING,
        "warning" if day.state == "refused" else "critical",
        day.source,
        None,
        f"{day.source} {day.day.isoformat()}",
        f"数据源 {day.source} 在 {day.day.isoformat()}（{zone}）没有可用的备份：{said_zh}",
        f"Source {day.source} has no good backup of {day.day.isoformat()} ({zone}): {said_en}",
        {"day": day.day.isoformat(), "state": day.state, "backups": day.backups},
    )


def open_all(conn: Connection, found: list[Gap], now: datetime) -> int:
    """Open those that were never opened before; returns how many. In the caller's transaction."""
    rows = execute(conn, "evidence/report_known_findings", {"keys": [g.key for g in found]})
    known = {row["key"] for row in rows}
    new = [gap for gap in found if gap.key not in known]
    for gap in new:
        open_finding(conn, **vars(gap), now=now)
    return len(new)
