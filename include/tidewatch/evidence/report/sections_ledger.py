"""What pins all of it: the ledger, its anchors, the mapping to controls, and how to check this report."""

from collections.abc import Mapping
from itertools import groupby

from tidewatch.evidence.report import document as doc
from tidewatch.evidence.report.blocks import (
    Block,
    Cell,
    Code,
    Column,
    Facts,
    Heading,
    Para,
    Section,
    Table,
    cell,
    show,
)
from tidewatch.evidence.report.document import ReportFile
from tidewatch.evidence.report.words import Words, count


def ledger(report: ReportFile, say: Words) -> Section:
    """The end of the chain at the end of the period, and what pins it."""
    facts = report.facts.ledger
    blocks: list[Block] = [
        Facts(
            [
                (say("期末最后一条记录", "Last record of the period"), cell(count(facts.seq))),
                (say("其哈希", "Its hash"), cell(facts.hash, code=True)),
                (say("其时间", "Its time"), cell(say.when(facts.at))),
                (
                    say("清单中的签名末端", "Signed heads in manifests"),
                    cell(
                        say(
                            f"{facts.heads_in_manifests} 个备份的清单带有签名的账本末端，最后一个为记录 "
                            f"{facts.last_head_in_manifest or '–'}",
                            f"manifests of {facts.heads_in_manifests} backups carry one, the last of record "
                            f"{facts.last_head_in_manifest or '–'}",
                        )
                    ),
                ),
            ]
        ),
        Heading(say("各区域的锚点", "Anchors in the regions")),
        Table(
            [
                Column(say("时间", "At"), 1.4),
                Column(say("记录", "Record"), 0.8, number=True),
                Column(say("缘由", "Why"), 2),
                Column(say("内容", "Says"), 5),
            ],
            [_anchor_row(r, say) for r in facts.anchors],
            say(
                "期间内没有单独的锚点；清单中的签名末端仍然有效。",
                "No anchors of their own in the period; the signed heads in manifests count all the same.",
            ),
        ),
        Heading(say("期间内的记录", "Records of the period")),
        Table(
            [Column(say("种类", "Kind"), 3), Column(say("记录数", "Records"), 1, number=True)],
            [[cell(k.kind, code=True), cell(count(k.records))] for k in facts.kinds],
            say("没有记录。", "No records."),
        ),
    ]
    return Section("ledger", say("账本与锚点", "Ledger and anchors"), blocks)


def _anchor_row(record: doc.RecordFacts, say: Words) -> list[Cell]:
    body = record.body
    places = [p for p in body.get("places", []) if isinstance(p, dict)]
    kept = [str(p.get("place", {}).get("region")) for p in places if p.get("state") == "verified"]
    missed = [str(p.get("place", {}).get("region")) for p in places if p.get("state") != "verified"]
    said = say(
        f"记录 {body.get('seq')}，由密钥 {body.get('key_id')} 签名，存放于 {', '.join(kept) or '–'}",
        f"record {body.get('seq')}, signed by key {body.get('key_id')}, kept in {', '.join(kept) or '–'}",
    )
    if missed:
        said += say(f"；未存放于 {', '.join(missed)}", f"; not in {', '.join(missed)}")
    return [
        cell(say.when(record.at)),
        cell(record.seq),
        cell(body.get("why")),
        cell(said, "warn" if missed else ""),
    ]


def verify(report: ReportFile, say: Words) -> Section:
    """What a reader does who does not believe us."""
    month = report.facts.period.month
    blocks: list[Block] = [
        Para(
            say(
                "本报告的每个文件的 SHA-256 都写入了账本（记录 report.made，主题 "
                f"compliance/{month}）。账本是仅追加的哈希链，其末端经签名后保存在每个区域。",
                f"The SHA-256 of each file of this report is in the ledger (record report.made of "
                f"compliance/{month}). The ledger is an append-only chain of hashes; its head is signed and "
                "kept in every region.",
            )
        ),
        Para(
            say(
                "1. 文件与摘要相符：在报告所在目录执行",
                "1. The files fit their digests: in the report's directory",
            )
        ),
        Code(["sha256sum -c SHA256SUMS"]),
        Para(
            say(
                "2. 摘要与账本相符：比较 SHA256SUMS 与账本中的记录",
                "2. The digests are those of the ledger: compare SHA256SUMS with its record",
            )
        ),
        Code([f"tidewatch ledger list --kind report.made --subject compliance/{month}"]),
        Para(
            say(
                "3. 账本未被改动，并且仍包含保存在区域中的签名末端",
                "3. The ledger was not altered, and still contains the signed head that a region keeps",
            )
        ),
        Code(["tidewatch ledger verify --region " + show(_a_region(report))]),
        Para(
            say(
                "4. 内容可以重算：report.json 中 facts 的 RFC 8785 规范形式的 SHA-256 即为 facts_sha256；"
                "HTML、PDF 与 CSV 都只由它生成，事实相同则字节相同。不信任本机的审计人员按 docs/evidence.md "
                "使用自己的公钥核对。",
                "4. The content can be computed again: facts_sha256 is the SHA-256 of the RFC 8785 form of "
                "facts in report.json. HTML, PDF and CSV are made of it alone: the same facts give the same "
                "bytes. An auditor who does not trust this machine follows docs/evidence.md with a public "
                "key of their own.",
            )
        ),
        Para(
            say(
                "账本证明记录在锚定之后没有被改动或删去，不证明所写的内容属实。",
                "The ledger proves that nothing was changed or cut after it was anchored, not that what was "
                "written was true.",
            ),
            "mild",
        ),
    ]
    return Section("verify", say("如何核验本报告", "How to verify this report"), blocks)


def _a_region(report: ReportFile) -> str:
    return report.facts.regions[0].region if report.facts.regions else "NAME"


def controls(report: ReportFile, say: Words, titles: Mapping[str, str]) -> Section:
    """Which section speaks about which control. `titles`: name of a section -> its numbered title."""
    blocks: list[Block] = [
        Para(
            say(
                "以下对照由我们自己编制（config/controls.yaml），未经任何标准组织、审计机构或主管部门审阅；"
                "只引用编号与名称，是否满足要求由审计人员判断。",
                "This mapping is ours (config/controls.yaml). No standards body, auditor or authority has "
                "reviewed it. Only numbers and titles are cited; whether a requirement is met is for the "
                "auditor to judge.",
            ),
            "warn",
        )
    ]
    by_framework = groupby(report.facts.controls, key=lambda c: (c.framework_zh, c.framework_en))
    for (name_zh, name_en), listed in by_framework:
        blocks.append(Heading(show(say(name_zh, name_en))))
        blocks.append(
            Table(
                [
                    Column(say("编号", "Control"), 0.9),
                    Column(say("名称", "Title"), 2),
                    Column(say("见本报告", "See"), 2.4),
                    Column(say("为何", "Why"), 4),
                ],
                [
                    [
                        cell(c.id),
                        cell(say(c.name_zh, c.name_en)),
                        cell(say("；", "; ").join(titles.get(name, name) for name in c.sections)),
                        cell(say(c.why_zh, c.why_en)),
                    ]
                    for c in listed
                ],
                "",
            )
        )
    return Section("controls", say("与控制项的对照", "Mapping to controls"), blocks)
