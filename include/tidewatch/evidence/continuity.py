"""A new signing key, vouched for by the one before it.

Whoever trusts the old public key can check, in the ledger, that its holder named the new one; the chain of
such records leads from the first key that an auditor wrote down to the one in use.
"""

import base64
from datetime import datetime

from tidewatch.core.canonical import canonical_bytes
from tidewatch.core.clock import iso, require_utc
from tidewatch.core.errors import IntegrityError
from tidewatch.core.signing import Signature, SigningKey, Verifier, VerifyKey
from tidewatch.evidence.schemas import KeysRotated

_PURPOSE = "tidewatch.signing_key.v1"
"""Part of the signed text: a signature over something else can never pass for a hand-over."""


def signed_bytes(old_key_id: str, new_key_id: str, new_public_key: str, rotated_at: datetime) -> bytes:
    """What the old key signs: RFC 8785 of {"new_key_id", "new_public_key", "old_key_id", "purpose",
    "rotated_at"}, UTF-8. `new_public_key` is base64 of the 32 raw bytes."""
    return canonical_bytes(
        {
            "purpose": _PURPOSE,
            "old_key_id": old_key_id,
            "new_key_id": new_key_id,
            "new_public_key": new_public_key,
            "rotated_at": iso(rotated_at),
        }
    )


def hand_over(old: SigningKey, new: VerifyKey, now: datetime) -> KeysRotated:
    """The body of the record: `old` names `new` as its successor at `now`."""
    new_public_key = base64.b64encode(new.raw).decode()
    signed = old.sign(signed_bytes(old.public.key_id, new.key_id, new_public_key, now))
    return KeysRotated(
        old_key_id=old.public.key_id,
        new_key_id=new.key_id,
        new_public_key=new_public_key,
        rotated_at=require_utc(now),
        signature=signed.value,
    )


def verify_hand_over(body: KeysRotated, known: Verifier) -> VerifyKey:
    """The successor that `body` names. Raises IntegrityError unless a key of `known` signed exactly that."""
    text = signed_bytes(body.old_key_id, body.new_key_id, body.new_public_key, body.rotated_at)
    known.verify(text, Signature(body.old_key_id, body.signature))
    try:
        new = VerifyKey.from_raw(base64.b64decode(body.new_public_key, validate=True))
    except ValueError as error:
        raise _not_a_key(body, "something that is no public key") from error
    if new.key_id != body.new_key_id:
        raise _not_a_key(body, f"the key {new.key_id}")
    return new


def _not_a_key(body: KeysRotated, found: str) -> IntegrityError:
    return IntegrityError(
        f"The record of the change to signing key {body.new_key_id} does not hold that key",
        expected=f"32 bytes whose SHA-256 begins with {body.new_key_id}",
        found=found,
        do="do not trust that key; run `tidewatch ledger verify`",
    )
