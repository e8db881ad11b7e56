"""Reads the warehouse into the document: SQL from sql/evidence/report_*.sql, nothing else.

The caller gives a connection on which one snapshot is read (`repeatable read`), so that the parts of a report
agree with each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidewatch.core.database import Connection, execute
from tidewatch.core.regions import RegionsFile
from tidewatch.core.sources import SourcesFile
from tidewatch.evidence.report import calendar
from tidewatch.evidence.report import document as doc
from tidewatch.evidence.report.config import ControlsFile
from tidewatch.evidence.report.period import Period

_LISTED = 10
"""Of lists within a line: the database has all of them."""

KEY_KINDS = ("keys.changed", "keys.rotated")
DECISION_KINDS = ("decision.made",)
RESTORE_KINDS = ("restore.done",)
REMOVAL_KINDS = ("removal.done", "orphans.removed")
POLICY_KINDS = ("retention.changed",)
ANCHOR_KINDS = ("ledger.anchored",)


@dataclass(frozen=True)
class Configuration:
    """What is configured when the report is made."""

    sources: SourcesFile
    regions: RegionsFile
    controls: ControlsFile


def gather(conn: Connection, period: Period, config: Configuration) -> doc.Document:
    """The facts of the period as the database has them now."""
    span = {"since": period.since, "cut": period.cut}
    rows = execute(conn, "evidence/report_backups", span).fetchall()
    regions = calendar.region_order([r.name for r in config.regions.regions], rows)
    backups = _backups(conn, period, rows)
    tried = execute(conn, "evidence/report_sources").fetchall()
    configured = {s.name: (s.type, s.data_class) for s in config.sources.sources}
    expected = calendar.sources(
        period,
        [calendar.Tried(**{k: v for k, v in row.items() if k != "first_good_at"}) for row in tried],
        configured,
    )
    days = calendar.calendar(period, expected, backups, regions)
    tests = [_restore_test(row) for row in execute(conn, "evidence/report_restore_tests", span)]
    untested = _untested(period, expected, tried, config, tests)
    about = sorted({d.finding for d in days if d.finding} | {u.finding for u in untested})
    return doc.Document(
        period=_period(period),
        sources=calendar.with_coverage(expected, days),
        regions=[_region(name, config.regions) for name in regions],
        days=days,
        backups=backups,
        restore_tests=tests,
        sign_offs=[_sign_off(row) for row in execute(conn, "evidence/report_sign_offs", span)],
        untested=untested,
        restores=_records(conn, span, RESTORE_KINDS),
        probes=_probes(period, execute(conn, "evidence/report_probes", span).fetchall()),
        gates=[_gate(row) for row in execute(conn, "evidence/report_gates", span)],
        refusals=[
            doc.RefusalFacts(**row | {"reasons": row["reasons"][:_LISTED]})
            for row in execute(conn, "evidence/report_refusals", span)
        ],
        findings=[
            doc.FindingFacts(**row)
            for row in execute(conn, "evidence/report_findings", span | {"keys": about})
        ],
        holds=[doc.HoldFacts(**row) for row in execute(conn, "evidence/report_holds", span)],
        keys=_keys(backups),
        key_changes=_records(conn, span, KEY_KINDS),
        policies=[doc.PolicyFacts(**row) for row in execute(conn, "evidence/report_policies", span)],
        policy_changes=_records(conn, span, POLICY_KINDS),
        decisions=_records(conn, span, DECISION_KINDS),
        expired=[doc.ExpiredFacts(**row) for row in execute(conn, "evidence/report_expired", span)],
        removals=_records(conn, span, REMOVAL_KINDS),
        ledger=_ledger(conn, span, rows),
        controls=_controls(config.controls),
    )


def _period(period: Period) -> doc.PeriodFacts:
    return doc.PeriodFacts(
        month=period.month,
        timezone=period.timezone,
        since=period.since,
        until=period.until,
        cut=period.cut,
        days=len(period.days),
        judged_days=len(period.judged),
        judged_until=period.judged[-1],
        complete=period.complete,
    )


def _region(name: str, file: RegionsFile) -> doc.RegionFacts:
    config = next((r for r in file.regions if r.name == name), None)
    return doc.RegionFacts(
        region=name,
        jurisdiction=config and config.jurisdiction,
        provider=config and config.provider,
        bucket=config and config.bucket,
        required=config and config.required,
        lock_mode=config and config.lock_mode,
        lock_days=config and config.lock_days,
    )


# -- backups -----------------------------------------------------------------------------------------------


def _backups(conn: Connection, period: Period, rows: Sequence[dict[str, Any]]) -> list[doc.BackupFacts]:
    ids = [row["backup_id"] for row in rows]
    signers = {
        r["backup_id"]: r["key_id"] for r in execute(conn, "evidence/report_signers", {"backup_ids": ids})
    }
    return [_backup(period, row, signers.get(row["backup_id"])) for row in rows]


def _backup(period: Period, row: Mapping[str, Any], signer: str | None) -> doc.BackupFacts:
    totals = row["totals"] or {}
    policy = f"{row['policy_id']} {row['policy_version']}" if row["policy_id"] else None
    same = (
        "backup_id", "source", "source_type", "status", "started_at", "snapshot_at", "ended_at", "dag_id",
        "run_id", "manifest_sha256", "generations", "expired_at", "decided_by", "decided_at",
        "decision_reason", "error",
    )  # fmt: skip
    return doc.BackupFacts(
        **{name: row[name] for name in same},
        day=period.day_of(row["snapshot_at"] or row["started_at"]),
        tables=totals.get("tables"),
        rows=totals.get("rows"),
        files=totals.get("files"),
        plain_bytes=totals.get("plain_size", 0),
        stored_bytes=totals.get("cipher_size", 0),
        encryption_keys=row["encryption_keys"] or [],
        signing_key=signer,
        policy=policy,
        copies=_copies(row),
    )


def _copies(row: Mapping[str, Any]) -> list[doc.CopyFacts]:
    """Of each region that the backup was planned for; one without any object there lacks its copy."""
    known = {copy["region"]: copy for copy in row["copies"]}
    nothing: dict[str, Any] = {
        "objects": 0, "verified": 0, "bytes": 0, "lock_modes": [], "retain_until": None,
        "read_back_at": None, "error": None,
    }  # fmt: skip
    copies = []
    for region in sorted({*known, *row["planned"]}):
        copy = known.get(region, nothing)
        whole = copy["objects"] > 0 and copy["verified"] == copy["objects"]
        copies.append(
            doc.CopyFacts(
                region=region,
                state="verified" if whole else "lacking",
                objects=copy["objects"],
                verified_objects=copy["verified"],
                **{k: copy[k] for k in ("bytes", "lock_modes", "retain_until", "read_back_at", "error")},
            )
        )
    return copies


def _keys(backups: Sequence[doc.BackupFacts]) -> list[doc.KeyFacts]:
    used: dict[tuple[Any, str], list[doc.BackupFacts]] = {}
    for backup in backups:
        for key in backup.encryption_keys:
            used.setdefault(("encryption", key), []).append(backup)
        if backup.signing_key is not None:
            used.setdefault(("signing", backup.signing_key), []).append(backup)
    return [
        doc.KeyFacts(
            purpose=purpose,
            key_id=key,
            backups=len(of_key),
            first_at=min(b.started_at for b in of_key),
            last_at=max(b.started_at for b in of_key),
        )
        for (purpose, key), of_key in sorted(used.items())
    ]


# -- restores ----------------------------------------------------------------------------------------------


def _restore_test(row: Mapping[str, Any]) -> doc.RestoreTestFacts:
    checks = row["checks"] if isinstance(row["checks"], list) else []
    failed = [c for c in checks if isinstance(c, dict) and c.get("ok") is not True]
    return doc.RestoreTestFacts(
        **{k: v for k, v in row.items() if k not in ("checks", "phases")},
        phases={str(k): float(v) for k, v in row["phases"].items() if isinstance(v, int | float)},
        checks=len(checks),
        failed_checks=[
            doc.CheckFacts(**{k: _text(c.get(k)) for k in ("name", "expected", "found", "where")})
            for c in failed[:_LISTED]
        ],
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _sign_off(row: Mapping[str, Any]) -> doc.SignOffFacts:
    return doc.SignOffFacts(report_sha256=row["sha256"], **{k: v for k, v in row.items() if k != "sha256"})


def _untested(
    period: Period,
    expected: Sequence[doc.SourceFacts],
    tried: Sequence[Mapping[str, Any]],
    config: Configuration,
    tests: Sequence[doc.RestoreTestFacts],
) -> list[doc.UntestedFacts]:
    """Sources with a good backup from before the month and no test in it; once the month is over."""
    if not period.complete:
        return []
    old = {t["source"] for t in tried if t["first_good_at"] and t["first_good_at"] < period.since}
    done = {(t.source, t.region) for t in tests}
    planned = {s.name: s.regions or [r.name for r in config.regions.regions] for s in config.sources.sources}
    return [
        doc.UntestedFacts(
            source=s.source, region=region, finding=f"restore.missing/{s.source}/{region}/{period.month}"
        )
        for s in expected
        if s.source in old and not s.ended
        for region in planned.get(s.source, [])
        if (s.source, region) not in done
    ]


# -- regions, gates ----------------------------------------------------------------------------------------


def _probes(period: Period, rows: Sequence[Mapping[str, Any]]) -> list[doc.ProbeFacts]:
    by_region: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_region.setdefault(row["region"], []).append(row)
    return [
        doc.ProbeFacts(
            region=region,
            probes=len(probes),
            unusable=sum(p["usable"] is not True for p in probes),
            days=len({period.day_of(p["at"]) for p in probes}),
            last_at=probes[-1]["at"],
            questions=_questions(probes),
        )
        for region, probes in sorted(by_region.items())
    ]


def _questions(probes: Sequence[Mapping[str, Any]]) -> list[doc.QuestionFacts]:
    """In the order of asking. What was not asked in one probe is answered by the last that asked: a store
    keeps the lock of the day, so some questions are asked once a day."""
    answers: dict[str, list[dict[str, Any]]] = {}
    for probe in probes:
        for answer in probe["answers"] or []:
            answers.setdefault(str(answer.get("question")), []).append(answer)
    return [_question(question, given) for question, given in answers.items()]


def _question(question: str, given: Sequence[dict[str, Any]]) -> doc.QuestionFacts:
    asked = [a for a in given if a.get("ok") is not None]
    last = (asked or given)[-1]
    return doc.QuestionFacts(
        question=question,
        required=bool(last.get("required")),
        answer=_text(last.get("answer")),
        ok=last.get("ok"),
        detail=_text(last.get("detail")),
        asked=len(asked),
        not_ok=sum(a["ok"] is False for a in asked),
    )


def _gate(row: Mapping[str, Any]) -> doc.GateFacts:
    counts = ("judged", "passed", "refused", "staged", "published", "quarantined")
    return doc.GateFacts(**{k: int(v) if k in counts else v for k, v in row.items()})


# -- the ledger --------------------------------------------------------------------------------------------


def _records(conn: Connection, span: Mapping[str, Any], kinds: Sequence[str]) -> list[doc.RecordFacts]:
    rows = execute(conn, "evidence/report_records", {**span, "kinds": list(kinds)})
    return [doc.RecordFacts(**row) for row in rows]


def _ledger(
    conn: Connection, span: Mapping[str, Any], backups: Sequence[Mapping[str, Any]]
) -> doc.LedgerFacts:
    head = execute(conn, "evidence/report_head", dict(span)).fetchone()
    heads = [row["head_seq"] for row in backups if row["head_seq"] is not None]
    return doc.LedgerFacts(
        seq=head["seq"] if head else 0,
        hash=head["hash"] if head else "0" * 64,
        at=head["at"] if head else None,
        kinds=[doc.KindFacts(**row) for row in execute(conn, "evidence/report_kinds", dict(span))],
        anchors=_records(conn, span, ANCHOR_KINDS),
        heads_in_manifests=len(heads),
        last_head_in_manifest=max(heads, default=None),
    )


def _controls(file: ControlsFile) -> list[doc.ControlFacts]:
    return [
        doc.ControlFacts(
            framework_zh=framework.name_zh, framework_en=framework.name_en, **control.model_dump()
        )
        for framework in file.frameworks
        for control in framework.controls
    ]
