"""The document in one language, as blocks: a pure function, the same for HTML and PDF."""

from collections.abc import Callable, Mapping

from tidewatch.evidence.report import (
    sections_days,
    sections_ledger,
    sections_restores,
    sections_rules,
    sections_summary,
)
from tidewatch.evidence.report.blocks import Page, Section, show
from tidewatch.evidence.report.document import ReportFile
from tidewatch.evidence.report.words import Language, Words

_BUILDERS: Mapping[str, Callable[[ReportFile, Words], Section]] = {
    "summary": sections_summary.summary,
    "calendar": sections_days.calendar,
    "findings": sections_days.findings,
    "backups": sections_days.backups,
    "restores": sections_restores.restores,
    "probes": sections_rules.probes,
    "gates": sections_rules.gates,
    "holds": sections_rules.holds,
    "keys": sections_rules.keys,
    "policies": sections_rules.policies,
    "removals": sections_rules.removals,
    "ledger": sections_ledger.ledger,
    "verify": sections_ledger.verify,
}
SECTIONS = (*_BUILDERS, "controls")
"""What config/controls.yaml may name, in the order of the report."""


def page(report: ReportFile, language: Language) -> Page:
    """Everything that the report says, in `language`."""
    period = report.facts.period
    say = Words(language, period.timezone)
    sections = [build(report, say) for build in _BUILDERS.values()]
    titles = {s.name: f"{number}. {s.title}" for number, s in enumerate(sections, 1)}
    sections.append(sections_ledger.controls(report, say, titles))
    until = period.judged_until.isoformat()
    subtitle = say(
        f"{period.month} 月度报告，第 {report.edition.number} 版；时区 {period.timezone}",
        f"Month {period.month}, version {report.edition.number}; time zone {period.timezone}",
    )
    if not period.complete:
        subtitle += say(f"；当月尚未结束，截至 {until}", f"; the month is not over, up to {until}")
    return Page(
        language=language,
        title=say("备份与恢复合规报告", "Compliance report on backup and restore"),
        subtitle=show(subtitle),
        contents=say("目录", "Contents"),
        page_label=say("第 {} 页，共 {} 页", "page {} of {}"),
        footer=show(
            f"Tidewatch 观潮 · {period.month} · v{report.edition.number} · {report.facts_sha256[:16]}"
        ),
        sections=sections,
    )
