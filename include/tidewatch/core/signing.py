"""Ed25519 signatures (RFC 8032) over bytes, with keys in PEM files that `openssl` reads too."""

import base64
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.errors import ConfigError, IntegrityError

ALGORITHM = "ed25519"

_PUBLIC_BLOCK = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


@dataclass(frozen=True)
class Signature:
    """`value` is base64 of the 64 signature bytes; `key_id` names the public key."""

    key_id: str
    value: str
    algorithm: str = ALGORITHM


class Verifier(Protocol):
    """What checks a signature: one key, or a ring of them."""

    def verify(self, data: bytes, signature: Signature) -> None:
        """Raises IntegrityError unless `signature` fits `data`."""


@dataclass(frozen=True)
class VerifyKey:
    """The public half."""

    key: Ed25519PublicKey

    @property
    def key_id(self) -> str:
        """The first 16 hex digits of the fingerprint."""
        return self.fingerprint[:16]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the 32 raw public key bytes, 64 hex digits: what an auditor writes down."""
        return sha256_hex(self.raw)

    @property
    def raw(self) -> bytes:
        """The 32 bytes of the key."""
        return self.key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    @classmethod
    def from_raw(cls, raw: bytes) -> "VerifyKey":
        """The key with these 32 bytes. Raises ValueError."""
        return cls(Ed25519PublicKey.from_public_bytes(raw))

    @property
    def pem(self) -> bytes:
        """The PEM text, as `openssl` writes it."""
        return self.key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def save(self, path: Path) -> None:
        """Write the PEM file (mode 644)."""
        path.write_bytes(self.pem)

    def verify(self, data: bytes, signature: Signature) -> None:
        """Raises IntegrityError unless `signature` was made by this key over `data`."""
        if signature.algorithm != ALGORITHM:
            raise IntegrityError(
                "A signature is of another kind",
                expected=ALGORITHM,
                found=signature.algorithm,
                do="do not use it; fetch the copy of another region",
            )
        if signature.key_id != self.key_id:
            raise _unknown_key(signature.key_id, [self.key_id])
        try:
            self.key.verify(_unbase64(signature.value), data)
        except (InvalidSignature, ValueError) as error:
            raise IntegrityError(
                "A signature does not fit what it signs",
                expected=f"a valid Ed25519 signature of key {self.key_id}",
                found="bytes that were changed after signing, or a damaged signature",
                do="do not use it; fetch the copy of another region",
            ) from error


@dataclass(frozen=True)
class KeyRing:
    """The public keys of an installation, the newest last: what an earlier key signed stays verifiable."""

    keys: tuple[VerifyKey, ...]

    @classmethod
    def load(cls, path: Path) -> "KeyRing":
        """Read a file of one or more PEM public keys, one after the other; text between them does not count.
        Raises ConfigError."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise _unusable(path, _RING, error) from error
        blocks = _PUBLIC_BLOCK.findall(data)
        if not blocks or data.count(b"-----BEGIN") != len(blocks):
            raise _unusable(path, _RING, ValueError("no public key, or something else beside it"))
        keys = []
        for block in blocks:
            try:
                key = serialization.load_pem_public_key(block)
            except (ValueError, UnsupportedAlgorithm) as error:
                raise _unusable(path, _RING, error) from error
            if not isinstance(key, Ed25519PublicKey):
                raise _unusable(path, _RING, TypeError(type(key).__name__))
            keys.append(VerifyKey(key))
        return cls(tuple(keys))

    @property
    def key_ids(self) -> tuple[str, ...]:
        return tuple(key.key_id for key in self.keys)

    @property
    def newest(self) -> VerifyKey:
        return self.keys[-1]

    @property
    def pem(self) -> bytes:
        return b"".join(key.pem for key in self.keys)

    def with_key(self, key: VerifyKey) -> "KeyRing":
        """The ring with `key` as its newest; the same ring when it holds it already."""
        return self if key.key_id in self.key_ids else KeyRing((*self.keys, key))

    def get(self, key_id: str) -> VerifyKey | None:
        return next((key for key in self.keys if key.key_id == key_id), None)

    def verify(self, data: bytes, signature: Signature) -> None:
        """Raises IntegrityError unless the key that `signature` names is in the ring and made it."""
        key = self.get(signature.key_id)
        if key is None:
            raise _unknown_key(signature.key_id, self.key_ids)
        key.verify(data, signature)


@dataclass(frozen=True, repr=False)
class SigningKey:
    """The private half; it stays in memory and in its file."""

    key: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"SigningKey({self.public.key_id})"

    @property
    def public(self) -> VerifyKey:
        return VerifyKey(self.key.public_key())

    @classmethod
    def generate(cls) -> "SigningKey":
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> "SigningKey":
        """Read an unencrypted PKCS#8 PEM private key. Raises ConfigError."""
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise _unusable(path, "an Ed25519 private key in PEM form (PKCS#8)", error) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise _unusable(path, "an Ed25519 private key in PEM form", TypeError(type(key).__name__))
        return cls(key)

    def save(self, path: Path) -> None:
        """Write the PEM file, readable by its owner only; an existing file is not replaced
        (FileExistsError): whoever loses a signing key can prove nothing older any more."""
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)

    def sign(self, data: bytes) -> Signature:
        return Signature(self.public.key_id, base64.b64encode(self.key.sign(data)).decode())


def _unbase64(text: str) -> bytes:
    """Strict base64: exactly the text that encoding the result gives again. Raises ValueError."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("not the canonical spelling")
    return data


_RING = "one or more Ed25519 public keys in PEM form, the newest last"


def _unknown_key(key_id: str, known: Sequence[str]) -> IntegrityError:
    return IntegrityError(
        "A signature was made by another key",
        expected=f"{'key' if len(known) == 1 else 'one of the keys'} {', '.join(known)}",
        found=f"key {key_id[:64]}",
        do="if it is an earlier key of this installation, put its public half into the file that "
        "TIDEWATCH_VERIFY_KEY_FILE names (docs/keys.md); otherwise treat it as forged",
    )


def _unusable(path: Path, expected: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"The key file {path} cannot be used",
        expected=expected,
        found=_seen(path, error),
        do="create a pair with `openssl genpkey -algorithm ed25519 -out signing.pem` and `openssl pkey -in "
        "signing.pem -pubout -out signing.pub.pem`, or point TIDEWATCH_SIGNING_KEY_FILE / "
        "TIDEWATCH_VERIFY_KEY_FILE at the right file",
    )


def _seen(path: Path, error: Exception) -> str:
    """What stands in the file instead, without quoting it."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    try:
        content = path.read_bytes()
    except OSError:
        return type(error).__name__
    for mark, kind in (
        (b"ENCRYPTED PRIVATE KEY", "a private key behind a passphrase"),
        (b"AGE-SECRET-KEY", "an age identity"),
        (b"PRIVATE KEY-----", "a private key of another kind or damaged"),
        (b"PUBLIC KEY-----", "a public key of another kind or damaged"),
    ):
        if mark in content:
            return kind
    return "an empty file" if not content.strip() else "something else"
