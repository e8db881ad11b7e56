"""A new signing key: the old one names it in the ledger, and its public half stays in the ring.

Order of statements; killed anywhere, the same call goes on where it ended:

1. the new private key is written beside the old one, `<name>.next`      nobody uses it
2. its public half is added to the ring                                 both verify
3. ledger: the old key names the new one                                the old one signs still
4. `<name>.next` takes the place of the old private key                 the new one signs

Whoever loaded the old key before step 4 may sign with it a little longer: its public half stays in the ring.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tidewatch.core.database import Connection
from tidewatch.core.errors import ConfigError, NotFound
from tidewatch.core.files import directory_lock, move, replace_file
from tidewatch.core.progress import Progress, silent
from tidewatch.core.settings import Settings
from tidewatch.core.signing import KeyRing, SigningKey, VerifyKey
from tidewatch.evidence import ledger
from tidewatch.evidence.continuity import hand_over
from tidewatch.evidence.schemas import KeysRotated


@dataclass(frozen=True)
class Rotation:
    """`done` is False when the key to replace had been replaced before."""

    old_key_id: str
    new_key_id: str
    done: bool


def next_key_file(private: Path) -> Path:
    """Where a rotation keeps the new private key until it is in force; left behind by one that was killed."""
    return private.with_name(f"{private.name}.next")


def rotate_signing_key(
    settings: Settings,
    connect: Callable[[], Connection],
    now: datetime,
    *,
    replacing: str | None = None,
    progress: Progress = silent,
) -> Rotation:
    """Replace the signing key. With `replacing` (a key id) only that one, so that a repeated call changes
    nothing.

    Raises ConfigError (a key file is missing or broken, or the two are not a pair), NotFound (`replacing` is
    no key of ours), Busy (another rotation is at work), SourceUnreachable (no warehouse): nothing is changed
    then.
    """
    private, public = settings.signing_key_file, settings.verify_key_file
    with directory_lock(private.parent), closing(connect()) as conn:
        ledger.head(conn)  # a warehouse that cannot be told is found before anything is changed
        conn.rollback()
        old, ring = SigningKey.load(private), KeyRing.load(public)
        _require_pair(old, ring, private, public)
        if replacing not in (None, old.public.key_id):
            return _replaced_before(str(replacing), old, ring)
        new = _next_key(private)
        progress("the new key is made")
        if new.public.key_id not in ring.key_ids:
            replace_file(public, _with_key(public.read_bytes(), new.public))
        progress("the ring holds both")
        if not _recorded(conn, old.public.key_id, new.public.key_id):
            body = hand_over(old, new.public, now)
            ledger.append(conn, kind=body.KIND, subject=new.public.key_id, body=body, now=now)
        conn.commit()
        progress("the ledger knows")
        fresh = next_key_file(private)
        fresh.chmod(private.stat().st_mode & 0o7777)
        move(fresh, private)
        progress("the new key signs")
    return Rotation(old.public.key_id, new.public.key_id, done=True)


def _next_key(private: Path) -> SigningKey:
    """The key that a killed call had made, or a new one. Under `.next` it is always whole."""
    fresh = next_key_file(private)
    if not fresh.exists():
        partial = fresh.with_name(f".{fresh.name}.partial")
        partial.unlink(missing_ok=True)
        SigningKey.generate().save(partial)
        move(partial, fresh)
    return SigningKey.load(fresh)


def _with_key(text: bytes, key: VerifyKey) -> bytes:
    """The ring's file with the key as its last; what people wrote between the keys stays."""
    return text.rstrip(b"\n") + b"\n" + key.pem


def _recorded(conn: Connection, old: str, new: str) -> bool:
    return any(
        r.body["old_key_id"] == old and r.body["new_key_id"] == new
        for r in ledger.records(conn, kind=KeysRotated.KIND, subject=new)
    )


def _require_pair(old: SigningKey, ring: KeyRing, private: Path, public: Path) -> None:
    if ring.get(old.public.key_id) is None:
        raise ConfigError(
            f"{public} does not hold the public half of {private}",
            expected=f"the public key {old.public.key_id} in it",
            found=", ".join(ring.key_ids),
            do="put the right files in place; nothing was changed",
        )


def _replaced_before(key_id: str, current: SigningKey, ring: KeyRing) -> Rotation:
    if ring.get(key_id) is None:
        raise NotFound(
            f"There is no signing key {key_id[:40]}",
            expected=f"the key in use, {current.public.key_id}, or an earlier one",
            found=f"none of {', '.join(ring.key_ids)}",
            do="`tidewatch keys list` shows them; nothing was changed",
        )
    return Rotation(key_id, current.public.key_id, done=False)
