"""The manifest: everything about one backup, in one signed file that lies beside its objects.

A manifest alone names every object a restore needs, also those that an earlier backup of the same source
uploaded. docs/vault-format.md explains the fields; docs/schemas/manifest-1.json is generated from here.
An absent key means: does not apply.
"""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from tidewatch.core.errors import IntegrityError, UnsupportedVersion
from tidewatch.core.parts import count_parts
from tidewatch.core.signing import KeyRing, SigningKey, Verifier
from tidewatch.vault.facts import BigInt, Count, DatabaseFingerprint, Fact, ReplayAnswer, Sha256, Utc
from tidewatch.vault.filenames import decode_name
from tidewatch.vault.layout import BACKUP_ID_PATTERN, OBJECT_NAME_PATTERN, SOURCE_PATTERN, BackupPath
from tidewatch.vault.signed import sign_document, signature_of, signed_body

__all__ = [
    "CopyEntry",
    "DatabaseFingerprint",
    "Encryption",
    "FileEntry",
    "GateResult",
    "Manifest",
    "ObjectEntry",
    "Policy",
    "ReadBack",
    "ReplayAnswer",
    "RunRef",
    "Totals",
    "Verdict",
    "from_json",
    "json_schema",
    "open_manifest",
    "open_recorded",
    "schema_text",
    "sign",
    "signer_of",
]

VERSION: Literal[1] = 1

Verdict = Literal["sealed", "degraded", "failed", "suspect"]
BackupId = Annotated[str, Field(pattern=BACKUP_ID_PATTERN)]
SourceName = Annotated[str, Field(pattern=rf"^{SOURCE_PATTERN}$")]


_STRICT = ConfigDict(extra="forbid", strict=True)


class RunRef(Fact):
    """Which Dag run made the backup. Without Airflow: dag_id `cli`, run_id chosen by the caller."""

    dag_id: str
    run_id: str
    try_number: Count = 1


class Policy(Fact):
    """The residency and retention policy in force."""

    id: str
    version: str


class ObjectEntry(Fact):
    """One file in the vault."""

    name: Annotated[str, Field(pattern=OBJECT_NAME_PATTERN)]
    role: Literal["dump", "roles", "pack"]
    key: str
    """Relative to the region's prefix: the same in every region (see vault/layout.py)."""
    backup_id: BackupId
    """The backup that uploaded it: this one, or an earlier one of the same source."""
    plain_size: Count
    plain_sha256: Sha256
    """Of the stream before compression."""
    cipher_size: Count
    cipher_sha256: Sha256
    """Of the stored bytes."""
    part_size: Annotated[int, Field(ge=1)] | None = None
    """Bytes of the first part when it was uploaded in parts, see `core.parts`; None: one piece."""
    composite_sha256: Sha256 | None = None
    """For an upload in parts: SHA-256 over the parts' SHA-256 values, which is what stores report."""

    @property
    def parts(self) -> int:
        """Number of parts, 0 for an object stored in one piece."""
        return count_parts(self.cipher_size, self.part_size) if self.part_size else 0


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class FileEntry:
    """One path of a files source."""

    # With slots and without pydantic's bookkeeping: there may be a hundred thousand of them.

    path: str
    """Relative to the root of the source, `/` between parts; see `path_encoded`."""
    size: Count
    mode: Count
    """Permission bits (`st_mode & 0o7777`)."""
    mtime: BigInt
    """Nanoseconds since 1970-01-01T00:00:00Z."""
    type: Literal["file", "directory", "symlink", "hardlink"]
    sha256: Sha256 | None = None
    """Of the content; for `file` and `hardlink`. It is also the name of the tar member in the pack."""
    link_target: str | None = None
    """For `symlink` the target as it was read; for `hardlink` the first path of the same file."""
    object: Annotated[int, Field(ge=0)] | None = None
    """Index into `objects` of the pack that holds the content; None when there is none (size 0, links)."""
    path_encoded: bool = False
    """The name is not valid UTF-8: bytes are written as %XX in `path` (see vault/filenames.py)."""
    link_encoded: bool = False

    @property
    def path_bytes(self) -> bytes:
        return decode_name(self.path, self.path_encoded)


_FILE: TypeAdapter[FileEntry] = TypeAdapter(FileEntry)
_FILES: TypeAdapter[list[FileEntry]] = TypeAdapter(list[FileEntry])


def files_to_bytes(files: list[FileEntry]) -> bytes:
    """A list of files as JSON."""
    return _FILES.dump_json(files, exclude_none=True)


def files_from_bytes(data: bytes) -> list[FileEntry]:
    """The inverse of `files_to_bytes`."""
    return _FILES.validate_json(data)


class ReadBack(Fact):
    """What a region answered about one object after it was uploaded and locked."""

    key: str
    """The full key in the region."""
    size: Count | None = None
    sha256: Sha256 | None = None
    """Full mode: of the bytes read. Checksum mode: the value the store had recorded."""
    lock_mode: str | None = None
    retain_until: Utc | None = None
    version_id: str | None = None
    read_at: Utc
    mode: Literal["full", "checksum"]
    """How it was really checked: `checksum` falls back to `full` where the store kept no checksum."""
    ok: bool
    problem: str | None = None
    """Every difference, each with what was expected and found."""


class CopyEntry(Fact):
    """The backup in one region."""

    region: str
    provider: str
    bucket: str
    state: Literal["verified", "failed"]
    objects: list[ReadBack] = Field(default_factory=list)
    error: str | None = None


class Encryption(Fact):
    """How objects are encrypted, and to whom."""

    format: Literal["age"] = "age"
    compression: Literal["zstd"] = "zstd"
    key_ids: Annotated[list[str], Field(min_length=1)]
    """First 16 hex digits of SHA-256 of each recipient's public text (see vault/envelope.py)."""


class GateResult(Fact):
    """What the backup gate said."""

    passed: bool
    gate: str = "backup"
    failures: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)


class Totals(Fact):
    """Sums for lists and reports. Bytes."""

    objects: Count = 0
    plain_size: Count = 0
    cipher_size: Count = 0
    new_plain_size: Count = 0
    """Of the objects that this backup uploaded itself."""
    new_cipher_size: Count = 0
    tables: Count | None = None
    rows: Count | None = None
    files: Count | None = None
    excluded: Count | None = None
    """Files left out on purpose."""


class Manifest(Fact):
    """One backup. Without `verdict` it is a draft: staged, not yet judged, not to be signed."""

    version: Literal[1] = VERSION
    backup_id: BackupId
    source: SourceName
    source_type: Literal["postgres", "files"]
    data_class: str
    policy: Policy
    snapshot_at: Utc
    started_at: Utc
    ended_at: Utc | None = None
    run: RunRef
    schedule: str | None = None
    tools: dict[str, str]
    """Program -> version."""
    objects: list[ObjectEntry]
    database: DatabaseFingerprint | None = None
    files: list[FileEntry] | None = None
    replay: list[ReplayAnswer] | None = None
    """What the statements of sql/restore/replay/ for this source answered in the snapshot."""
    copies: list[CopyEntry] = Field(default_factory=list)
    encryption: Encryption
    gate: GateResult | None = None
    verdict: Verdict | None = None
    ledger_head: dict[str, JsonValue] | None = None
    """The signed head of the evidence ledger when this backup was committed."""
    timings: dict[str, Annotated[float, Field(ge=0, le=1e9)]] = Field(default_factory=dict)
    """Phase -> seconds."""
    totals: Totals = Totals()
    notes: list[str] = Field(default_factory=list)
    """What a reader must know: files that kept changing, a region that was left out, ..."""

    @model_validator(mode="after")
    def _holds_together(self) -> "Manifest":
        problems = list(_problems(self))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def path(self) -> BackupPath:
        """Relative place of the backup; `BackupPath(region.config.prefix, ...)` for a region's own keys."""
        return BackupPath("", self.source, self.backup_id)

    @property
    def own_objects(self) -> list[ObjectEntry]:
        """The objects that this backup uploaded itself."""
        return [o for o in self.objects if o.backup_id == self.backup_id]

    def to_json(self) -> dict[str, Any]:
        """The JSON value that is signed and stored: without keys whose value is None."""
        return self.model_dump(mode="json", exclude_none=True)

    def without_files(self) -> dict[str, Any]:
        """`to_json` with an empty list in the place of the files: small whatever the source."""
        value = self.model_dump(mode="json", exclude_none=True, exclude={"files"})
        return value if self.files is None else value | {"files": []}

    def streamed(self) -> dict[str, Any]:
        """`to_json` whose files are made one by one."""
        value = self.without_files()
        if self.files is not None:
            value["files"] = (_FILE.dump_python(f, mode="json", exclude_none=True) for f in self.files)
        return value


def _problems(m: Manifest) -> Iterator[str]:
    if not m.backup_id.startswith(m.source + "-"):
        yield f"backup_id {m.backup_id} is not one of source {m.source}"
    keys = [o.key for o in m.objects]
    if len(set(keys)) != len(keys):
        yield "two objects have the same key"
    for entry in m.objects:
        if not entry.backup_id.startswith(m.source + "-"):
            yield f"object {entry.key} belongs to another source"
        elif entry.key != BackupPath("", m.source, entry.backup_id).object_key(entry.name):
            yield f"object {entry.name} has key {entry.key}, not the one its backup_id and name give"
    regions = [c.region for c in m.copies]
    if len(set(regions)) != len(regions):
        yield "two copies are in the same region"
    if (m.database is not None) != (m.source_type == "postgres"):
        yield "a database fingerprint belongs to a postgres source, and to nothing else"
    if (m.files is not None) != (m.source_type == "files"):
        yield "a list of files belongs to a files source, and to nothing else"
    if m.replay is not None and m.database is None:
        yield "answers belong to a postgres source, and to nothing else"
    yield from _file_problems(m.files or [], m.objects)


def _file_problems(files: list[FileEntry], objects: list[ObjectEntry]) -> Iterator[str]:
    seen: set[bytes] = set()
    for entry in files:
        raw = entry.path_bytes
        if not raw or raw.startswith(b"/") or b"\0" in raw or b".." in raw.split(b"/"):
            yield f"path {entry.path!r} leads out of the source"
        if raw in seen:
            yield f"path {entry.path!r} is there twice"
        seen.add(raw)
        if entry.object is not None and entry.object >= len(objects):
            yield f"path {entry.path!r} names object {entry.object} of {len(objects)}"
        if entry.type == "file" and (entry.sha256 is None or (entry.object is None and entry.size > 0)):
            yield f"path {entry.path!r} is a file without content"
        if (entry.type in ("symlink", "hardlink")) != (entry.link_target is not None):
            yield f"path {entry.path!r}: a link, and only a link, has a target"


def sign(manifest: Manifest, key: SigningKey) -> bytes:
    """The bytes of manifest.json. Raises ValueError for a draft (no verdict, no end)."""
    if manifest.verdict is None or manifest.ended_at is None:
        raise ValueError(f"{manifest.backup_id} is a draft: it has no verdict or no end, and is not signed")
    return sign_document("manifest", manifest.streamed(), key)


def open_manifest(data: bytes, key: Verifier) -> Manifest:
    """The manifest in `data`. Raises IntegrityError when any byte differs from what was signed, and
    UnsupportedVersion for one that a newer Tidewatch wrote."""
    return _parsed(signed_body("manifest", data, key))


def signer_of(data: bytes) -> str:
    """The id of the key that a manifest.json says it was signed with."""
    return signature_of("manifest", data).key_id


def open_recorded(data: bytes, ring: KeyRing) -> Manifest:
    """A manifest whose bytes our own catalogue vouches for, having kept them or their digest.

    What a key of the ring signed is checked as `open_manifest` does. A manifest of a key that the ring has
    lost is only parsed: a lost public key must not leave backups behind that nobody finishes or heals.
    """
    if ring.get(signer_of(data)) is not None:
        return open_manifest(data, ring)
    return from_json(json.loads(data)["manifest"])


def from_json(value: dict[str, Any]) -> Manifest:
    """A manifest from its JSON value (a draft of the catalogue, or what `open_manifest` has checked).
    Raises UnsupportedVersion, IntegrityError."""
    return _parsed(json.dumps(value).encode())


def _parsed(text: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise _unusable(json.loads(text), error) from None  # pydantic's own text quotes the input


def _unusable(value: Any, error: ValidationError) -> IntegrityError | UnsupportedVersion:
    fields = value if isinstance(value, dict) else {}
    name, version = str(fields.get("backup_id"))[:80], fields.get("version")
    if isinstance(version, int) and version > VERSION:
        return UnsupportedVersion(
            f"The manifest of {name} is of format version {version}",
            expected=f"at most version {VERSION}, which this Tidewatch can read",
            found=f"version {version}, written by a newer Tidewatch",
            do="upgrade Tidewatch to the version that wrote it, or newer",
        )
    first = error.errors(include_url=False, include_input=False)[0]
    return IntegrityError(
        f"The manifest of {name} does not follow its schema",
        expected="docs/schemas/manifest-1.json",
        found=f"{error.error_count()} problem(s), the first at "
        f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}",
        do="do not use it; fetch the copy of another region, or report a defect of Tidewatch",
    )


def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of the whole file, signature included."""
    inner = Manifest.model_json_schema(mode="serialization", ref_template="#/$defs/{model}")
    definitions = inner.pop("$defs")
    definitions["Manifest"] = inner
    definitions["Signature"] = {
        "type": "object",
        "additionalProperties": False,
        "required": ["algorithm", "key_id", "value"],
        "properties": {
            "algorithm": {"const": "ed25519"},
            "key_id": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
            "value": {"type": "string", "pattern": "^[A-Za-z0-9+/]{86}==$"},
        },
    }
    for definition in definitions.values():
        _absent_keys_are_optional(definition)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tidewatch backup manifest, version 1",
        "type": "object",
        "additionalProperties": False,
        "required": ["manifest", "signature"],
        "properties": {
            "manifest": {"$ref": "#/$defs/Manifest"},
            "signature": {"$ref": "#/$defs/Signature"},
        },
        "$defs": definitions,
    }


def _absent_keys_are_optional(definition: dict[str, Any]) -> None:
    """In the file a key whose value is None is left out, so what may be null is not required."""
    for name, field in definition.get("properties", {}).items():
        choices = field.get("anyOf", [])
        if {"type": "null"} in choices and name in definition.get("required", []):
            definition["required"].remove(name)


def schema_text() -> str:
    """What docs/schemas/manifest-1.json holds."""
    return json.dumps(json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":  # python -m tidewatch.vault.manifest > docs/schemas/manifest-1.json
    print(schema_text(), end="")
