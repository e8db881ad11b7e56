"""Tries what each region really does, with tiny objects under `<prefix>/probes/<yyyy-mm-dd>/`.

One object a day and region stays behind, `locked`: it is locked for an hour, since that is how to see
whether a lock holds. Everything else that a probe writes is deleted by it. What a region lacks of the
required answers is told as a notice; what it lacks of the others is made up for by setting retention
afterwards and reading back.
"""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from tidewatch.backup import messages, records
from tidewatch.backup.context import BackupContext
from tidewatch.core.canonical import sha256_hex
from tidewatch.core.clock import require_utc
from tidewatch.core.errors import (
    AlreadyExists,
    IntegrityError,
    ObjectMissing,
    RegionError,
    RegionRefused,
    RegionUnavailable,
    TidewatchError,
)
from tidewatch.core.objectstore import Head
from tidewatch.core.regions import Region
from tidewatch.evidence import ledger, schemas
from tidewatch.notices import outbox
from tidewatch.vault import catalogue
from tidewatch.vault.manifest import RunRef

LOCK = timedelta(hours=1)
SKEW_ALLOWED_SECONDS = 300.0
"""Signatures of requests stop working at 15 minutes; retention is counted by the store's clock."""
_BODY = b"Tidewatch probes whether this store keeps what it promises.\n"


@dataclass(frozen=True)
class Answer:
    """One question to a region. `ok` None: it could not be asked."""

    question: str
    answer: str
    ok: bool | None
    required: bool
    detail: str = ""


@dataclass(frozen=True)
class ProbeReport:
    """What a region does. `usable`: every required answer is as it must be."""

    region: str
    started_at: datetime
    ended_at: datetime
    answers: tuple[Answer, ...]

    @property
    def usable(self) -> bool:
        return not self.lacking

    @property
    def lacking(self) -> list[str]:
        """Required questions without the right answer."""
        return [a.question for a in self.answers if a.required and a.ok is not True]

    def as_dict(self) -> dict[str, Any]:
        """For XCom: names and words."""
        return {"region": self.region, "usable": self.usable, "lacking": self.lacking}

    def to_json(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "region": self.region,
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "usable": self.usable,
            "answers": [asdict(a) for a in self.answers],
        }


def probe(region: Region, now: datetime) -> ProbeReport:
    """Ask everything. Never raises for what the region does: a region that does not answer is an answer."""
    from botocore.exceptions import BotoCoreError, ClientError

    began = time.monotonic()
    now = require_utc(now)
    answers: list[Answer] = []
    try:
        facts = region.store.describe()
        answers.append(Answer("reachable", "yes", True, True))
        answers.append(_yes_no("bucket exists", facts.exists, True))
        answers.append(_yes_no("versioning", facts.versioning, True))
        answers.append(_yes_no("object lock", facts.object_lock, True))
        if facts.exists:
            folder = f"{region.config.prefix}/probes/{now:%Y-%m-%d}"
            answers.append(_clock(region, f"{folder}/clock", now, began))
            answers += _writes(region, folder, now, began)
    except TidewatchError as error:
        question = "probe finished" if answers else "reachable"
        answers.append(Answer(question, "no", False, True, f"{error.what} ({error.found})"))
    except (BotoCoreError, ClientError) as error:  # of the calls that go past our own store
        answers.append(Answer("probe finished", "no", False, True, type(error).__name__))
    ended = now + timedelta(seconds=time.monotonic() - began)
    return ProbeReport(region.name, now, ended, tuple(answers))


def record_probe(ctx: BackupContext, report: ProbeReport, run: RunRef | None = None) -> None:
    """Keep the answers: catalogue, ledger, and a notice when a required one is missing. One transaction."""
    region = ctx.region(report.region)
    body = schemas.RegionProbed(
        policy=records.policy(ctx.regions_file),
        place=records.place(region),
        run=records.run(run, None) if run is not None else None,
        started_at=report.started_at,
        ended_at=report.ended_at,
        ok=report.usable,
        checks=[
            schemas.ProbeCheck(name=a.question, ok=a.ok is True, observed=f"{a.answer} {a.detail}".strip())
            for a in report.answers
        ],
    )
    with contextlib.closing(ctx.connect()) as conn:
        catalogue.save_probe(conn, report.region, report.started_at, report.to_json())
        if report.lacking:
            day = report.started_at.date().isoformat()
            outbox.post(conn, messages.region_lacks(report.region, day, report.lacking), ctx.now())
        ledger.append(conn, kind=body.KIND, subject=report.region, body=body, now=ctx.now())
        conn.commit()


def probe_and_record(ctx: BackupContext, region: Region, run: RunRef | None = None) -> ProbeReport:
    """Ask one region everything and keep the answers."""
    report = probe(region, ctx.now())
    record_probe(ctx, report, run)
    ctx.progress(f"{region.name}: " + ("usable" if report.usable else "lacks " + ", ".join(report.lacking)))
    return report


def probe_regions(
    ctx: BackupContext, names: Sequence[str] | None = None, run: RunRef | None = None
) -> list[ProbeReport]:
    """Probe the regions (all by default) one after the other and record each. Raises NotFound for a name."""
    regions = ctx.regions if names is None else [ctx.region(n) for n in names]
    return [probe_and_record(ctx, region, run) for region in regions]


# -- the questions -----------------------------------------------------------------------------------------


def _yes_no(question: str, value: bool, required: bool, detail: str = "") -> Answer:
    return Answer(question, "yes" if value else "no", value, required, detail)


def _clock(region: Region, key: str, now: datetime, began: float) -> Answer:
    """By the Date header; a store that sends none shows its clock by when it says an object was written."""
    reply = region.store.client.head_bucket(Bucket=region.config.bucket)
    stamp = reply["ResponseMetadata"]["HTTPHeaders"].get("date")
    here = now + timedelta(seconds=time.monotonic() - began)
    if stamp is not None:
        there = parsedate_to_datetime(stamp)
    else:
        stored = region.store.put(key, _BODY, if_absent=False)
        there = region.store.head(key, stored.version_id).last_modified or here
        region.store.delete(key, stored.version_id)
    skew = (require_utc(there) - here).total_seconds()
    return Answer(
        "clock",
        f"{skew:+.0f} s",
        abs(skew) <= SKEW_ALLOWED_SECONDS,
        True,
        f"store minus us; at most {SKEW_ALLOWED_SECONDS:.0f} s either way",
    )


def _writes(region: Region, folder: str, now: datetime, began: float) -> list[Answer]:
    key = f"{folder}/locked"
    kept = _make_locked(region, key, now)
    head = region.store.head(key)
    answers = [_checksums(head)]
    if kept is not None:
        answers.append(kept)
    answers.append(_conditional(region, key))
    answers += _undeletable(region, key, head, now + timedelta(seconds=time.monotonic() - began))
    answers.append(_wrong_checksum(region, f"{folder}/checksum"))
    return answers


def _make_locked(region: Region, key: str, now: datetime) -> Answer | None:
    """Today's object, made by a multipart upload that asks for a lock. None when it is there already."""
    question = "lock headers kept at multipart"
    try:
        region.store.head(key)
        return None
    except ObjectMissing:
        pass
    from botocore.exceptions import BotoCoreError, ClientError

    client, bucket = region.store.client, region.config.bucket
    until = (now + LOCK).replace(microsecond=0)
    try:
        upload = client.create_multipart_upload(
            Bucket=bucket, Key=key, ObjectLockMode=region.config.lock_mode, ObjectLockRetainUntilDate=until
        )["UploadId"]
        part = client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=_BODY)
        client.complete_multipart_upload(
            Bucket=bucket,
            Key=key,
            UploadId=upload,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
        )
    except (ClientError, BotoCoreError) as error:
        with contextlib.suppress(AlreadyExists):
            region.store.put(key, _BODY, if_absent=True)
        return Answer(
            question, "refused", False, False, f"{type(error).__name__}; retention is set afterwards"
        )
    head = region.store.head(key)
    kept = head.lock_mode is not None and head.retain_until is not None
    return _yes_no(question, kept, False, "" if kept else "retention is set after the upload and read back")


def _checksums(head: Head) -> Answer:
    # A multipart upload without checksums of ours: what the store computes by itself.
    kind = "SHA-256" if head.checksum_sha256 else "ETag only"
    return Answer("checksums", kind, True, False, "full read-back does not rely on them")


def _conditional(region: Region, key: str) -> Answer:
    question = "conditional writes"
    try:
        stored = region.store.put(key, _BODY, if_absent=True)
    except AlreadyExists:
        return Answer(question, "honoured", True, False)
    except RegionUnavailable:
        raise
    except RegionError as error:
        return Answer(question, "refused", False, False, error.found)
    if stored.version_id is not None:
        with contextlib.suppress(RegionError):
            region.store.delete(key, stored.version_id)
    return Answer(question, "ignored", False, False, "manifests are compared after writing instead")


def _undeletable(region: Region, key: str, head: Head, now: datetime) -> list[Answer]:
    settable = "lock can be set"
    until = (now + LOCK).replace(microsecond=0)
    if head.lock_mode is None or head.retain_until is None or head.retain_until <= now + LOCK / 2:
        try:
            region.store.set_retention(key, head.version_id, head.lock_mode or region.config.lock_mode, until)
        except RegionUnavailable:
            raise
        except RegionError as error:
            return [
                Answer(settable, "no", False, True, error.found),
                Answer("locked version undeletable", "not asked", None, True, "there is no lock to try"),
            ]
    shown = region.store.head(key, head.version_id)
    answers = [
        _yes_no(
            settable,
            shown.lock_mode is not None and shown.retain_until is not None,
            True,
            f"{shown.lock_mode} until {shown.retain_until}",
        )
    ]
    try:
        region.store.delete(key, head.version_id)
    except RegionRefused:
        return [*answers, Answer("locked version undeletable", "yes", True, True)]
    except RegionUnavailable:
        raise
    except RegionError as error:
        gone = _is_gone(region, key, head.version_id)
        return [*answers, _yes_no("locked version undeletable", not gone, True, error.found)]
    gone = _is_gone(region, key, head.version_id)
    detail = "the store deleted a locked version" if gone else "the store said yes and kept it"
    return [*answers, _yes_no("locked version undeletable", not gone, True, detail)]


def _is_gone(region: Region, key: str, version_id: str | None) -> bool:
    try:
        region.store.head(key, version_id)
    except ObjectMissing:
        return True
    return False


def _wrong_checksum(region: Region, key: str) -> Answer:
    question = "wrong checksum rejected"
    wrong = bytes.fromhex(sha256_hex(_BODY + b"other"))
    try:
        stored = region.store.put(key, _BODY, sha256=wrong, if_absent=False)
    except IntegrityError:
        return Answer(question, "yes", True, False)
    except RegionUnavailable:
        raise
    except RegionError as error:
        return Answer(question, "yes", True, False, error.found)
    with contextlib.suppress(RegionError):
        region.store.delete(key, stored.version_id)
    return Answer(question, "no", False, False, "every object is read back and hashed instead")
