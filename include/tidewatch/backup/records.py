"""What the ledger is told: bodies of `evidence.schemas` from backups."""

from collections.abc import Sequence
from datetime import datetime

from tidewatch.backup.plan import PlannedSource
from tidewatch.core.regions import Region, RegionsFile
from tidewatch.evidence import schemas
from tidewatch.vault.manifest import CopyEntry, Manifest, ReadBack, RunRef

MAX_LISTED = 2000
"""A record is at most 4 MiB. Of a backup with more objects the first ones are listed; its manifest has all,
and the record has the digest of the manifest or of the content."""


def policy(file: RegionsFile) -> schemas.Policy:
    return schemas.Policy(id=file.policy_id, version=file.policy_version)


def run(ref: RunRef, schedule: str | None) -> schemas.Run:
    return schemas.Run(dag_id=ref.dag_id, run_id=ref.run_id, try_number=ref.try_number, schedule=schedule)


def place(region: Region) -> schemas.Place:
    config = region.config
    return schemas.Place(
        region=config.name, provider=config.provider, bucket=config.bucket, jurisdiction=config.jurisdiction
    )


def started(
    planned: PlannedSource,
    file: RegionsFile,
    backup_id: str,
    ref: RunRef,
    schedule: str | None,
    now: datetime,
) -> schemas.BackupStarted:
    return schemas.BackupStarted(
        policy=policy(file),
        source=planned.source.name,
        source_type=planned.source.type,
        data_class=planned.source.data_class,
        backup_id=backup_id,
        run=run(ref, schedule),
        started_at=now,
        regions=[place(r) for r in planned.regions],
    )


def staged(
    draft: Manifest, file: RegionsFile, content_sha256: str, received: Sequence[str], missed: Sequence[str]
) -> schemas.BackupStaged:
    totals = draft.totals
    return schemas.BackupStaged.model_validate(
        {
            **_of_backup(draft, file),
            "started_at": draft.started_at,
            "snapshot_at": draft.snapshot_at,
            "ended_at": _ended(draft),
            "tables": totals.tables or 0,
            "rows": totals.rows or 0,
            "files": totals.files or 0,
            "plain_bytes": totals.plain_size,
            "stored_bytes": totals.cipher_size,
            "content_sha256": content_sha256,
            "objects": [
                schemas.StoredObject(
                    name=o.name,
                    role=o.role,
                    plain_size=o.plain_size,
                    plain_sha256=o.plain_sha256,
                    cipher_size=o.cipher_size,
                    cipher_sha256=o.cipher_sha256,
                )
                for o in draft.objects[:MAX_LISTED]
            ],
            "recipients": draft.encryption.key_ids,
            "received_by": list(received),
            "missed_by": list(missed),
        }
    )


def committed(
    manifest: Manifest,
    file: RegionsFile,
    regions: Sequence[Region],
    *,
    verdict: str,
    manifest_sha256: str | None,
    signing_key_id: str,
) -> schemas.BackupCommitted:
    """`verdict` is the one that holds after the manifest was stored."""
    places = {r.name: place(r) for r in regions}
    totals = manifest.totals
    return schemas.BackupCommitted.model_validate(
        {
            **_of_backup(manifest, file),
            "verdict": verdict,
            "started_at": manifest.started_at,
            "snapshot_at": manifest.snapshot_at,
            "ended_at": _ended(manifest),
            "rows": totals.rows or 0,
            "files": totals.files or 0,
            "plain_bytes": totals.plain_size,
            "stored_bytes": totals.cipher_size,
            "manifest_sha256": manifest_sha256,
            "signing_key_id": signing_key_id,
            "recipients": manifest.encryption.key_ids,
            "copies": [_region_copy(c, places[c.region]) for c in manifest.copies if c.region in places],
        }
    )


def copy_verified(
    manifest: Manifest, file: RegionsFile, region: Region, objects: Sequence[ReadBack], ended: datetime
) -> schemas.CopyVerified:
    return schemas.CopyVerified.model_validate(
        {
            **_of_copy(manifest, file),
            "place": place(region),
            "objects": [read_back(o) for o in objects[:MAX_LISTED]],
            "started_at": min((o.read_at for o in objects), default=ended),
            "ended_at": ended,
        }
    )


def copy_failed(
    manifest: Manifest, file: RegionsFile, region: Region, *, stage: str, error: str, now: datetime
) -> schemas.CopyFailed:
    return schemas.CopyFailed.model_validate(
        {
            **_of_copy(manifest, file),
            "place": place(region),
            "stage": stage,
            "error": error,
            "failed_at": now,
        }
    )


def copy_healed(
    manifest: Manifest,
    file: RegionsFile,
    region: Region,
    *,
    origin: str,
    objects: Sequence[ReadBack],
    verdict: str,
    started: datetime,
    ended: datetime,
) -> schemas.CopyHealed:
    return schemas.CopyHealed.model_validate(
        {
            **_of_copy(manifest, file),
            "place": place(region),
            "from_region": origin,
            "objects": [read_back(o) for o in objects[:MAX_LISTED]],
            "started_at": started,
            "ended_at": ended,
            "verdict": verdict,
        }
    )


def read_back(answer: ReadBack) -> schemas.ReadBack:
    """Only for answers that found an object: a missing one is a failed copy."""
    return schemas.ReadBack.model_validate(
        {
            "key": answer.key,
            "version_id": answer.version_id,
            "size": answer.size,
            "sha256": answer.sha256,
            "lock_mode": answer.lock_mode,
            "retain_until": answer.retain_until,
            "read_at": answer.read_at,
            "mode": answer.mode,
        }
    )


def _of_backup(m: Manifest, file: RegionsFile) -> dict[str, object]:
    return {
        "policy": policy(file),
        "source": m.source,
        "source_type": m.source_type,
        "data_class": m.data_class,
        "backup_id": m.backup_id,
        "run": run(m.run, m.schedule),
    }


def _of_copy(m: Manifest, file: RegionsFile) -> dict[str, object]:
    return {
        "policy": policy(file),
        "source": m.source,
        "data_class": m.data_class,
        "backup_id": m.backup_id,
        "run": run(m.run, m.schedule),
    }


def _ended(m: Manifest) -> datetime:
    return m.ended_at or m.snapshot_at


def _region_copy(entry: CopyEntry, where: schemas.Place) -> schemas.RegionCopy:
    read = [o for o in entry.objects if o.ok]
    return schemas.RegionCopy(
        place=where,
        state=entry.state,
        objects=len(read),
        bytes=sum(o.size or 0 for o in read),
        retain_until=min((o.retain_until for o in read if o.retain_until), default=None),
        read_back_at=max((o.read_at for o in read), default=None),
        error=entry.error,
    )
