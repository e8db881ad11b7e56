#!/usr/bin/env python3
"""Check an exported evidence ledger against what regions hold. 核对导出的证据账本与各地域中的签名链头。

One file, Python 3.8 or newer, standard library only. Signatures are checked by the library `cryptography`
where it is installed, else by the program `openssl` (3.0 or newer). Nothing is written, and nothing is sent
but requests to read the region that you name.

    python3 verify_evidence.py EXPORT --key signing.pub.pem --region DIRECTORY [--region DIRECTORY ...]

EXPORT is the directory or ZIP file that `tidewatch evidence export` made. The key is *your own* copy of the
public key; or --fingerprint, the 64 hex digits that you wrote down (SHA-256 of the 32 raw bytes of the key).
A key that comes with the export proves nothing. Regions go on: give --received, the time at which you were
given the export, when you check it later than that. A region is a directory into which you downloaded its
anchors, or s3://BUCKET/PREFIX with --endpoint and, in the environment, AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN); read access is enough.

Exit codes: 0 nothing is wrong, and every region pins the export; 1 something is wrong; 2 wrong use, or
something that cannot be read; 3 nothing is wrong, but something could not be checked.
"""

# It runs on Python 3.8, which cannot do what these rules ask for:
# ruff: noqa: UP006, UP017, UP035

from __future__ import annotations

import argparse
import base64
import collections
import contextlib
import datetime
import hashlib
import hmac
import http.client
import io
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from typing import IO, Any, Iterator, NamedTuple, Tuple
from xml.etree import ElementTree

FORMAT = "tidewatch.evidence.v1"
GENESIS = "0" * 64
MAX_LINE = 4 * 1024 * 1024
MAX_OBJECT = 256 * 1024 * 1024
MAX_FILE = 16 * 1024 * 1024
MAX_BAD_LINES = 10_000
LARGEST = 2**53 - 1
FIELDS = {"at", "body", "kind", "prev", "seq", "subject"}
HEAD_FIELDS = {"seq", "hash", "signed_at", "signature"}
SIGNATURE_FIELDS = {"key_id", "algorithm", "value"}
SHOWN = 50
ANCHOR = re.compile(r"(?:^|/)(\d{16})-([0-9a-f]{16})\.json$")
PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,60}")
DIGEST = re.compile(r"[0-9a-f]{64}")
PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----(.*?)-----END PUBLIC KEY-----", re.DOTALL)
SPKI = bytes.fromhex("302a300506032b6570032100")
NOT_PROVED = (
    "that what was written is true, or that everything was written: only that it was not changed afterwards",
    "that nobody who holds the signing key wrote another history and anchored it before you first looked: "
    "keep notes of heads that you saw, and ask several regions",
    "the records after the last head that a region pins, beyond the word of the signed export",
    "times, more exactly than the clocks of the machines that wrote them",
)
NO_SIGNATURES = "signatures: here is neither openssl 3 nor the library cryptography"
DAMAGED: tuple[type[BaseException], ...] = (
    OSError, KeyError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
with contextlib.suppress(ImportError):  # without it, zipfile says NotImplementedError
    import lzma

    DAMAGED += (lzma.LZMAError,)
"""What reading a file of an export may raise, whatever was done to it."""

Objects = Iterator[Tuple[str, bytes, bool]]
"""Name, content, whether a plain reading does not show it."""


class Head(NamedTuple):
    """A signed head as it lies in a region; the signature is not checked yet."""

    place: str
    name: str
    seq: int
    hash: str
    signed_at: str
    key_id: str
    value: str


class Unreadable(Exception):
    """The input is not there or is none."""


# -- canonical JSON (RFC 8785) -----------------------------------------------------------------------------


def canonical(value: Any) -> str:
    """The one text of a JSON value. Raises ValueError for what has none."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        if abs(value) > LARGEST:
            raise ValueError("an integer beyond 2^53 - 1")
        return str(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        return "[" + ",".join(canonical(v) for v in value) + "]"
    items = sorted(value.items(), key=lambda item: item[0].encode("utf-16-be"))
    return "{" + ",".join(canonical(k) + ":" + canonical(v) for k, v in items) + "}"


def number(value: float) -> str:
    """A float as ECMAScript writes it."""
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("not a finite number")
    if value == 0:
        return "0"
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + ("" if fraction == "0" else fraction)
    point = len(whole) + int(exponent or 0)
    point -= len(digits) - len(digits.lstrip("0"))
    digits = digits.strip("0")
    count = len(digits)
    if count <= point <= 21:
        text = digits + "0" * (point - count)
    elif 0 < point <= 21:
        text = digits[:point] + "." + digits[point:]
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        rest = "." + digits[1:] if count > 1 else ""
        text = f"{digits[0]}{rest}e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return ("-" if value < 0 else "") + text


def parsed(data: bytes) -> Any:
    """The value of canonical JSON bytes. Raises ValueError for any other spelling."""
    text = data.decode("utf-8")
    try:
        value = json.loads(text)
        same = canonical(value) == text
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not same:
        raise ValueError("not the canonical form (RFC 8785)")
    return value


# -- keys and signatures -----------------------------------------------------------------------------------


def key_id(raw: bytes) -> str:
    """The first 16 hex digits of the fingerprint."""
    return hashlib.sha256(raw).hexdigest()[:16]


def public_keys(data: bytes) -> list[bytes]:
    """The 32 bytes of every Ed25519 public key in PEM text."""
    keys = []
    for block in PEM.findall(data):
        der = base64.b64decode(b"".join(block.split()))
        if len(der) != 44 or not der.startswith(SPKI):
            raise ValueError("a public key that is not Ed25519")
        keys.append(der[12:])
    return keys


def unbase64(text: str, size: int) -> bytes:
    """Strict base64. Raises ValueError."""
    data = base64.b64decode(text.encode("ascii"), validate=True)
    if base64.b64encode(data).decode() != text or len(data) != size:
        raise ValueError(f"not base64 of {size} bytes")
    return data


class Signatures:
    """Ed25519 by whatever is here; tried with a known signature before it is believed."""

    def __init__(self, how: str = "auto") -> None:
        self.how = ""
        for name in ("cryptography", "openssl") if how == "auto" else (how,):
            try:
                self._check = getattr(self, "_" + name)
                if self._fits():
                    self.how = name
                    return
            except (ImportError, OSError, subprocess.SubprocessError):
                continue

    def verify(self, raw: bytes, text: bytes, signature: bytes) -> bool:
        """Whether the key `raw` signed `text`. Only where `how` says by what."""
        return bool(self._check(raw, text, signature))

    def _fits(self) -> bool:  # RFC 8032, 7.1, test 2
        raw = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
        good = bytes.fromhex(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        )
        return self._check(raw, b"\x72", good) and not self._check(raw, b"\x73", good)

    def _cryptography(self, raw: bytes, text: bytes, signature: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(raw).verify(signature, text)
        except InvalidSignature:
            return False
        return True

    def _openssl(self, raw: bytes, text: bytes, signature: bytes) -> bool:
        pem = b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(SPKI + raw) + b"\n-----END PUBLIC KEY-----\n"
        with tempfile.TemporaryDirectory(prefix="verify-evidence-") as home:
            files = {"-inkey": pem, "-in": text, "-sigfile": signature}
            command = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin"]
            for option, content in files.items():
                path = pathlib.Path(home, option[1:])
                path.write_bytes(content)
                command += [option, str(path)]
            done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        return done.returncode == 0 and b"Verified Successfully" in done.stdout


# -- where things are read from ----------------------------------------------------------------------------


class Export:
    """The files of a directory or ZIP file."""

    def __init__(self, path: str) -> None:
        self.root, self.zip = pathlib.Path(path), None
        self.twice: list[str] = []
        if self.root.is_dir():
            self.names = sorted(file.name for file in self.root.iterdir())
            return
        try:
            self.zip = zipfile.ZipFile(path)
        except DAMAGED as error:
            raise Unreadable(f"{path} is neither a directory nor a ZIP file ({error})") from None
        self.names = self.zip.namelist()
        self.twice = sorted(name for name, times in collections.Counter(self.names).items() if times > 1)

    def open(self, name: str) -> IO[bytes]:
        """Raises one of DAMAGED."""
        if not PLAIN_NAME.fullmatch(name):
            raise ValueError("not a plain name")
        if self.zip:
            return self.zip.open(name)
        if (self.root / name).exists() and not (self.root / name).is_file():
            raise ValueError("not a file")  # a pipe or a device would never end
        return (self.root / name).open("rb")

    def content(self, name: str) -> bytes:
        """All of a small file: what unpacks to more is none of an export. Raises one of DAMAGED."""
        with self.open(name) as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise ValueError(f"larger than {MAX_FILE} bytes")
        return data


def directory(place: str) -> Objects:
    """Every anchor and manifest below a directory."""
    root = pathlib.Path(place)
    for path in sorted(root.rglob("*.json")):
        if path.exists() and not path.is_file():
            continue  # a key may go on after what looks like a file; a pipe would never end
        with path.open("rb") as file:
            yield path.relative_to(root).as_posix(), file.read(MAX_OBJECT + 1), False


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None  # the signature is for this host only


def _children(node: Any, name: str) -> list[Any]:
    return [child for child in node if child.tag.rpartition("}")[2] == name]


def _said(node: Any, name: str) -> str:
    return "".join(child.text or "" for child in _children(node, name))


class Bucket:
    """The anchors of a region over HTTPS (AWS Signature Version 4), every version, hidden ones too."""

    def __init__(self, place: str, endpoint: str | None, zone: str) -> None:
        url = urllib.parse.urlsplit(place)
        self.bucket, self.prefix = url.netloc, url.path.strip("/")
        self.endpoint = (endpoint or f"https://s3.{zone}.amazonaws.com").rstrip("/")
        self.zone = zone
        try:
            where = urllib.parse.urlsplit(self.endpoint)
            named = where.scheme in ("http", "https") and bool(where.hostname) and (where.port or 1) > 0
        except ValueError:
            named = False
        if not named or not self.bucket:
            raise Unreadable(f"{place} at {self.endpoint}: give s3://BUCKET/PREFIX, and https://HOST of it")
        try:
            self.key, self.secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        except KeyError as missing:
            raise Unreadable(f"{place} needs the environment variable {missing.args[0]}") from None
        self.opener = urllib.request.build_opener(_NoRedirect)

    def objects(self) -> Objects:
        """Every version of every anchor."""
        lead = (self.prefix + "/" if self.prefix else "") + "anchors/"
        marker: dict[str, str] | None = {}
        while marker is not None:
            answer = self._get("", dict(marker, versions="", prefix=lead))
            page = ElementTree.fromstring(answer)  # noqa: S314 - expat itself limits what entities grow to
            for row in _children(page, "Version"):
                key, version = _said(row, "Key"), _said(row, "VersionId")
                yield key, self._get(key, {"versionId": version}), _said(row, "IsLatest") != "true"
            names = {"key-marker": "NextKeyMarker", "version-id-marker": "NextVersionIdMarker"}
            after = {name: _said(page, tag) for name, tag in names.items()}
            more = _said(page, "IsTruncated") == "true"
            if more and (after == marker or not after["key-marker"]):
                raise Unreadable("the region does not list its anchors to their end")
            marker = {k: v for k, v in after.items() if v} if more else None

    def _get(self, key: str, query: dict[str, str]) -> bytes:
        def quoted(text: str, safe: str = "") -> str:
            return urllib.parse.quote(text, safe=safe + "-_.~")

        path = "/" + quoted(self.bucket) + ("/" + quoted(key, "/") if key else "")
        asked = "&".join(f"{quoted(k)}={quoted(v)}" for k, v in sorted(query.items()))
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        empty = hashlib.sha256(b"").hexdigest()
        headers = {"host": urllib.parse.urlsplit(self.endpoint).netloc, "x-amz-content-sha256": empty}
        headers["x-amz-date"] = now
        if os.environ.get("AWS_SESSION_TOKEN"):
            headers["x-amz-security-token"] = os.environ["AWS_SESSION_TOKEN"]
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        asks = "\n".join(["GET", path, asked, lines, names, empty])
        scope = f"{now[:8]}/{self.zone}/s3/aws4_request"
        digest = hashlib.sha256(asks.encode()).hexdigest()
        sign = ("AWS4" + self.secret).encode()
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, digest])
        for part in (now[:8], self.zone, "s3", "aws4_request", text):
            sign = hmac.new(sign, part.encode(), hashlib.sha256).digest()
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, SignedHeaders={names}, Signature={sign.hex()}"
        )
        url = self.endpoint + path + ("?" + asked if asked else "")
        try:
            request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the user names it
            with self.opener.open(request, timeout=60) as reply:
                return bytes(reply.read(MAX_OBJECT + 1))
        except urllib.error.HTTPError as error:
            raise Unreadable(f"{self.endpoint} answers {error.code} {error.reason}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            said = f"{type(error).__name__}: {error}"
            raise Unreadable(f"{self.endpoint} gives no usable answer ({said})") from None


# -- the check ---------------------------------------------------------------------------------------------


class Check:
    """One audit: heads first (`region`), then the export (`export`), then both together (`compare`)."""

    def __init__(
        self,
        trusted: list[bytes],
        fingerprints: set[str],
        signatures: Signatures,
        known_losses: list[str],
        received: str = "",
    ) -> None:
        self.trusted = {key_id(raw): raw for raw in trusted}
        self.fingerprints = fingerprints
        self.signatures = signatures
        self.known_losses = known_losses
        self.received = received
        self.problems: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.lacking: list[str] = []
        self.heads: list[Head] = []
        self.wanted: dict[int, str | None] = {}
        self.records, self.last, self.last_hash = 0, 0, GENESIS
        self.lost: dict[str, Any] | None = None
        self.regions: list[dict[str, Any]] = []
        self.pinned = 0

    def problem(self, code: str, text: str, seq: int | None = None) -> None:
        self.problems.append({"code": code, "text": text, "seq": seq})

    # -- the export

    def export(self, export: Export) -> None:
        """Read and check the export: its signature, its files, the chain."""
        document = self._document(export)
        listed = (document or {}).get("files")
        listed = listed if isinstance(listed, dict) else {}
        for name in export.twice:
            self.problem("export_altered", f"{name} is there twice")
        for name in sorted(set(export.names) - set(listed) - {"export.json"}):
            self.notes.append(f"{name} is no part of the export and was not looked at")
        for name in sorted(set(listed) | {"ledger.ndjson", "keys.pem"}):
            self._file(export, name, listed.get(name))
        if document is None:
            return
        self._signed("export.json", "tidewatch.evidence.export.v1", document)
        head = document.get("head")
        if not isinstance(head, dict) or (head.get("seq"), head.get("hash")) != (self.last, self.last_hash):
            text = f"export.json ends in {brief(head)}, the ledger in record {self.last} {self.last_hash}"
            self.problem("export_altered", text, self.last)

    def _document(self, export: Export) -> dict[str, Any] | None:
        try:
            with export.open("export.json") as file:
                document = parsed(file.read(MAX_LINE))
            if not isinstance(document, dict) or not isinstance(document.get("signature"), dict):
                raise ValueError("not a signed document")
        except DAMAGED as error:
            self.problem("export_altered", f"export.json cannot be used: {error}")
            return None
        if document.get("format") != FORMAT:
            found = brief(document.get("format"))
            raise Unreadable(f"the export has the format {found}, this program reads {FORMAT}")
        return document

    def _file(self, export: Export, name: str, expected: Any) -> None:
        digest = hashlib.sha256()
        try:
            if name == "ledger.ndjson":
                with export.open(name) as file:
                    self._ledger(file, digest)
            else:
                content = export.content(name)
                digest.update(content)
                if name == "keys.pem":
                    public_keys(content)
        except DAMAGED as error:
            self.problem("export_altered", f"{name} cannot be read: {error}")
            return
        if expected != digest.hexdigest():
            self.problem("export_altered", f"{name} is not the file that export.json names")

    def adopt(self, content: bytes) -> None:
        """Keys that come with the export count only where their fingerprint was written down."""
        for raw in public_keys(content):
            if hashlib.sha256(raw).hexdigest() in self.fingerprints:
                self.trusted[key_id(raw)] = raw

    # -- the chain

    def _ledger(self, file: IO[bytes], digest: Any) -> None:
        while True:
            line = file.readline(MAX_LINE + 2)
            if not line:
                return
            digest.update(line)
            self.records += 1
            if len(self.problems) >= MAX_BAD_LINES:
                raise ValueError(f"more than {MAX_BAD_LINES} things are wrong before line {self.records}")
            self._record(line[:-1] if line.endswith(b"\n") else line)

    def _record(self, line: bytes) -> None:
        expected, found = self.last + 1, hashlib.sha256(line).hexdigest()
        try:
            value = parsed(line)
            if not isinstance(value, dict) or set(value) != FIELDS or not isinstance(value["body"], dict):
                raise ValueError("not an object of at, body, kind, prev, seq, subject")
            seq = value["seq"]
            if type(seq) is not int or seq < 1:
                raise ValueError("seq is no number of a record")
        except ValueError as error:
            self.problem("altered", f"line {self.records} is no record: {error}", expected)
            self.last, self.last_hash = expected, found  # its place is taken
            self._remember()
            return
        if seq < expected:
            self.problem("reordered", f"record {seq} stands after record {self.last}", seq)
            return
        if seq > expected:
            gone = f"{seq - expected} records from {expected} on are missing before record {seq}"
            self.problem("deleted", gone, expected)
        elif value["prev"] != self.last_hash:
            text = f"record {seq} follows one with the hash {brief(value['prev'])}, but before it stands "
            text += f"{self.last_hash}: one of the two was altered, replaced or put in"
            self.problem("altered", text, seq)
        self.last, self.last_hash = seq, found
        self._remember()
        if value["kind"] == "keys.rotated":
            self._hand_over(seq, value["body"])
        elif value["kind"] == "catalog.rebuilt" and isinstance(value["body"].get("chain_before"), dict):
            self._lost(seq, value["body"]["chain_before"])

    def _remember(self) -> None:
        if self.last in self.wanted:
            self.wanted[self.last] = self.last_hash

    def _lost(self, seq: int, before: dict[str, Any]) -> None:
        moment = before.get("signed_at")
        if isinstance(moment, str) and (self.lost is None or moment >= self.lost["signed_at"]):
            self.lost = {"seq": seq, "signed_at": moment, "hash": str(before.get("hash"))}

    def _hand_over(self, seq: int, body: dict[str, Any]) -> None:
        names = ("old_key_id", "new_key_id", "new_public_key", "rotated_at", "signature")
        if not all(isinstance(body.get(name), str) for name in names):
            self.problem("hand_over", f"record {seq} hands over to no key", seq)
            return
        old, new = body["old_key_id"], body["new_key_id"]
        if old not in self.trusted:
            said = f"record {seq}: key {brief(old)} hands over to {brief(new)}"
            if new in self.trusted:
                self.notes.append(said + ", which you trust by yourself")
            else:
                self.problem("foreign_signature", said + "; you trust neither", seq)
            return
        if not self.signatures.how:
            self.lack(NO_SIGNATURES)
            return
        text = {name: body[name] for name in names if name != "signature"}
        text["purpose"] = "tidewatch.signing_key.v1"
        try:
            raw, value = unbase64(body["new_public_key"], 32), unbase64(body["signature"], 64)
            good = self.signatures.verify(self.trusted[old], canonical(text).encode(), value)
            good = good and key_id(raw) == new
        except ValueError:
            good = False
        if good:
            self.trusted[new] = raw
            self.notes.append(f"record {seq}: key {old} handed over to {new}")
        else:
            told_ = f"record {seq}: the hand-over from {old} to {brief(new)} is not signed by {old}"
            self.problem("hand_over", told_, seq)

    # -- heads in the regions

    def region(self, place: str, objects: Objects) -> None:
        """Take the heads that a region holds."""
        self.regions.append({"place": place, "heads": 0, "pinned_to": 0, "newest": None})
        shown = set()
        try:
            for name, data, hidden in objects:
                if self._object(place, name, data) and not hidden:
                    shown.add(name)
                if hidden and name not in shown:
                    text = f"{place}: {name} lies below a newer version or a delete marker"
                    self.problem("anchor_hidden", text)
        except (OSError, ElementTree.ParseError, Unreadable) as error:
            self.lack(f"{place} could not be read to its end: {error}")

    def _object(self, place: str, name: str, data: bytes) -> bool:
        match = ANCHOR.search(name)
        if match is None and name.rpartition("/")[2] != "manifest.json":
            self.notes.append(f"{place}: {name} is not named like an anchor and was not looked at")
            return False
        try:
            if match is None:
                value = json.loads(data.decode("utf-8"))["manifest"].get("ledger_head")
                if value is None:
                    return False
            else:
                value = parsed(data)
            said = value["signature"]
            if set(value) != HEAD_FIELDS or set(said) != SIGNATURE_FIELDS or said["algorithm"] != "ed25519":
                raise ValueError("not the fields of a signed head")
            seq, digest, signed_at = value["seq"], value["hash"], value["signed_at"]
            if type(seq) is not int or seq < 0 or not DIGEST.fullmatch(digest):
                raise ValueError("not the values of a signed head")
            if not all(isinstance(text, str) for text in (signed_at, said["key_id"], said["value"])):
                raise ValueError("not the values of a signed head")
            if match and (seq, digest[:16]) != (int(match.group(1)), match.group(2)):
                raise ValueError(f"it holds the head of record {seq}")
            head = Head(place, name, seq, digest, signed_at, said["key_id"], said["value"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self.problem("anchor_altered", f"{place}: {name} cannot be used: {brief(str(error))}")
            return False
        self.heads.append(head)
        self.wanted.setdefault(head.seq, None)
        return True

    def compare(self) -> None:
        """After the ledger was read: its hand-overs say which keys count."""
        genuine = [head for head in self.heads if self._genuine(head)]
        known: dict[int, dict[str, list[Head]]] = {}
        for head in genuine:
            if head.seq > 0 and not self._earlier(head):
                known.setdefault(head.seq, {}).setdefault(head.hash, []).append(head)
        for seq, hashes in known.items():
            if len(hashes) > 1:
                places = "; ".join(f"{heads[0].place}: {heads[0].name}" for heads in hashes.values())
                self.problem("fork", f"record {seq} was anchored with {len(hashes)} hashes: {places}", seq)
            for digest, heads in hashes.items():
                self._against(seq, digest, heads)
        for region in self.regions:
            if not region["heads"]:
                self.lack(f"{region['place']} holds no head that fits: it pins nothing")
        if not self.regions:
            self.lack("no region was given: an end that was cut off or written anew cannot be found")
        self._new_chain()

    def _genuine(self, head: Head) -> bool:
        document: dict[str, Any] = {"seq": head.seq, "hash": head.hash, "signed_at": head.signed_at}
        document["signature"] = {"key_id": head.key_id, "algorithm": "ed25519", "value": head.value}
        return self._signed(f"{head.place}: {head.name}", "tidewatch.ledger.head.v1", document, head.seq)

    def _signed(self, what: str, purpose: str, document: dict[str, Any], seq: int | None = None) -> bool:
        said = document["signature"]
        if not self.signatures.how:  # nor do we know, then, which key was handed over to
            self.lack(NO_SIGNATURES)
            return False
        raw = self.trusted.get(said.get("key_id")) if isinstance(said.get("key_id"), str) else None
        if raw is None:
            text = f"{what} is signed by key {brief(said.get('key_id'))}: you do not trust it, and no key "
            self.problem("foreign_signature", text + "that you trust has handed over to it", seq)
            return False
        signed = dict({k: v for k, v in document.items() if k != "signature"}, purpose=purpose)
        try:
            value = unbase64(said["value"], 64)
            good = said.get("algorithm") == "ed25519" and set(said) == SIGNATURE_FIELDS
            good = good and self.signatures.verify(raw, canonical(signed).encode(), value)
        except (ValueError, KeyError, AttributeError):
            good = False
        if not good:
            self.problem("bad_signature", f"{what} does not fit its signature: it was altered", seq)
        return good

    def _earlier(self, head: Head) -> bool:
        """Whether it belongs to the chain that the ledger says was lost."""
        return (
            self.lost is not None
            and head.signed_at <= self.lost["signed_at"]
            and self.wanted.get(head.seq) != head.hash
        )

    def _against(self, seq: int, digest: str, heads: list[Head]) -> None:
        where = ", ".join(f"{head.place}: {head.name}" for head in heads[:3])
        if seq > self.last:
            signed = min(head.signed_at for head in heads)
            text = f"the export ends at record {self.last}, but record {seq} is anchored ({where})"
            if self.received and signed > self.received:
                self.notes.append(f"{text}: signed {signed}, after you were given the export")
                return
            text += f": the end was cut off, or it was exported before {signed}, when that head was signed"
            self.problem("truncated", text, self.last + 1)
        elif self.wanted[seq] != digest:
            text = f"record {seq} has the hash {self.wanted[seq]}, but {digest} is anchored ({where})"
            self.problem("rewritten", text + ": it, or one before it, was written anew", seq)
        else:
            self.pinned = max(self.pinned, seq)
            for region in self.regions:
                ours = [head for head in heads if head.place == region["place"]]
                region["heads"] += len(ours)
                if ours and seq >= region["pinned_to"]:
                    region["pinned_to"], region["newest"] = seq, max(head.signed_at for head in ours)

    def _new_chain(self) -> None:
        if self.lost is None:
            return
        digest, moment = brief(self.lost["hash"]), brief(self.lost["signed_at"])
        said = f"record {self.lost['seq']} says that a chain was lost whose last signed head was {digest}"
        said += f", signed {moment}"
        self.notes.append(said)
        # With the moment: heads until then are left aside, and the record alone says which moment that is.
        if f"{self.lost['hash']}@{self.lost['signed_at']}" not in self.known_losses:
            self.lack(f"{said}: have it explained, then give --known-loss {digest}@{moment}")

    def lack(self, text: str) -> None:
        """Something that could not be checked, said once."""
        if text not in self.lacking:
            self.lacking.append(text)

    # -- the answer

    @property
    def code(self) -> int:
        """The exit code."""
        return 1 if self.problems else 3 if self.lacking else 0

    def result(self) -> dict[str, Any]:
        """The answer, for --json."""
        return {
            "verdict": {0: "intact", 1: "broken", 3: "incomplete"}[self.code],
            "exit_code": self.code,
            "problems": self.problems,
            "not_checked": self.lacking,
            "notes": self.notes,
            "records": self.records,
            "head": {"seq": self.last, "hash": self.last_hash},
            "pinned_to": self.pinned,
            "regions": self.regions,
            "trusted_keys": sorted(self.trusted),
            "signatures_by": self.signatures.how or None,
            "not_proved": NOT_PROVED,
        }


VERDICTS = {
    0: "INTACT: nothing is wrong, and every region pins it. 完整：未发现问题，各地域的签名链头均与账本一致。",
    1: "BROKEN: do not rely on this export. 不可信：发现下列问题，请勿采信此导出。",
    3: "NOT FULLY CHECKED: nothing wrong was found. 未能完全核对：未发现问题，但有项目无法核对。",
}


def brief(value: Any) -> str:
    """At most 100 characters of what was found."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 100 else text[:99] + "…"


def plain(text: str) -> str:
    """Nothing in it can steer a terminal or turn what stands there."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text
    )


def told(check: Check) -> Iterator[str]:
    """The answer, for people."""
    yield VERDICTS[check.code]
    yield f"{check.records} records, the last is {check.last} {check.last_hash}"
    for region in check.regions:
        newest = f"the newest is record {region['pinned_to']}, signed {region['newest']}"
        yield f"{region['place']}: {region['heads']} heads fit" + (f", {newest}" if region["heads"] else "")
    if check.regions and check.pinned < check.last:
        yield f"records {check.pinned + 1} to {check.last} are pinned by no region yet"
    for title, lines in (
        ("WRONG 问题", [f"[{p['code']}] {p['text']}" for p in check.problems]),
        ("NOT CHECKED 未核对", check.lacking),
        ("Notes 备注", check.notes),
        ("Not proved by this 本核对不能证明", NOT_PROVED),
    ):
        if lines:
            yield title
            for line in lines[:SHOWN]:
                yield "- " + line
            if len(lines) > SHOWN:
                yield f"- and {len(lines) - SHOWN} more"


def options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="verify_evidence.py"
    )
    lists: dict[str, tuple[str, str]] = {
        "--key": ("FILE", "your own copy of the public key (PEM)"),
        "--fingerprint": ("HEX", "64 hex digits that you wrote down"),
        "--region": ("PLACE", "a directory, or s3://BUCKET/PREFIX"),
        "--known-loss": ("HASH@TIME", "the last head of a lost chain, once explained"),
    }
    parser.add_argument("export", metavar="EXPORT", help="of `tidewatch evidence export`")
    for name, (metavar, text) in lists.items():
        parser.add_argument(name, action="append", default=[], metavar=metavar, help=text)
    parser.add_argument("--received", default="", metavar="TIME", help="when you were given the export")
    parser.add_argument("--endpoint", metavar="URL", help="of the S3 region")
    parser.add_argument("--s3-region", default="us-east-1", metavar="NAME", help="as in requests")
    parser.add_argument("--signatures", choices=("auto", "openssl", "cryptography"), default="auto")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    given = parser.parse_args(arguments)
    if not given.key and not given.fingerprint:
        parser.error("give --key FILE or --fingerprint HEX: your own copy, not the one in the export")
    if not all(DIGEST.fullmatch(f.lower()) for f in given.fingerprint):
        parser.error("a fingerprint has 64 hex digits")
    if given.received:
        try:
            moment = datetime.datetime.fromisoformat(re.sub("[Zz]$", "+00:00", given.received))
            if moment.tzinfo is None:
                raise ValueError("no zone")
            moment = moment.astimezone(datetime.timezone.utc)
        except (ValueError, OverflowError):
            parser.error("a time is written like 2026-11-22T16:00:00+08:00 or 2026-11-22T08:00:00Z")
        given.received = moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    return given


def check(given: argparse.Namespace) -> Check:
    """Do the audit. Raises Unreadable."""
    trusted: list[bytes] = []
    for path in given.key:
        try:
            keys = public_keys(pathlib.Path(path).read_bytes())
        except (OSError, ValueError) as error:
            raise Unreadable(f"the key file {path} cannot be used: {error}") from None
        if not keys:
            raise Unreadable(f"the key file {path} holds no Ed25519 public key in PEM form")
        trusted += keys
    work = Check(
        trusted,
        {f.lower() for f in given.fingerprint},
        Signatures(given.signatures),
        given.known_loss,
        given.received,
    )
    export = Export(given.export)
    for place in dict.fromkeys(given.region):
        if place.startswith("s3://"):
            work.region(place, Bucket(place, given.endpoint, given.s3_region).objects())
        elif pathlib.Path(place).is_dir():
            work.region(place, directory(place))
        else:
            raise Unreadable(f"{place} is no directory")
    if given.fingerprint:  # before the ledger is read: its hand-overs need the first key
        with contextlib.suppress(*DAMAGED):
            work.adopt(export.content("keys.pem"))
    work.export(export)
    work.compare()
    return work


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    given = options(arguments)
    try:
        work = check(given)
    except (Unreadable, OSError) as error:
        print(plain(f"verify_evidence.py: {error}"), file=sys.stderr)
        return 2
    except Exception as error:  # noqa: BLE001 - 1 would be an answer
        print(plain(f"verify_evidence.py: it cannot be checked: {error!r}"), file=sys.stderr)
        return 2
    try:
        for line in [json.dumps(work.result(), indent=2)] if given.json else map(plain, told(work)):
            print(line)
        sys.stdout.flush()
    except OSError:  # nobody reads the answer to its end: 1 would be one
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python says it once more
        return work.code or 2
    return work.code


if __name__ == "__main__":
    sys.exit(main())
