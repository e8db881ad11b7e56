"""Ed25519 signatures (RFC 8032) over bytes, with keys in PEM files that `openssl` reads too."""

import base64
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.errors import ConfigError, IntegrityError

ALGORITHM = "ed25519"


@dataclass(frozen=True)
class Signature:
    """`value` is base64 of the 64 signature bytes; `key_id` names the public key."""

    key_id: str
    value: str
    algorithm: str = ALGORITHM


@dataclass(frozen=True)
class VerifyKey:
    """The public half."""

    key: Ed25519PublicKey

    @property
    def key_id(self) -> str:
        """The first 16 hex digits of SHA-256 over the 32 raw public key bytes."""
        raw = self.key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return sha256_hex(raw)[:16]

    @classmethod
    def load(cls, path: Path) -> "VerifyKey":
        """Read a PEM public key. Raises ConfigError."""
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise _unusable(path, "an Ed25519 public key in PEM form", error) from error
        if not isinstance(key, Ed25519PublicKey):
            raise _unusable(path, "an Ed25519 public key in PEM form", TypeError(type(key).__name__))
        return cls(key)

    def save(self, path: Path) -> None:
        """Write the PEM file (mode 644)."""
        path.write_bytes(
            self.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )

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
            raise IntegrityError(
                "A signature was made by another key",
                expected=f"key {self.key_id}",
                found=f"key {signature.key_id}",
                do="check with the public key that belongs to this installation, or treat it as forged",
            )
        try:
            self.key.verify(_unbase64(signature.value), data)
        except (InvalidSignature, ValueError) as error:
            raise IntegrityError(
                "A signature does not fit what it signs",
                expected=f"a valid Ed25519 signature of key {self.key_id}",
                found="bytes that were changed after signing, or a damaged signature",
                do="do not use it; fetch the copy of another region",
            ) from error


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
