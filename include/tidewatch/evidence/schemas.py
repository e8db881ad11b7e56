"""What a record of each kind must say: the fields an auditor asks for.

The kinds of this table are closed: a record of one of them with a field too many or too few is refused. Kinds
that are not listed (of rooms to come) take any JSON object.

All times are UTC. Sizes are bytes. Digests are SHA-256 in 64 lower-case hex digits.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)

from tidewatch.core.clock import iso, require_utc
from tidewatch.core.errors import LedgerError
from tidewatch.core.redaction import redact


def _free_text(text: object) -> object:
    if not isinstance(text, str):
        return text
    # What a server answered, or a person typed, must never keep a fact out of the ledger, and a secret that
    # got in could never be taken out again.
    clean = redact(text.encode("utf-8", "replace").decode())
    return clean if len(clean) <= 2000 else clean[:1999] + "…"


Utc = Annotated[AwareDatetime, AfterValidator(require_utc), PlainSerializer(iso, when_used="json")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
Name = Annotated[str, Field(min_length=1, max_length=400)]
FreeText = Annotated[str, BeforeValidator(_free_text)]
"""Redacted, at most 2,000 characters, always writable."""
KeyId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
LockMode = Literal["COMPLIANCE", "GOVERNANCE"]


class Part(BaseModel):
    """A group of fields inside a body."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


class Body(Part):
    """The body of a record; `KIND` is the kind it belongs to."""

    KIND: ClassVar[str]

    def as_json(self) -> dict[str, Any]:
        """The JSON object that is recorded; times as `core.clock.iso` writes them."""
        return self.model_dump(mode="json")


class Policy(Part):
    """The backup policy in force: its id and its version, as in config/regions.yaml."""

    id: Name
    version: Name


class Run(Part):
    """Who did it: the Dag run and its attempt; `schedule` is None for a run that a person started."""

    dag_id: Name
    run_id: Name
    try_number: Count = 1
    schedule: str | None = None


class Place(Part):
    """Where a copy lives."""

    region: Name
    provider: Name
    bucket: Name
    jurisdiction: Name


class StoredObject(Part):
    """One object of a backup: plaintext (uncompressed) and ciphertext (as stored)."""

    name: Name
    role: Name
    plain_size: Count
    plain_sha256: Digest
    cipher_size: Count
    cipher_sha256: Digest


class ReadBack(Part):
    """What a region answered when one object was read back.

    `mode` says how: `full` read and hashed every byte, `checksum` compared the checksum that the store keeps.
    """

    key: str
    version_id: str | None
    size: Count
    sha256: Digest
    lock_mode: LockMode | None
    retain_until: Utc | None
    read_at: Utc
    mode: Literal["full", "checksum"]


class RegionCopy(Part):
    """The state of one copy at the end of a run; `error` only when it failed."""

    place: Place
    state: Literal["verified", "failed"]
    objects: Count
    bytes: Count
    retain_until: Utc | None = None
    read_back_at: Utc | None = None
    error: FreeText | None = None


class Finding(Part):
    """One expectation that was not met: what was observed, the limit, and where."""

    expectation: Name
    batch: str
    observed: FreeText
    limit: FreeText


class _OfBackup(Body):
    policy: Policy
    source: Name
    source_type: Literal["postgres", "files"]
    data_class: Name
    backup_id: Name
    run: Run


class BackupStarted(_OfBackup):
    """A source is about to be read."""

    KIND: ClassVar[str] = "backup.started"

    started_at: Utc
    regions: list[Place]


class BackupStaged(_OfBackup):
    """The source was read once, compressed, encrypted, and sent; nothing is proved yet."""

    KIND: ClassVar[str] = "backup.staged"

    started_at: Utc
    snapshot_at: Utc
    ended_at: Utc
    tables: Count = 0
    rows: Count = 0
    files: Count = 0
    plain_bytes: Count
    stored_bytes: Count
    content_sha256: Digest
    """Digest of the fingerprint (database) or of the file list (files): what the content was."""
    objects: list[StoredObject]
    recipients: list[str]
    """Key ids of the age recipients that can open it."""
    received_by: list[str]
    missed_by: list[str]


class BackupFailed(_OfBackup):
    """An attempt ended without a verdict: by an error, or its process died and the next attempt found it."""

    KIND: ClassVar[str] = "backup.failed"

    stage: Literal["stage"]
    error: FreeText


class BackupCommitted(_OfBackup):
    """The verdict on a backup. The manifest is written once in every region that holds a copy."""

    KIND: ClassVar[str] = "backup.committed"

    verdict: Literal["sealed", "degraded", "failed", "suspect"]
    started_at: Utc
    snapshot_at: Utc
    ended_at: Utc
    rows: Count = 0
    files: Count = 0
    plain_bytes: Count
    stored_bytes: Count
    manifest_sha256: Digest | None
    """None when no region took the manifest."""
    signing_key_id: str
    recipients: list[str]
    copies: list[RegionCopy]


class _OfCopy(Body):
    policy: Policy
    source: Name
    data_class: Name
    backup_id: Name
    run: Run
    place: Place


class CopyVerified(_OfCopy):
    """Every object of the backup was read back from this region and is what was sent."""

    KIND: ClassVar[str] = "copy.verified"

    objects: list[ReadBack]
    started_at: Utc
    ended_at: Utc


class CopyFailed(_OfCopy):
    """The region does not hold a proved copy, and why."""

    KIND: ClassVar[str] = "copy.failed"

    stage: Literal["upload", "retention", "read_back", "manifest", "heal"]
    error: FreeText
    failed_at: Utc


class CopyHealed(_OfCopy):
    """A missing copy was made from a verified one: the same ciphertext, the same hash."""

    KIND: ClassVar[str] = "copy.healed"

    from_region: Name
    objects: list[ReadBack]
    started_at: Utc
    ended_at: Utc
    verdict: Literal["sealed", "degraded", "failed", "suspect"]
    """The verdict on the whole backup after this copy."""


class ProbeCheck(Part):
    """One thing that a region was asked to do, and what it did."""

    name: Name
    ok: bool
    observed: FreeText


class RegionProbed(Body):
    """What a region enforces, found out by trying."""

    KIND: ClassVar[str] = "region.probed"

    policy: Policy
    place: Place
    run: Run | None
    started_at: Utc
    ended_at: Utc
    ok: bool
    checks: list[ProbeCheck]


class GateJudged(Body):
    """A gate looked at a staged batch. staged = published + quarantined."""

    KIND: ClassVar[str] = "gate.judged"

    gate: Name
    subject: Name
    dag_id: Name
    run_id: Name
    passed: bool
    evaluated: Count
    critical: list[Finding]
    warnings: list[Finding]
    staged: Count
    published: Count
    quarantined: Count
    judged_at: Utc


class DecisionMade(Body):
    """A person decided what a gate had left open. `about` is the backup (or other subject) decided on."""

    KIND: ClassVar[str] = "decision.made"

    about: Name
    decision: Literal["accept", "reject"]
    decided_by: Name
    reason: FreeText
    previous_verdict: str
    decided_at: Utc


class KeysChanged(Body):
    """Backups are encrypted to other recipients than before.

    `since_backup` is the first backup that uses them, as far as it was known: a person who changes them with
    the command line does so before that backup is begun. `old` is empty for the first backup of all.
    """

    KIND: ClassVar[str] = "keys.changed"

    what: Literal["recipients"]
    old: list[KeyId]
    new: list[KeyId]
    noticed_by: Literal["backup", "command"]
    since_backup: Name | None


class KeysRotated(Body):
    """Another key signs from now on; the one before vouches for it (evidence/continuity.py)."""

    KIND: ClassVar[str] = "keys.rotated"

    old_key_id: KeyId
    new_key_id: KeyId
    new_public_key: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")]
    """Base64 of the 32 raw bytes of the Ed25519 public key."""
    rotated_at: Utc
    signature: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{86}==$")]
    """Ed25519 by the old key, base64."""


class NoticeFailed(Body):
    """A notice could not be sent through a channel; recorded at the first failure, retried until it is too
    old.
    """

    KIND: ClassVar[str] = "notice.failed"

    fact: Name
    channel: Name
    severity: Literal["info", "warning", "critical"]
    error: FreeText
    failed_at: Utc
    next_try_at: Utc


class LostHead(Part):
    """The last signed head of a chain whose database is gone, and what carries it."""

    seq: Count
    hash: Digest
    signed_at: Utc
    key_id: Name
    backup_id: Name | None
    """None: it lay in the region as an anchor of its own."""


class Problem(Part):
    """Something in a region that is not as it should be; the key is empty where it is the region itself."""

    key: str
    problem: FreeText


class CatalogRebuilt(Body):
    """The catalogue was completed from the manifests of one region.

    `chain_before` is there when those manifests carry signed heads that are not in this ledger: the records
    up to it, and whatever followed it, were lost with their database.
    """

    KIND: ClassVar[str] = "catalog.rebuilt"

    policy: Policy
    place: Place
    started_at: Utc
    ended_at: Utc
    manifests: Count
    """Found in the region, whether usable or not."""
    adopted: Count
    known: Count
    """In the catalogue before, with the same manifest."""
    decisions: Count
    copies: Count
    """Rows added for backups that were known before."""
    adopted_sha256: Digest
    """SHA-256 over `<backup_id> <SHA-256 of manifest.json>\n` of every backup adopted, in order of keys."""
    refused: Count
    problems: list[Problem]
    """The first 20 of what was refused, contradicts the catalogue, or lay hidden."""
    heads_before: Count
    """Signed heads found that are not in this ledger."""
    chain_before: LostHead | None


class CatalogChecked(Body):
    """Regions were asked again for the copies of every backup in the catalogue."""

    KIND: ClassVar[str] = "catalog.checked"

    policy: Policy
    place: Place
    started_at: Utc
    ended_at: Utc
    verified: Count
    """Copies read back whole."""
    failed: Count
    problems: list[Problem]
    """The first 20 of what failed; with an empty key, why the region was not asked to the end."""


class OrphansRemoved(Body):
    """What attempts that can never be completed, and probes, had left in a region was removed."""

    KIND: ClassVar[str] = "orphans.removed"

    policy: Policy
    place: Place
    run: Run | None
    started_at: Utc
    ended_at: Utc
    keys: Count
    """Object versions and delete markers."""
    bytes: Count
    uploads: Count
    """Unfinished uploads in parts that were aborted."""
    sha256: Digest
    """Over `<key> <version or upload id>\n` of everything removed, in order of key and id (code points)."""
    examples: list[str]
    """The first 20 keys."""
    attempts: list[str]
    """The first 2,000 backup ids they belonged to."""
    locked: Count
    """Versions left because they are locked still; a later sweep takes them."""


class AnchorPlace(Part):
    """Where the signed head of the ledger was written; `error` only when it does not lie there, proved."""

    place: Place
    key: Name
    state: Literal["verified", "failed"]
    version_id: str | None = None
    lock_mode: LockMode | None = None
    retain_until: Utc | None = None
    error: FreeText | None = None


class LedgerAnchored(Body):
    """The signed head of the ledger was written into the regions as an object of its own."""

    KIND: ClassVar[str] = "ledger.anchored"

    seq: Count
    hash: Digest
    signed_at: Utc
    key_id: KeyId
    why: FreeText
    """`daily`, or what was to be pinned."""
    places: list[AnchorPlace]


class EvidenceExported(Body):
    """The ledger was handed out for an audit, up to and with the record `seq`."""

    KIND: ClassVar[str] = "evidence.exported"

    seq: Count
    hash: Digest
    manifest_sha256: Digest
    """Of export.json, which names the digests of all that was handed out."""
    exported_by: FreeText
    exported_at: Utc


class FindingOpened(Body):
    """Something is not as it must be. Seen again it is counted, not recorded again."""

    KIND: ClassVar[str] = "finding.opened"

    key: Name
    """What it is about: of each key at most one finding is open."""
    finding: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)+$")]
    """Its kind, e.g. `restore.failed`."""
    severity: Literal["warning", "critical"]
    source: Name | None
    region: Name | None
    said_zh: FreeText
    said_en: FreeText
    detail: dict[str, Any]
    opened_at: Utc


class FindingClosed(Body):
    """A finding is gone: `closed_by` is what shows it, or the person who says so."""

    KIND: ClassVar[str] = "finding.closed"

    key: Name
    finding: Name
    opened_seq: Count
    """The record that opened it."""
    times_seen: Count
    closed_by: Annotated[FreeText, Field(min_length=1)]
    why: Annotated[FreeText, Field(min_length=1)]
    closed_at: Utc


class SessionBegun(Body):
    """Somebody signed in to the console where it stands alone."""

    KIND: ClassVar[str] = "session.begun"

    name: Name


class UserChanged(Body):
    """A user of the console was added or removed, or has other roles or another password."""

    KIND: ClassVar[str] = "user.changed"

    name: Name
    change: Literal["added", "roles", "password", "removed"]
    roles: list[str]
    """What the user has from now on; empty where the change is not about roles."""
    by: Name


class ConsoleActed(Body):
    """What a person did in the console that no other record tells: verified a backup again, looked at rows
    that a gate refused."""

    KIND: ClassVar[str] = "console.acted"

    act: Literal["verified", "rows_seen"]
    by: Name
    found: dict[str, Any]
    """verified: region -> whether the copy is whole; rows_seen: gate, run and how many rows."""


class RestoreDone(Body):
    """A backup, or part of it, was restored because somebody asked for it."""

    KIND: ClassVar[str] = "restore.done"

    policy: Policy
    source: Name
    backup_id: Name
    manifest_sha256: Digest
    snapshot_at: Utc
    standing: Literal["sealed", "degraded", "accepted", "suspect", "rejected", "failed"]
    """What the backup was, as the region's own files say."""
    regions: list[Name]
    """Where its objects came from."""
    target: Name
    scratch: bool
    """Whether config/restore.yaml lets anybody write there without a confirmation."""
    tables: list[Name]
    """Only these; empty: all."""
    paths: list[str]
    """Only what is at or below these; empty: all."""
    run: Run | None
    """None: the command line."""
    restored_by: FreeText | None
    started_at: Utc
    ended_at: Utc
    milliseconds: dict[str, Count]
    """By phase: fetch, decrypt (CPU time), load; and `all`."""
    objects: Count
    stored_bytes: Count
    rows: Count | None
    """Of the whole database, as the manifest counts them."""
    entries: Count | None
    """Files, directories and links."""
    remarks: list[FreeText]


class CheckMade(Part):
    """One question that a restore test asked of the restored copy."""

    name: Name
    ok: bool


class RestoreTested(Body):
    """A backup was restored for real from one region and compared with what was backed up."""

    KIND: ClassVar[str] = "restore.tested"

    test_id: Name
    dag_id: Name
    run_id: Name
    attempt: Count
    source: Name
    region: Name
    backup_id: Name
    choice: Literal["latest", "older"]
    status: Literal["passed", "failed", "error"]
    manifest_sha256: Digest | None
    """Of manifest.json as the region held it; None: it was not reached."""
    started_at: Utc
    ended_at: Utc
    rto_milliseconds: Count | None
    rpo_seconds: Count | None
    rto_target_seconds: Count
    rpo_target_seconds: Count
    checks: list[CheckMade]
    problem: FreeText | None
    """The first difference, or why nothing could be compared."""


class RestoreReported(Body):
    """The report of one run of restore tests was made; its SHA-256 is what a person signs."""

    KIND: ClassVar[str] = "restore.reported"

    dag_id: Name
    run_id: Name
    report_sha256: Digest
    passed: bool
    tests: Count
    failed: Count
    started_by: FreeText | None
    """None: the schedule."""
    made_at: Utc


class RestoreSigned(Body):
    """What a person said to a report of restore tests; `unsigned`: nobody did in time."""

    KIND: ClassVar[str] = "restore.signed"

    run_id: Name
    report_sha256: Digest
    decision: Literal["signed", "refused", "unsigned"]
    signed_by: FreeText | None
    note: FreeText
    via: Literal["airflow", "console", "cli", "timeout"]
    started_by: FreeText | None
    signed_at: Utc


class BackupExpired(Body):
    """A backup is not wanted any more and is about to be removed: its manifest, then what no other needs.

    `removal.done` tells what was removed from each region, and when.
    """

    KIND: ClassVar[str] = "backup.expired"

    policy: Policy
    retention: FreeText
    """The rules that were in force, in one line."""
    source: Name
    data_class: Name
    backup_id: Name
    run: Run | None
    """None: a person, with the command line."""
    verdict: Name
    """Its status."""
    snapshot_at: Utc
    manifest_sha256: Digest
    generations: list[Name]
    """What it was kept as when it was made."""
    locked_until: Utc | None
    reasons: list[FreeText]
    regions: list[Name]
    expired_at: Utc


class RemovalDone(Body):
    """What was removed of expired backups from one region."""

    KIND: ClassVar[str] = "removal.done"

    policy: Policy
    place: Place
    run: Run | None
    started_at: Utc
    ended_at: Utc
    keys: Count
    """Object versions and delete markers."""
    bytes: Count
    sha256: Digest
    """Over `<key> <version id>\n` of everything removed, in order of key and id (code points)."""
    examples: list[str]
    """The first 20 keys."""
    backups: list[Name]
    """The first 2,000 backups of which something was removed."""
    finished: list[Name]
    """The first 2,000 of which nothing is left in the region now."""


class RetentionChanged(Body):
    """Other rules than before say how long the backups of a source are kept."""

    KIND: ClassVar[str] = "retention.changed"

    policy: Policy
    source: Name
    old: FreeText | None
    new: FreeText


class HoldPlaced(Body):
    """From now on nothing that the hold covers is removed, until it is lifted."""

    KIND: ClassVar[str] = "hold.placed"

    hold_id: Name
    source: Name
    backup_id: Name | None
    span_from: Utc | None
    span_until: Utc | None
    holder: Name
    reason: FreeText
    placed_by: Name
    placed_at: Utc
    backups: Count
    """How many there were that it covers."""


class HoldsConfirmed(Body):
    """A person says that after the loss of the database every legal hold stands in the new one."""

    KIND: ClassVar[str] = "holds.confirmed"

    chain_before: Count
    """The record of this ledger that says that another chain was lost."""
    holds: Count
    """How many are in force."""
    by: Name
    reason: FreeText


class HoldLifted(Body):
    """The hold is over; what it covered is kept for as long as generations and locks say."""

    KIND: ClassVar[str] = "hold.lifted"

    hold_id: Name
    source: Name
    holder: Name
    lifted_by: Name
    reason: FreeText
    lifted_at: Utc


class FileDigest(Part):
    """One file of a report."""

    name: Name
    size: Count
    sha256: Digest


class ReportMade(Body):
    """A version of the compliance report of a month. It counts from this record on; another one with other
    facts is another version.
    """

    KIND: ClassVar[str] = "report.made"

    month: Annotated[str, Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
    timezone: Name
    """Whose midnights its days begin at."""
    version: Annotated[int, Field(ge=1, le=2**53 - 1)]
    complete: bool
    """Whether the month was over."""
    judged_until: Name
    """The last day that was judged."""
    facts_sha256: Digest
    """Of the RFC 8785 form of `facts` in report.json."""
    replaces_facts_sha256: Digest | None
    files: list[FileDigest]
    expected_days: Count
    """Days of sources on which a backup was expected."""
    covered_days: Count


class LabelsImported(Body):
    """Labels of a file or of a corpus were taken into the store: counts, never texts."""

    KIND: ClassVar[str] = "labels.imported"

    origin: Name
    """`file:<SHA-256>`, or `package:<name>==<version>`."""
    source: Name
    mapping: Name
    """Its name in config/labels.yaml."""
    mapping_sha256: Digest
    rows: Count
    accepted: Count
    known: Count
    refused: dict[Name, Count]
    """Rows by reason."""
    labels: dict[Name, Count]
    """Accepted rows by label."""
    imported_by: Name
    imported_at: Utc


class DeletedPost(Part):
    """What is left of a deleted post. `post_key` is the SHA-256 of its identity."""

    post_key: Digest
    text_sha256: Digest
    labels: Count


class LabelsDeleted(Body):
    """Posts were deleted from the label store with their texts and all their labels."""

    KIND: ClassVar[str] = "labels.deleted"

    posts: list[DeletedPost]
    """At most 2,000; more are told by further records."""
    labels: Count
    deleted_by: Name
    reason: FreeText
    deleted_at: Utc


class LabelsExported(Body):
    """Texts and labels were written into a file for somebody."""

    KIND: ClassVar[str] = "labels.exported"

    exported_by: Name
    rows: Count
    file_sha256: Digest
    exported_at: Utc


class LabelsFrozen(Body):
    """A version of the labels was frozen for training."""

    KIND: ClassVar[str] = "labels.frozen"

    digest: Digest
    up_to: Count
    """The last label in it."""
    rows: Count
    labels: dict[Name, Count]
    """Rows by label."""
    annotators: Count
    frozen_at: Utc


class ModelRegistered(Body):
    """A version of the model was registered: which bytes, trained on which frozen labels."""

    KIND: ClassVar[str] = "model.registered"

    model: Name
    version: Annotated[int, Field(ge=1)]
    model_sha256: Digest
    dataset_sha256: Digest
    compared_with: Annotated[int, Field(ge=1)] | None
    """The champion that it was measured against."""
    run: dict[str, str] | None
    by: Name


class ModelPromoted(Body):
    """Another version of the model is the champion from now on."""

    KIND: ClassVar[str] = "model.promoted"

    model: Name
    act: Literal["promoted", "rolled_back"]
    version: Annotated[int, Field(ge=1)]
    model_sha256: Digest
    before: Annotated[int, Field(ge=1)] | None
    by: Name
    why: Annotated[FreeText, Field(min_length=1)]


class ModelShadowed(Body):
    """A version of the model scores beside the champion from now on, without a say; or it does so no more."""

    KIND: ClassVar[str] = "model.shadowed"

    model: Name
    act: Literal["begun", "ended"]
    version: Annotated[int, Field(ge=1)]
    model_sha256: Digest
    by: Name
    why: Annotated[FreeText, Field(min_length=1)]


class RetrainingStarted(Body):
    """A run of retraining began; `champion` is the version that its challenger is compared with."""

    KIND: ClassVar[str] = "retraining.started"

    run_id: Name
    dag_id: Name
    started_by: FreeText | None
    """None: the schedule."""
    champion: Annotated[int, Field(ge=1)] | None
    started_at: Utc


class RetrainingEnded(Body):
    """A run of retraining ended before a person was asked: too few labels, a gate, or a failure."""

    KIND: ClassVar[str] = "retraining.ended"

    run_id: Name
    state: Literal["not_enough", "refused", "failed"]
    digest: Digest | None
    """The frozen labels."""
    challenger: Annotated[int, Field(ge=1)] | None
    found: FreeText
    ended_at: Utc


class RetrainingDecided(Body):
    """What a person said to a challenger; `unanswered`: nobody did in time. Approved, it is the champion by a
    record model.promoted in the same transaction."""

    KIND: ClassVar[str] = "retraining.decided"

    run_id: Name
    decision: Literal["approved", "rejected", "unanswered"]
    decided_by: FreeText | None
    note: FreeText
    via: Literal["airflow", "console", "command_line"]
    challenger: Annotated[int, Field(ge=1)]
    instead_of: Annotated[int, Field(ge=1)] | None
    decided_at: Utc


SCHEMAS: Mapping[str, type[Body]] = {
    model.KIND: model
    for model in (
        BackupStarted,
        BackupStaged,
        BackupFailed,
        BackupCommitted,
        CopyVerified,
        CopyFailed,
        CopyHealed,
        RegionProbed,
        GateJudged,
        DecisionMade,
        KeysChanged,
        KeysRotated,
        NoticeFailed,
        CatalogRebuilt,
        CatalogChecked,
        OrphansRemoved,
        BackupExpired,
        RemovalDone,
        RetentionChanged,
        HoldPlaced,
        HoldLifted,
        HoldsConfirmed,
        LedgerAnchored,
        EvidenceExported,
        FindingOpened,
        FindingClosed,
        RestoreDone,
        RestoreTested,
        RestoreReported,
        RestoreSigned,
        SessionBegun,
        UserChanged,
        ConsoleActed,
        ReportMade,
        LabelsImported,
        LabelsDeleted,
        LabelsExported,
        LabelsFrozen,
        ModelRegistered,
        ModelPromoted,
        ModelShadowed,
        RetrainingStarted,
        RetrainingEnded,
        RetrainingDecided,
    )
}


def checked_body(kind: str, body: Mapping[str, Any] | Body) -> Mapping[str, Any]:
    """`body` as the JSON object to record. Raises LedgerError when it does not fit its kind."""
    if isinstance(body, Body):
        if kind != body.KIND:
            raise LedgerError(
                f"A body of {body.KIND} was given for a record {kind}",
                expected=f"a body of {kind}",
                found=type(body).__name__,
                do=f"append it with kind={body.KIND!r}",
            )
        return body.as_json()
    model = SCHEMAS.get(kind)
    if model is None:
        return body
    try:
        return model.model_validate(dict(body)).as_json()
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors()]
        raise LedgerError(
            f"The body does not fit a record {kind}",
            expected=f"the fields of evidence.schemas.{model.__name__}",
            found="; ".join(problems)[:1000],
            do="give every field; see docs/ledger.md",
        ) from None  # pydantic's own text quotes the values
