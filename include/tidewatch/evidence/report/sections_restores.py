"""What was restored for real, how long it took, what differed, who signed."""

from tidewatch.evidence.report import document as doc
from tidewatch.evidence.report.blocks import (
    Block,
    Cell,
    Column,
    Heading,
    Para,
    Section,
    Table,
    cell,
    show,
)
from tidewatch.evidence.report.document import ReportFile
from tidewatch.evidence.report.tones import STATUS_TONE, status_cell
from tidewatch.evidence.report.words import PHASES, Words


def restores(report: ReportFile, say: Words) -> Section:
    """Restore tests with targets and measured figures, what differed, who signed."""
    facts = report.facts
    blocks: list[Block] = [
        Table(
            [
                Column(say("数据源", "Source"), 1.8),
                Column(say("区域", "Region"), 1.2),
                Column(say("备份", "Backup"), 3),
                Column(say("结果", "Result"), 1),
                Column(say("RTO 实测 / 目标", "RTO / target"), 1.9),
                Column(say("RPO 实测 / 目标", "RPO / target"), 1.9),
                Column(say("阶段", "Phases"), 2.6),
            ],
            [_test_row(t, say) for t in facts.restore_tests],
            say("期间内没有恢复测试。", "No restore test in the period."),
        ),
        Heading(say("差异", "Differences")),
        Table(
            [
                Column(say("测试", "Test"), 2.6),
                Column(say("核对项", "Check"), 1.4),
                Column(say("应为", "Expected"), 2),
                Column(say("实为", "Found"), 2),
                Column(say("查看", "Where"), 2),
            ],
            [
                [
                    cell(t.test_id, code=True),
                    cell(c.name),
                    cell(c.expected),
                    cell(c.found, "bad"),
                    cell(c.where),
                ]
                for t in facts.restore_tests
                for c in t.failed_checks
            ]
            + [
                [
                    cell(t.test_id, code=True),
                    cell(say("出错", "error")),
                    cell(None),
                    cell(t.error, "bad"),
                    cell(None),
                ]
                for t in facts.restore_tests
                if t.error
            ],
            say("没有。", "None."),
        ),
        Heading(say("签署", "Sign-offs")),
        Table(
            [
                Column(say("运行", "Run"), 3),
                Column(say("测试", "Tests"), 1),
                Column(say("决定", "Decision"), 1.2),
                Column(say("签署人", "By"), 2.4),
                Column(say("报告 SHA-256", "Report SHA-256"), 2.4),
            ],
            [_sign_off_row(s, say) for s in facts.sign_offs],
            say("没有。", "None."),
        ),
    ]
    if facts.untested:
        listed = ", ".join(f"{u.source} / {u.region}" for u in facts.untested)
        blocks.insert(
            1,
            Para(
                show(say(f"本月没有恢复测试：{listed}", f"No restore test this month: {listed}"), cut=4000),
                "bad",
            ),
        )
    if facts.restores:
        blocks += [
            Heading(say("测试以外的恢复", "Restores other than tests")),
            Table(
                [
                    Column(say("时间", "At"), 1),
                    Column(say("对象", "Subject"), 3),
                    Column(say("记录", "Record"), 1, number=True),
                ],
                [[cell(say.when(r.at)), cell(r.subject, code=True), cell(r.seq)] for r in facts.restores],
                "",
            ),
        ]
    return Section("restores", say("恢复测试", "Restore tests"), blocks)


def _test_row(test: doc.RestoreTestFacts, say: Words) -> list[Cell]:
    phases = ", ".join(
        f"{say.status(k)} {say.seconds(v)}" for k, v in sorted(test.phases.items(), key=_in_order)
    )
    attempt = say(f"（第 {test.attempt} 次）", f" (attempt {test.attempt})") if test.attempt > 1 else ""
    return [
        cell(test.source),
        cell(test.region),
        cell(test.backup_id, code=True),
        cell(say.status(test.status) + attempt, STATUS_TONE.get(test.status, "")),
        _against(test.rto_seconds, test.rto_target, say),
        _against(test.rpo_seconds, test.rpo_target, say),
        cell(phases),
    ]


def _in_order(phase: tuple[str, float]) -> tuple[int, str]:
    name = phase[0]
    return (PHASES.index(name) if name in PHASES else len(PHASES), name)


def _against(measured: float | None, target: float | None, say: Words) -> Cell:
    missed = measured is not None and target is not None and measured > target
    return cell(f"{say.seconds(measured)} / {say.seconds(target)}", "bad" if missed else "")


def _sign_off_row(sign_off: doc.SignOffFacts, say: Words) -> list[Cell]:
    decision = (
        cell(say("等待签署", "waiting"), "warn")
        if sign_off.decision is None
        else status_cell(say, sign_off.decision)
    )
    by = (
        f"{sign_off.signed_by} · {say.when(sign_off.signed_at)} · {sign_off.via} {sign_off.note}".strip()
        if sign_off.signed_by
        else None
    )
    return [
        cell(sign_off.run_id, code=True),
        cell(f"{sign_off.tests - sign_off.failed} / {sign_off.tests}", "bad" if sign_off.failed else "good"),
        decision,
        cell(by),
        cell(sign_off.report_sha256, code=True),
    ]
