"""Passwords: hashed with scrypt, checked in constant time, a few at once."""

import base64
import hashlib
import hmac
import secrets
import threading
import unicodedata

from tidewatch.core.errors import ConfigError

MIN_LENGTH, MAX_LENGTH = 12, 128
COST = 2**17
"""scrypt's N with r=8, p=1: what OWASP recommends. 128 MiB and about 0.4 s a hash."""

_BLOCK, _PARALLEL = 8, 1
# Each hash takes 128 MiB: many guesses at once must not take the memory of the machine.
_AT_ONCE = threading.BoundedSemaphore(2)


def generate() -> str:
    """A password of 120 bits in five groups, without letters that look alike."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(5))


def hash_password(password: str, *, name: str, cost: int = COST) -> str:
    """`scrypt$n$r$p$salt$hash`. Raises ConfigError for a password that is too easy to guess."""
    plain = _normal(password)
    if not MIN_LENGTH <= len(plain) <= MAX_LENGTH:
        raise _refused(f"{MIN_LENGTH} to {MAX_LENGTH} characters", f"{len(plain)} characters")
    if len(set(plain)) < 5 or name.casefold() in plain.casefold():
        raise _refused("something others cannot guess", "few different characters, or the name of the user")
    salt = secrets.token_bytes(16)
    return "$".join(
        ["scrypt", str(cost), str(_BLOCK), str(_PARALLEL), _text(salt), _text(_derive(plain, salt, cost))]
    )


def fits(password: str, hashed: str | None) -> bool:
    """Does `password` belong to `hashed`? Without a hash (nobody of that name) it takes as long, and no."""
    if hashed is None:
        _derive(_normal(password), b"nobody", COST)
        return False
    _, cost, _, _, salt, expected = hashed.split("$")
    found = _derive(_normal(password), base64.b64decode(salt), int(cost))
    return hmac.compare_digest(found, base64.b64decode(expected))


def _derive(password: str, salt: bytes, cost: int) -> bytes:
    with _AT_ONCE:
        return hashlib.scrypt(
            password.encode()[: 4 * MAX_LENGTH],
            salt=salt,
            n=cost,
            r=_BLOCK,
            p=_PARALLEL,
            maxmem=256 * _BLOCK * cost,
            dklen=32,
        )


def _normal(password: str) -> str:
    # Another keyboard may compose the same letters differently.
    return unicodedata.normalize("NFC", password.encode("utf-8", "replace").decode())


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _refused(expected: str, found: str) -> ConfigError:
    return ConfigError(
        "This password cannot be used",
        expected=expected,
        found=found,
        do="choose a longer sentence, or let one be made",
    )
