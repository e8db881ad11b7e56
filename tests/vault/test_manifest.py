"""The manifest: signed byte for byte, strict, described by its schema, quick for a hundred thousand files."""

import copy
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from vault_samples import (
    NOW,
    backup_id,
    database_fingerprint,
    entry,
    file_entry,
    files_draft,
    finished,
    sha,
)

from tidewatch.core.canonical import canonical_bytes
from tidewatch.core.errors import IntegrityError, UnsupportedVersion
from tidewatch.core.signing import SigningKey
from tidewatch.vault import manifest as manifests
from tidewatch.vault.facts import SequenceFingerprint
from tidewatch.vault.filenames import decode_name, encode_name
from tidewatch.vault.manifest import FileEntry, Manifest, ReadBack, open_manifest, sign
from tidewatch.vault.signed import sign_document

KEY = SigningKey.generate()
SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "schemas" / "manifest-1.json"
SCHEMA = Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))


def files_manifest(**more: Any) -> Manifest:
    files = [file_entry("a.jpg", "a"), file_entry("目录/b c.jpg", "b")]
    return finished(files_draft(1, files=files, objects=[entry(backup_id(1))], **more))


def postgres_manifest() -> Manifest:
    of = backup_id(1, "ops")
    sequence = SequenceFingerprint(schema_name="public", name="s", last_value=2**63 - 1, is_called=True)
    values = {
        **dict(files_draft(1, files=[], objects=[])),
        "backup_id": of,
        "source": "ops",
        "source_type": "postgres",
        "files": None,
        "database": database_fingerprint().model_copy(update={"sequences": [sequence]}),
        "objects": [entry(of, "dump.pgc.zst.age", "dump"), entry(of, "roles.sql.zst.age", "roles")],
        "ledger_head": {"seq": 7, "hash": sha("head"), "signature": {"key_id": "k", "value": "v"}},
        "timings": {"dump": 1.5, "upload": 0.1, "read_back": 12.0},
    }
    return finished(Manifest(**values), "degraded", dead=("cn-north",))


@pytest.mark.parametrize("manifest", [files_manifest(), postgres_manifest()], ids=["files", "postgres"])
def test_a_signed_manifest_opens_to_the_same_manifest_and_follows_the_schema(manifest: Manifest) -> None:
    data = sign(manifest, KEY)
    assert open_manifest(data, KEY.public) == manifest
    SCHEMA.validate(json.loads(data))


def test_a_manifest_that_tells_of_a_missing_object_can_be_opened_again() -> None:
    whole = files_manifest()
    lost = ReadBack(key="tidewatch/x", read_at=NOW, mode="full", ok=False, problem="object: none")
    unlocked = lost.model_copy(update={"size": 1, "sha256": sha("x")})
    copies = [whole.copies[0].model_copy(update={"state": "failed", "objects": [lost, unlocked]})]
    told = Manifest.model_validate(dict(whole) | {"copies": copies, "verdict": "failed"})
    data = sign(told, KEY)
    assert open_manifest(data, KEY.public) == told
    SCHEMA.validate(json.loads(data))


NAMES = st.binary(min_size=1, max_size=20).map(lambda b: b.replace(b"\0", b"0").replace(b"/", b"-"))


@st.composite
def file_entries(draw: st.DrawFn) -> FileEntry:
    name = encode_name(draw(NAMES.filter(lambda n: n != b"..")))
    target = encode_name(draw(NAMES))
    kind = draw(st.sampled_from(["file", "directory", "symlink", "hardlink"]))
    links = kind in ("symlink", "hardlink")
    return FileEntry(
        path=name.text,
        path_encoded=name.encoded,
        size=draw(st.integers(0, 2**53 - 1)),
        mode=draw(st.integers(0, 0o7777)),
        mtime=draw(st.integers(-(2**63), 2**63 - 1)),
        type=kind,  # type: ignore[arg-type]
        sha256=sha(name.text) if kind in ("file", "hardlink") else None,
        link_target=target.text if links else None,
        link_encoded=links and target.encoded,
        object=0 if kind == "file" else None,
    )


@settings(max_examples=50)
@given(
    st.lists(file_entries(), max_size=5, unique_by=lambda e: e.path_bytes),
    st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1)),  # noqa: DTZ001
    st.dictionaries(st.text(), st.floats(0, 1e9), max_size=3),
    st.lists(st.text(), max_size=3),
)
def test_any_manifest_survives_signing_and_opening(
    files: list[FileEntry], at: datetime, timings: dict[str, float], notes: list[str]
) -> None:
    more = {"snapshot_at": at, "timings": timings, "notes": notes}
    manifest = finished(files_draft(1, files=files, objects=[entry(backup_id(1))], **more))
    data = sign(manifest, KEY)
    assert open_manifest(data, KEY.public) == manifest
    SCHEMA.validate(json.loads(data))


SIGNED = sign(files_manifest(), KEY)


@settings(max_examples=300)
@given(st.integers(0, len(SIGNED) - 1), st.integers(1, 255))
def test_any_changed_byte_is_an_integrity_error(at: int, change: int) -> None:
    broken = bytearray(SIGNED)
    broken[at] ^= change
    with pytest.raises(IntegrityError):
        open_manifest(bytes(broken), KEY.public)


@settings(max_examples=100)
@given(st.integers(0, len(SIGNED) - 1), st.binary(max_size=3))
def test_any_missing_or_added_bytes_are_an_integrity_error(at: int, added: bytes) -> None:
    for broken in (SIGNED[:at], SIGNED[:at] + b" " + added + SIGNED[at:], SIGNED + b"\n"):
        with pytest.raises(IntegrityError):
            open_manifest(broken, KEY.public)


def test_every_spelling_of_the_signature_but_ours_is_refused() -> None:
    """Base64 has spare bits at the end, and JSON can write a letter in two ways."""
    value = json.loads(SIGNED)["signature"]["value"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = value[:85] + alphabet[alphabet.index(value[85]) ^ 1] + "=="
    key_id = KEY.public.key_id
    for broken in (
        SIGNED.replace(value.encode(), twin.encode()),
        SIGNED.replace(key_id.encode(), f"\\u{ord(key_id[0]):04x}{key_id[1:]}".encode()),
        SIGNED.replace(b'"algorithm":"ed25519"', b'"algorithm":"none"'),
        json.dumps(json.loads(SIGNED), indent=1).encode(),
    ):
        assert broken != SIGNED
        with pytest.raises(IntegrityError):
            open_manifest(broken, KEY.public)


def test_a_manifest_of_another_key_is_refused() -> None:
    with pytest.raises(IntegrityError, match="another key"):
        open_manifest(SIGNED, SigningKey.generate().public)


def test_anybody_can_check_the_signature_with_a_json_library_and_ed25519() -> None:
    """As docs/vault-format.md tells a stranger to do it, without our reader."""
    import base64

    file = json.loads(SIGNED)
    KEY.public.key.verify(base64.b64decode(file["signature"]["value"]), canonical_bytes(file["manifest"]))


def test_a_manifest_of_a_newer_version_asks_for_an_upgrade() -> None:
    newer = files_manifest().to_json() | {"version": 2, "shape": "unknown"}
    with pytest.raises(UnsupportedVersion, match="upgrade Tidewatch"):
        open_manifest(sign_document("manifest", newer, KEY), KEY.public)


def _without(value: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in value.items() if k != key}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m | {"extra": 1}, "extra"),
        (lambda m: _without(m, "source"), "source"),
        (lambda m: m | {"verdict": "good"}, "verdict"),
        (lambda m: m | {"version": "1"}, "version"),
        (lambda m: m | {"version": 0}, "version"),
        (lambda m: m | {"snapshot_at": "2026-11-22T01:30:00Z"}, "snapshot_at"),
        (lambda m: m | {"source": "ops"}, "not one of source ops"),
        (lambda m: m | {"objects": m["objects"] * 2}, "same key"),
        (lambda m: m | {"objects": [m["objects"][0] | {"key": "elsewhere/x"}]}, "has key elsewhere/x"),
        (lambda m: m | {"objects": [m["objects"][0] | {"plain_size": "1000"}]}, "plain_size"),
        (lambda m: m | {"objects": [m["objects"][0] | {"plain_size": True}]}, "plain_size"),
        (lambda m: m | {"objects": []}, "names object 0 of 0"),
        (lambda m: m | {"copies": m["copies"] + m["copies"][:1]}, "same region"),
        (lambda m: _without(m, "files"), "list of files"),
        (lambda m: m | {"files": m["files"][:1] * 2}, "is there twice"),
        (lambda m: m | {"files": [m["files"][0] | {"path": "../etc/passwd"}]}, "leads out"),
        (lambda m: m | {"files": [m["files"][0] | {"path": "/etc/passwd"}]}, "leads out"),
        (lambda m: m | {"files": [m["files"][0] | {"path": "%2E%2E/x", "path_encoded": True}]}, "leads out"),
        (lambda m: m | {"files": [_without(m["files"][0], "object")]}, "without content"),
        (lambda m: m | {"files": [m["files"][0] | {"link_target": "x"}]}, "only a link"),
        (lambda m: m | {"timings": {"dump": -1}}, "timings"),
        (lambda m: m | {"encryption": {"key_ids": []}}, "key_ids"),
    ],
)
def test_a_wrong_manifest_is_refused_by_name_although_it_is_signed(change: Any, says: str) -> None:
    value = change(copy.deepcopy(files_manifest().to_json()))
    with pytest.raises(IntegrityError, match=says):
        open_manifest(sign_document("manifest", value, KEY), KEY.public)


def test_a_draft_is_not_signed() -> None:
    draft = files_draft(1, files=[], objects=[])
    assert manifests.from_json(draft.to_json()) == draft
    with pytest.raises(ValueError, match="draft"):
        sign(draft, KEY)


def test_a_time_without_a_zone_is_refused_and_others_become_utc() -> None:
    with pytest.raises(ValueError, match="timezone"):
        files_draft(1, files=[], objects=[], snapshot_at=datetime(2026, 1, 1))  # noqa: DTZ001
    from datetime import timezone

    local = NOW.astimezone(timezone(timedelta(hours=8)))
    draft = files_draft(1, files=[], objects=[], snapshot_at=local)
    assert draft.to_json()["snapshot_at"] == "2026-11-22T01:30:00.000000Z"


@given(st.binary(min_size=1, max_size=30))
def test_any_file_name_is_valid_unicode_in_json_and_comes_back_as_its_bytes(raw: bytes) -> None:
    name = encode_name(raw)
    name.text.encode("utf-8")
    assert decode_name(name.text, name.encoded) == raw
    try:
        assert (raw.decode(), False) == (name.text, name.encoded)
    except UnicodeDecodeError:
        assert name.encoded


def test_a_name_that_is_not_utf8_stays_readable() -> None:
    name = encode_name("目录/100%".encode() + b"\xff.jpg")
    assert (name.text, name.encoded) == ("目录/100%25%FF.jpg", True)
    assert encode_name("as os gives it \udcff") == encode_name(b"as os gives it \xff")


def test_the_schema_in_docs_is_the_one_of_the_models() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == manifests.schema_text(), (
        "run: python -m tidewatch.vault.manifest > docs/schemas/manifest-1.json"
    )


def test_the_schema_refuses_what_the_models_refuse() -> None:
    good = json.loads(SIGNED)
    for change in (
        {"extra": 1},
        {"verdict": "good"},
        {"version": 2},
        {"snapshot_at": "yesterday"},
        {"backup_id": "x"},
    ):
        assert list(SCHEMA.iter_errors(good | {"manifest": good["manifest"] | change})), change
    assert list(SCHEMA.iter_errors(good | {"comment": "x"}))


def test_a_manifest_of_a_hundred_thousand_files_is_signed_and_opened_in_seconds() -> None:
    files = [file_entry(f"目录/{i % 100}/文件-{i}.jpg", str(i)) for i in range(100_000)]
    manifest = finished(files_draft(1, files=files, objects=[entry(backup_id(1))]))
    began = time.process_time()
    data = sign(manifest, KEY)
    found = open_manifest(data, KEY.public)
    seconds = time.process_time() - began
    assert found.files is not None
    assert len(found.files) == 100_000
    assert seconds < 20, f"{seconds:.1f} s of CPU"
