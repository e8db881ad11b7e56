"""The ledger, handed out: everything an auditor needs beside the regions, in one directory or ZIP file.

    ledger.ndjson        one record a line, exactly the text that was hashed
    keys.pem             the public keys of the installation; an auditor trusts a copy of his own
    verify_evidence.py   checks all of it, by itself
    README.txt           how
    export.json          the format, the head, the SHA-256 of each file above; signed

`export.json` is canonical JSON; signed is its RFC 8785 text without `signature` and with
`"purpose": "tidewatch.evidence.export.v1"`.
"""

import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tidewatch.core.canonical import canonical_bytes, sha256_hex
from tidewatch.core.clock import iso, require_utc
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import ConfigError
from tidewatch.core.signing import KeyRing, SigningKey
from tidewatch.evidence import verify_evidence
from tidewatch.evidence.ledger import append, head
from tidewatch.evidence.record import Head
from tidewatch.evidence.schemas import EvidenceExported

FORMAT = "tidewatch.evidence.v1"
_PURPOSE = "tidewatch.evidence.export.v1"
_PAGE = 1000
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_README = """\
The evidence ledger, exported. 导出的证据账本。

Check it with the public key that you wrote down yourself, against what a region holds:

    python3 verify_evidence.py THIS --key YOUR-COPY-OF-signing.pub.pem --region DIRECTORY

Take verify_evidence.py and the key from a place that you trust, not from here: who can change this export can
change them too. docs/evidence.md explains each step.
请使用自己保存的公钥和核对程序，不要以本导出中的副本为信任依据。
"""


@dataclass(frozen=True)
class Exported:
    """What was written to `target`: the records up to `head`, and the SHA-256 of export.json."""

    target: Path
    records: int
    head: Head
    manifest_sha256: str


def entries(
    conn: Connection, since: int = 1, kind: str | None = None, subject: str | None = None
) -> Iterator[str]:
    """The stored texts as they are, also where they were altered: whoever verifies judges, this shows. A
    genuine text holds no line break; one in an altered text must not pass for the end of a record."""
    while True:
        filters = {"since_seq": since, "kind": kind, "subject": subject, "page": _PAGE}
        page = execute(conn, "evidence/records", filters).fetchall()
        for row in page:
            yield "".join(c if c >= " " else f"\\u{ord(c):04x}" for c in row["entry"] or "")
        if len(page) < _PAGE:
            return
        since = page[-1]["seq"] + 1


def export(
    conn: Connection, target: Path, key: SigningKey, ring: KeyRing, *, by: str, now: datetime
) -> Exported:
    """Write the ledger to `target`: a ZIP file where its name ends so, else a new directory.

    `conn` must be idle. The record evidence.exported comes after what is exported: the next export has it.
    What was there before stays until the new one is whole. Raises ConfigError, LedgerError.
    """
    zipped = target.suffix.lower() == ".zip"
    if target.exists() and not (zipped and target.is_file()):
        raise ConfigError(
            f"The export cannot be written to {target}",
            expected="a name that is free, or a .zip file to replace",
            found="something that is there",
            do="choose another name",
        )
    if not by.strip():
        raise ConfigError(
            "The export has nobody who takes it out",
            expected="the name of a person",
            found="no text",
            do="say who: the ledger records it",
        )
    moment = require_utc(now)
    work = target.with_name(f".{target.name}.partial-{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    try:
        last, records = _write(conn, work, key, ring, moment)
        digest = sha256_hex((work / "export.json").read_bytes())
        whole = _zip(work) if zipped else work
        _record(conn, last, digest, by, moment)
        whole.replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        _zipping(work).unlink(missing_ok=True)
    return Exported(target, records, last, digest)


def _write(conn: Connection, work: Path, key: SigningKey, ring: KeyRing, now: datetime) -> tuple[Head, int]:
    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read, read only")
        last = head(conn)
        digest, records = hashlib.sha256(), 0
        with (work / "ledger.ndjson").open("wb") as file:
            for entry in entries(conn):
                line = entry.encode() + b"\n"
                digest.update(line)
                file.write(line)
                records += 1
    texts = {
        "keys.pem": ring.with_key(key.public).pem,
        "verify_evidence.py": Path(verify_evidence.__file__).read_bytes(),
        "README.txt": _README.encode(),
    }
    for name, content in texts.items():
        (work / name).write_bytes(content)
    files = {name: sha256_hex(content) for name, content in texts.items()}
    document = {
        "format": FORMAT,
        "made_at": iso(now),
        "head": {"seq": last.seq, "hash": last.hash},
        "files": {**files, "ledger.ndjson": digest.hexdigest()},
    }
    signature = key.sign(canonical_bytes({**document, "purpose": _PURPOSE}))
    signed = {"key_id": signature.key_id, "algorithm": signature.algorithm, "value": signature.value}
    (work / "export.json").write_bytes(canonical_bytes({**document, "signature": signed}))
    return last, records


def _zipping(work: Path) -> Path:
    """Of this process alone, as `work` is: two who export to one name do not write into each other's file."""
    return work.with_name(work.name + ".zipping")


def _zip(work: Path) -> Path:
    target = _zipping(work)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(work.iterdir()):
            info = zipfile.ZipInfo(path.name, _ZIP_TIME)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as sink:
                shutil.copyfileobj(source, sink, 1024 * 1024)
    return target


def _record(conn: Connection, last: Head, digest: str, by: str, now: datetime) -> None:
    body = EvidenceExported(
        seq=last.seq, hash=last.hash, manifest_sha256=digest, exported_by=by, exported_at=now
    )
    with conn.transaction():
        append(conn, kind=body.KIND, subject=f"record {last.seq}", body=body, now=now)
