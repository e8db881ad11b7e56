"""Sign the head of the ledger, so that a copy of the signature kept elsewhere pins everything up to it."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tidewatch.core.canonical import canonical_bytes
from tidewatch.core.clock import iso, require_utc
from tidewatch.core.signing import Signature, SigningKey, Verifier
from tidewatch.evidence.record import Head
from tidewatch.evidence.schemas import Digest, Utc

_PURPOSE = "tidewatch.ledger.head.v1"
"""Part of the signed text: a signature over something else can never pass for an anchor."""


class HeadSignature(BaseModel):
    """Ed25519: `value` is base64 of 64 bytes, `key_id` the first 16 hex digits of SHA-256 of the raw public
    key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    algorithm: Literal["ed25519"] = "ed25519"
    value: str


class SignedHead(BaseModel):
    """A head, when it was signed, and the signature over `signed_bytes`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seq: Annotated[int, Field(ge=0)]
    hash: Digest
    signed_at: Utc
    signature: HeadSignature

    @property
    def head(self) -> Head:
        return Head(self.seq, self.hash)


def signed_bytes(head: Head, signed_at: datetime) -> bytes:
    """What is signed: RFC 8785 of {"hash", "purpose", "seq", "signed_at"}, UTF-8."""
    return canonical_bytes(
        {"purpose": _PURPOSE, "seq": head.seq, "hash": head.hash, "signed_at": iso(signed_at)}
    )


def sign_head(head: Head, key: SigningKey, now: datetime) -> SignedHead:
    """`head`, signed at `now`."""
    signature = key.sign(signed_bytes(head, now))
    return SignedHead(
        seq=head.seq,
        hash=head.hash,
        signed_at=require_utc(now),
        signature=HeadSignature(key_id=signature.key_id, value=signature.value),
    )


def verify_head(signed: SignedHead, key: Verifier) -> Head:
    """The head that `signed` anchors. Raises IntegrityError when the signature is not of this key (or of one
    of this ring) over it."""
    signature = Signature(signed.signature.key_id, signed.signature.value, signed.signature.algorithm)
    key.verify(signed_bytes(signed.head, signed.signed_at), signature)
    return signed.head
