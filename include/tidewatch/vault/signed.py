"""Signed JSON files: `{"<name>": {...}, "signature": {"algorithm", "key_id", "value"}}`.

The file is exactly the canonical form (RFC 8785) of that value, without a newline at the end. The signature
(Ed25519) is over the canonical bytes of the value of `<name>`, which stand in the file as they were signed.
So whoever reads the file with any JSON library, canonicalises the value again and checks the signature gets
the same answer as `open_signed`, which checks first and parses afterwards.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from tidewatch.core.canonical import canonical_bytes
from tidewatch.core.errors import IntegrityError
from tidewatch.core.signing import ALGORITHM, Signature, SigningKey, Verifier

_SIGNATURE_MARK = b',"signature":'
_SIGNATURE_FIELDS = {"algorithm", "key_id", "value"}
_KEY_ID = re.compile(r"[0-9a-f]{16}")
_LONGEST_SIGNATURE = 1000
"""Bytes. Ours have about 170; what is longer is not ours, and may be made to break a parser."""


def sign_document(name: str, value: Mapping[str, Any], key: SigningKey) -> bytes:
    """The bytes of the signed file. `name` sorts before `signature`. Raises IntegrityError when `value` has
    no canonical form."""
    if not name.isidentifier() or name >= "signature":
        raise ValueError(f"{name!r} would not come before the signature")
    body = canonical_bytes(value)
    return _head(name) + body + _tail(key.sign(body))


def open_signed(name: str, data: bytes, key: Verifier) -> dict[str, Any]:
    """The value of a signed file. Raises IntegrityError if a single byte is not as it was signed."""
    value = json.loads(signed_body(name, data, key))
    if not isinstance(value, dict):
        raise _broken(name, f"a {type(value).__name__}")
    return value


def signed_body(name: str, data: bytes, key: Verifier) -> bytes:
    """The canonical bytes of the value of a signed file; the errors of `open_signed`."""
    head = _head(name)
    mark = data.rfind(_SIGNATURE_MARK)
    if not data.startswith(head) or mark < 0:
        raise _broken(name, "bytes that do not have the form of a signed file")
    body = data[len(head) : mark]
    signature = _signature(name, data[mark + len(_SIGNATURE_MARK) : -1])
    key.verify(body, signature)
    # The signature itself has more than one spelling in base64 and JSON: only ours is accepted.
    if data[mark:] != _tail(signature):
        raise _broken(name, "bytes beside the signed part that were changed")
    return body


def signature_of(name: str, data: bytes) -> Signature:
    """The signature that a signed file carries, unchecked. Raises IntegrityError when it has none."""
    return _signature(name, data[data.rfind(_SIGNATURE_MARK) + len(_SIGNATURE_MARK) : -1])


def _head(name: str) -> bytes:
    return b'{"' + name.encode("ascii") + b'":'


def _tail(signature: Signature) -> bytes:
    fields = {"algorithm": signature.algorithm, "key_id": signature.key_id, "value": signature.value}
    return _SIGNATURE_MARK + canonical_bytes(fields) + b"}"


def _signature(name: str, text: bytes) -> Signature:
    if len(text) > _LONGEST_SIGNATURE:
        raise _broken(name, f"a signature of {len(text)} bytes")
    try:
        fields = json.loads(text)
    except (ValueError, UnicodeDecodeError) as error:
        raise _broken(name, "a signature that is not JSON") from error
    if not isinstance(fields, dict) or set(fields) != _SIGNATURE_FIELDS:
        raise _broken(name, "a signature without its fields algorithm, key_id and value")
    if fields["algorithm"] != ALGORITHM or not all(isinstance(v, str) for v in fields.values()):
        raise _broken(name, "a signature of another algorithm")
    if _KEY_ID.fullmatch(fields["key_id"]) is None:
        # It goes into records and onto screens: no text of a stranger's choice.
        raise _broken(name, "a signature whose key id is none")
    if not fields["value"].isascii():
        raise _broken(name, "a signature that is not base64")
    return Signature(fields["key_id"], fields["value"])


def _broken(name: str, found: str) -> IntegrityError:
    return IntegrityError(
        f"The {name} is not what was signed",
        expected=f"the canonical JSON of {name} and its Ed25519 signature, byte for byte",
        found=found,
        do="do not use it; fetch the copy of another region and compare",
    )
