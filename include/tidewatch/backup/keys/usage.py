"""Which keys there are, what each is for, and how long it is needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import TidewatchError
from tidewatch.core.keysfile import KeysFile
from tidewatch.core.signing import KeyRing
from tidewatch.evidence import ledger
from tidewatch.evidence.continuity import verify_hand_over
from tidewatch.evidence.schemas import KeysRotated

Purpose = Literal["encryption", "signing"]


@dataclass(frozen=True)
class KeyUse:
    """One key: in use for new backups, or an earlier one that old backups need."""

    purpose: Purpose
    key_id: str
    state: Literal["in use", "earlier"]
    backups: int
    """Backups that only this key, or another one of their recipients, opens; or that it signed."""
    first: datetime | None
    last: datetime | None
    until: datetime | None
    """The end of the longest lock of those backups. Encryption keys only."""
    holder: str | None = None
    created: date | None = None
    expires: date | None = None
    vouched_by: str | None = None
    """Signing keys: the key that named it, as a record in the ledger with a good signature shows."""


def encryption_keys(conn: Connection, current: Sequence[str], known: KeysFile) -> list[KeyUse]:
    """Recipients in use, and those that backups in the catalogue were encrypted to, the newest first."""
    used = {row["key_id"]: row for row in execute(conn, "vault/key_use")}
    return [
        _use("encryption", key_id, key_id in current, used.get(key_id), known)
        for key_id in _in_order(current, used)
    ]


def signing_keys(conn: Connection, ring: KeyRing, current: str | None, known: KeysFile) -> list[KeyUse]:
    """Keys of the ring, the newest first, then any other that the ledger says has signed."""
    used = {row["key_id"]: row for row in execute(conn, "evidence/signers")}
    vouched = vouched_for(hand_overs(conn), ring)
    return [
        _use("signing", key_id, key_id == current, used.get(key_id), known, vouched.get(key_id))
        for key_id in _in_order(tuple(reversed(ring.key_ids)), used)
    ]


def hand_overs(conn: Connection) -> list[KeysRotated]:
    """Every change of the signing key that the ledger holds, in order."""
    return [KeysRotated.model_validate(dict(r.body)) for r in ledger.records(conn, kind=KeysRotated.KIND)]


def vouched_for(changes: Sequence[KeysRotated], ring: KeyRing) -> dict[str, str]:
    """New key id -> the key of the ring that really signed for it. What does not fit is left out."""
    found = {}
    for change in changes:
        try:
            verify_hand_over(change, ring)
        except TidewatchError:
            continue
        found[change.new_key_id] = change.old_key_id
    return found


def _in_order(current: Sequence[str], used: dict[str, dict[str, object]]) -> list[str]:
    earlier = [key_id for key_id in used if key_id not in current]
    return [*current, *earlier]


def _use(
    purpose: Purpose,
    key_id: str,
    in_use: bool,
    row: dict[str, object] | None,
    known: KeysFile,
    vouched_by: str | None = None,
) -> KeyUse:
    entry, seen = known.get(key_id), row or {}
    return KeyUse(
        purpose=purpose,
        key_id=key_id,
        state="in use" if in_use else "earlier",
        backups=int(str(seen.get("backups", 0))),
        first=_time(seen.get("first")),
        last=_time(seen.get("last")),
        until=_time(seen.get("until")),
        holder=entry.holder if entry else None,
        created=entry.created if entry else None,
        expires=entry.expires if entry else None,
        vouched_by=vouched_by,
    )


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
