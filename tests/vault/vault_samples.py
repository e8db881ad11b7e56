"""Manifests to test with: small, whole and honest."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from tidewatch.vault.facts import DatabaseFingerprint, LargeObjects, ObjectDigests, TableFingerprint
from tidewatch.vault.layout import BackupPath, new_backup_id
from tidewatch.vault.manifest import (
    CopyEntry,
    Encryption,
    FileEntry,
    Manifest,
    ObjectEntry,
    Policy,
    ReadBack,
    RunRef,
    Totals,
)

NOW = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)
REGIONS = ("cn-east", "cn-north", "cn-south")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def backup_id(number: int, source: str = "media") -> str:
    return new_backup_id(source, NOW + timedelta(days=number), number.to_bytes(4, "big"))


def entry(of: str, name: str = "pack-00001.tar.zst.age", role: str = "pack") -> ObjectEntry:
    source = of.split("-", maxsplit=1)[0]
    return ObjectEntry(
        name=name,
        role=role,  # type: ignore[arg-type]
        key=BackupPath("", source, of).object_key(name),
        backup_id=of,
        plain_size=1000,
        plain_sha256=sha(of + name),
        cipher_size=500,
        cipher_sha256=sha(name + of),
    )


def copy_entry(region: str, objects: list[ObjectEntry], *, ok: bool = True) -> CopyEntry:
    answers = [
        ReadBack(
            key=f"tidewatch/{o.key}",
            size=o.cipher_size,
            sha256=o.cipher_sha256,
            lock_mode="COMPLIANCE",
            retain_until=NOW + timedelta(days=35),
            version_id="v1",
            read_at=NOW,
            mode="full",
            ok=ok,
            problem=None if ok else "size: expected 500 bytes, found 499",
        )
        for o in objects
    ]
    return CopyEntry(
        region=region,
        provider="s3",
        bucket="backups",
        state="verified" if ok else "failed",
        objects=answers,
        error=None if ok else "1 object differs",
    )


def file_entry(path: str, content: str, index: int = 0) -> FileEntry:
    return FileEntry(
        path=path,
        size=len(content),
        mode=0o644,
        mtime=1_795_367_047_123_456_789,
        type="file",
        sha256=sha(content),
        object=index,
    )


def files_draft(number: int, *, files: list[FileEntry], objects: list[ObjectEntry], **more: Any) -> Manifest:
    start = NOW + timedelta(days=number)
    values: dict[str, Any] = {
        "backup_id": backup_id(number),
        "source": "media",
        "source_type": "files",
        "data_class": "public",
        "policy": Policy(id="P", version="1"),
        "snapshot_at": start,
        "started_at": start,
        "run": RunRef(dag_id="back_up_sources", run_id=f"run {number}"),
        "tools": {"zstd": "1.5"},
        "objects": objects,
        "files": files,
        "encryption": Encryption(key_ids=["0" * 16]),
        "totals": Totals(objects=len(objects), files=len(files)),
    }
    return Manifest(**(values | more))


def finished(draft: Manifest, verdict: str = "sealed", *, dead: tuple[str, ...] = ()) -> Manifest:
    copies = [copy_entry(r, draft.own_objects, ok=r not in dead) for r in REGIONS]
    changes = {"verdict": verdict, "copies": copies, "ended_at": draft.started_at + timedelta(minutes=3)}
    return Manifest.model_validate(dict(draft) | changes)


def database_fingerprint(rows: int = 7) -> DatabaseFingerprint:
    none = ObjectDigests(sha256=sha(""), objects={})
    table = TableFingerprint(
        schema_name="public",
        name="微博 posts",
        kind="table",
        columns=["id"],
        rows=rows,
        sha256=sha(str(rows)),
    )
    return DatabaseFingerprint(
        database="ops",
        server_version="18.6",
        server_version_num=180006,
        encoding="UTF8",
        collation="C",
        tables=[table],
        foreign_tables=[],
        sequences=[],
        large_objects=LargeObjects(count=0, size=0, sha256=sha("")),
        extensions=[],
        schema_objects={},
        schema_sha256=sha("schema"),
        grants=none,
        roles=none,
        content_sha256=sha("content"),
    )
