"""An auditor's desk: an export, what regions hold, the verifier copied alone, and ways to falsify them."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidewatch.core.anchorkeys import anchor_key
from tidewatch.core.canonical import canonical_bytes, sha256_hex
from tidewatch.core.signing import SigningKey
from tidewatch.evidence import verify_evidence
from tidewatch.evidence.anchor import sign_head
from tidewatch.evidence.record import GENESIS, Head

SOURCE = Path(verify_evidence.__file__)


@dataclass(frozen=True)
class Answer:
    """What the verifier said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.out)
        return value

    @property
    def codes(self) -> set[str]:
        return {problem["code"] for problem in self.json["problems"]}


def run(desk: Path, *arguments: str, python: str = sys.executable, **more: str) -> Answer:
    """The verifier, alone in an empty directory, without site packages."""
    desk.mkdir(exist_ok=True)
    shutil.copy(SOURCE, desk / "verify_evidence.py")
    environment = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8", **more}
    done = subprocess.run(
        [python, "-I", "-S", "-X", "utf8", "verify_evidence.py", *arguments],
        cwd=desk, env=environment, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout, done.stderr)


def check(export: Path, key: Path, *regions: Path, arguments: Sequence[str] = ()) -> dict[str, Any]:
    """The same in this process, for many tries: `result()`, or what could not be read."""
    given = [str(export), "--key", str(key), *(a for r in regions for a in ("--region", str(r))), *arguments]
    try:
        return verify_evidence.check(verify_evidence.options(given)).result()
    except (verify_evidence.Unreadable, OSError) as error:
        return {"exit_code": 2, "problems": [], "error": str(error)}


def codes(result: Mapping[str, Any]) -> set[str]:
    return {problem["code"] for problem in result["problems"]}


# -- making and falsifying ---------------------------------------------------------------------------------


def lines_of(export: Path) -> list[bytes]:
    return (export / "ledger.ndjson").read_bytes().splitlines()


def chained(bodies: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Records with these fields (kind, body, at, ...), chained as the ledger would."""
    lines: list[bytes] = []
    prev = GENESIS
    for number, fields in enumerate(bodies, start=1):
        record = {"at": "2026-11-22T03:04:05.000000Z", "body": {}, "kind": "test.fact", "subject": "s"}
        lines.append(canonical_bytes({**record, **fields, "prev": prev, "seq": number}))
        prev = sha256_hex(lines[-1])
    return lines


def rewritten(lines: Sequence[bytes], change: Callable[[list[dict[str, Any]]], None]) -> list[bytes]:
    """The same records after `change`, chained anew: what whoever holds the database can do."""
    records = [json.loads(line) for line in lines]
    change(records)
    return chained(records)


def seal(export: Path, lines: Sequence[bytes], key: SigningKey | None) -> None:
    """Put `lines` into the export and let export.json agree; signed by `key`, or as it was."""
    (export / "ledger.ndjson").write_bytes(b"".join(line + b"\n" for line in lines))
    document = json.loads((export / "export.json").read_bytes())
    document["files"]["ledger.ndjson"] = sha256_hex((export / "ledger.ndjson").read_bytes())
    document["head"] = {"seq": len(lines), "hash": sha256_hex(lines[-1])}
    signature = document.pop("signature")
    if key is not None:
        signed = key.sign(canonical_bytes({**document, "purpose": "tidewatch.evidence.export.v1"}))
        signature = {"key_id": signed.key_id, "algorithm": "ed25519", "value": signed.value}
    (export / "export.json").write_bytes(canonical_bytes({**document, "signature": signature}))


def put_anchor(region: Path, head: Head, key: SigningKey, at: Any) -> Path:
    path = region / anchor_key("", head.seq, head.hash)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(canonical_bytes(sign_head(head, key, at).model_dump(mode="json")))
    return path


def as_zip(export: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(export.iterdir()):
            archive.write(path, path.name)
    return target
