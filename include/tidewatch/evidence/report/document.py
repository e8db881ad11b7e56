"""The facts of one report, typed. Everything that is rendered comes from here and from nothing else.

Times are UTC, sizes bytes, durations seconds, digests SHA-256 in hex. Lists are in a fixed order, so that the
same facts are the same bytes.
"""

import json
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tidewatch.core.canonical import digest
from tidewatch.evidence.schemas import Digest, Utc

VERSION = 1

DayState = Literal[
    "covered", "refused", "unfinished", "failed", "missing", "never_backed_up", "not_expected", "future"
]
"""Of one source on one day: `covered` by a good backup; the next four are findings: only a refused one, one
that has not ended, only failed ones, none at all; `never_backed_up` is one finding for the whole source."""
CellState = Literal["verified", "lacking", "refused", "none", "not_planned", "not_expected", "future"]
"""Of one source on one day in one region."""
GAPS: tuple[DayState, ...] = ("refused", "unfinished", "failed", "missing")


class Fact(BaseModel):
    """A part of the document."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PeriodFacts(Fact):
    """The month. Days after `judged_until` are not judged; facts from `cut` on are not told."""

    month: Annotated[str, Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
    timezone: str
    since: Utc
    until: Utc
    cut: Utc
    days: int
    judged_days: int
    judged_until: date
    complete: bool


class SourceFacts(Fact):
    """A source and the days on which a backup of it was expected: from the day of its first attempt on, for
    one that is no longer configured up to its last. Both None: configured, and never tried."""

    source: str
    source_type: str
    data_class: str
    expected_from: date | None
    expected_until: date | None
    ended: bool
    """No longer configured, and its last attempt lies within the month."""
    expected_days: int
    covered_days: int


class RegionFacts(Fact):
    """A region as it is configured; the fields are None for one that only old backups know."""

    region: str
    jurisdiction: str | None
    provider: str | None
    bucket: str | None
    required: bool | None
    lock_mode: str | None
    lock_days: int | None


class DayFacts(Fact):
    """One source on one day of the month. `finding` is the key of its finding, where it has one."""

    day: date
    source: str
    state: DayState
    backups: list[str]
    regions: dict[str, CellState]
    finding: str | None


class CopyFacts(Fact):
    """A backup in one region: `verified` when every object was read back there."""

    region: str
    state: Literal["verified", "lacking"]
    objects: int
    verified_objects: int
    bytes: int
    lock_modes: list[str]
    retain_until: Utc | None
    read_back_at: Utc | None
    error: str | None


class BackupFacts(Fact):
    """One attempt of the month, whatever became of it. `day` is that of its snapshot, or of its beginning."""

    backup_id: str
    source: str
    source_type: str
    day: date
    status: str
    started_at: Utc
    snapshot_at: Utc | None
    ended_at: Utc | None
    dag_id: str
    run_id: str
    tables: int | None
    rows: int | None
    files: int | None
    plain_bytes: int
    stored_bytes: int
    manifest_sha256: Digest | None
    encryption_keys: list[str]
    signing_key: str | None
    policy: str | None
    generations: list[str]
    expired_at: Utc | None
    decided_by: str | None
    decided_at: Utc | None
    decision_reason: str | None
    error: str | None
    copies: list[CopyFacts]


class CheckFacts(Fact):
    """A check of a restore test that was not met."""

    name: str
    expected: str
    found: str
    where: str


class RestoreTestFacts(Fact):
    """One backup restored for real from one region, measured against its targets."""

    test_id: str
    run_id: str
    attempt: int
    source: str
    region: str
    backup_id: str
    choice: str
    status: str
    started_at: Utc
    ended_at: Utc | None
    rto_seconds: float | None
    rto_target: float | None
    rpo_seconds: float | None
    rpo_target: float | None
    phases: dict[str, float]
    checks: int
    failed_checks: list[CheckFacts]
    """The first ten."""
    error: str | None


class SignOffFacts(Fact):
    """The report of a run of restore tests and what a person said to it; None: nobody has yet."""

    run_id: str
    made_at: Utc
    passed: bool
    tests: int
    failed: int
    report_sha256: Digest
    decision: str | None
    signed_by: str | None
    signed_at: Utc | None
    via: str | None
    note: str
    ledger_seq: int | None


class UntestedFacts(Fact):
    """A source that had a backup before the month, and no restore test from this region in it."""

    source: str
    region: str
    finding: str


class QuestionFacts(Fact):
    """A question of the probes: the last answer, and how often in the month it was not as it must be."""

    question: str
    required: bool
    answer: str
    ok: bool | None
    detail: str
    asked: int
    not_ok: int


class ProbeFacts(Fact):
    """What a region was found to enforce, by trying."""

    region: str
    probes: int
    unusable: int
    days: int
    last_at: Utc
    questions: list[QuestionFacts]


class GateFacts(Fact):
    """What one version of one gate judged."""

    gate: str
    gate_sha256: Digest
    judged: int
    passed: int
    refused: int
    staged: int
    published: int
    quarantined: int
    first_at: Utc
    last_at: Utc


class RefusalFacts(Fact):
    """A batch that a gate refused, and the critical expectations it did not meet (the first ten)."""

    gate: str
    subject: str
    run_id: str
    judged_at: Utc
    reasons: list[str]


class FindingFacts(Fact):
    """A finding that was open at any time in the month, or that is about a day of it."""

    key: str
    kind: str
    severity: str
    source: str | None
    region: str | None
    subject: str
    said_zh: str
    said_en: str
    opened_at: Utc
    opened_seq: int
    closed_at: Utc | None
    closed_by: str | None
    closed_why: str | None
    closed_seq: int | None


class HoldFacts(Fact):
    """A legal hold in force at any time in the month."""

    hold_id: str
    source: str
    backup_id: str | None
    span_from: Utc | None
    span_until: Utc | None
    holder: str
    reason: str
    placed_at: Utc
    placed_by: str
    lifted_at: Utc | None
    lifted_by: str | None
    lift_reason: str | None


class KeyFacts(Fact):
    """A key that backups of the month were encrypted to, or that signed their manifests."""

    purpose: Literal["encryption", "signing"]
    key_id: str
    backups: int
    first_at: Utc
    last_at: Utc


class PolicyFacts(Fact):
    """A version of the policy that records of the month name."""

    policy: str
    version: str
    records: int
    first_at: Utc
    last_at: Utc


class RecordFacts(Fact):
    """A record of the ledger, with the part of its body that this report tells."""

    seq: int
    at: Utc
    kind: str
    subject: str
    body: dict[str, Any]


class ExpiredFacts(Fact):
    """A backup whose removal from the regions began in the month."""

    backup_id: str
    source: str
    snapshot_at: Utc | None
    expired_at: Utc
    generations: list[str]


class KindFacts(Fact):
    """How many records of a kind the month has."""

    kind: str
    records: int


class LedgerFacts(Fact):
    """The end of the chain when the period ended, and what pins it."""

    seq: int
    hash: str
    at: Utc | None
    kinds: list[KindFacts]
    anchors: list[RecordFacts]
    heads_in_manifests: int
    """Backups of the month whose manifests carry a signed head, under lock, in every region that has them."""
    last_head_in_manifest: int | None


class ControlFacts(Fact):
    """A control of the mapping in config/controls.yaml."""

    framework_zh: str
    framework_en: str
    id: str
    name_zh: str
    name_en: str
    sections: list[str]
    why_zh: str
    why_en: str


class Document(Fact):
    """The facts of one month."""

    version: Literal[1] = 1
    period: PeriodFacts
    sources: list[SourceFacts]
    regions: list[RegionFacts]
    days: list[DayFacts]
    backups: list[BackupFacts]
    restore_tests: list[RestoreTestFacts]
    sign_offs: list[SignOffFacts]
    untested: list[UntestedFacts]
    restores: list[RecordFacts]
    probes: list[ProbeFacts]
    gates: list[GateFacts]
    refusals: list[RefusalFacts]
    findings: list[FindingFacts]
    holds: list[HoldFacts]
    keys: list[KeyFacts]
    key_changes: list[RecordFacts]
    policies: list[PolicyFacts]
    policy_changes: list[RecordFacts]
    decisions: list[RecordFacts]
    expired: list[ExpiredFacts]
    removals: list[RecordFacts]
    """What was removed from each region: of expired backups, and what unfinished attempts had left."""
    ledger: LedgerFacts
    controls: list[ControlFacts]

    def as_json(self) -> dict[str, Any]:
        """The JSON value that is hashed and written."""
        return self.model_dump(mode="json")

    @property
    def sha256(self) -> str:
        """SHA-256 of the RFC 8785 form: two documents with the same facts have the same."""
        return digest(self.as_json())


class Edition(Fact):
    """Which version of a month's report this is, and which one it takes the place of."""

    number: Annotated[int, Field(ge=1)]
    replaces_facts_sha256: Digest | None


class ReportFile(Fact):
    """report.json."""

    format: Literal["tidewatch-compliance-report"] = "tidewatch-compliance-report"
    edition: Edition
    facts_sha256: Digest
    facts: Document


def schema_text() -> str:
    """What docs/schemas/compliance-report-1.json holds."""
    schema = ReportFile.model_json_schema(mode="serialization")
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Tidewatch compliance report, version 1",
    }
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
