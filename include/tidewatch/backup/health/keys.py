"""Are the keys there, do they fit, may others read them, how long may they be used?"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path

from tidewatch.backup.health.check import Check, ok, problem, warning
from tidewatch.backup.health.limits import Limits
from tidewatch.backup.keys.signing import next_key_file
from tidewatch.backup.keys.usage import vouched_for
from tidewatch.core.errors import TidewatchError
from tidewatch.core.keysfile import KeysFile
from tidewatch.core.settings import Settings
from tidewatch.core.signing import KeyRing, SigningKey
from tidewatch.evidence.schemas import KeysRotated
from tidewatch.vault.envelope import load_recipients

_OTHERS = 0o007
_WRITERS = 0o022


def check_key_files(settings: Settings) -> tuple[list[Check], list[str], KeyRing | None]:
    """The three files; the ids of the keys in use; the ring, when it can be read."""
    checks, in_use = [], []
    signing, ring = _load_signing(settings.signing_key_file), _load_ring(settings.verify_key_file)
    if isinstance(signing, SigningKey):
        in_use.append(signing.public.key_id)
        checks.append(_private(settings.signing_key_file, signing.public.key_id))
    else:
        checks.append(signing)
    if isinstance(ring, KeyRing):
        checks.append(_ring(settings.verify_key_file, ring, signing))
    else:
        checks.append(ring)
    try:
        recipients = load_recipients(settings.recipients_file).key_ids
        in_use += recipients
        checks.append(ok("recipients", "", f"backups are encrypted to {', '.join(recipients)}"))
    except TidewatchError as error:
        checks.append(problem("recipients", "", f"{error.what}: {error.found}", error.do))
    return checks, in_use, ring if isinstance(ring, KeyRing) else None


def _load_signing(path: Path) -> SigningKey | Check:
    try:
        return SigningKey.load(path)
    except TidewatchError as error:
        return problem("signing-key", "", f"{error.what}: {error.found}", error.do)


def _load_ring(path: Path) -> KeyRing | Check:
    try:
        return KeyRing.load(path)
    except TidewatchError as error:
        return problem("verify-keys", "", f"{error.what}: {error.found}", error.do)


def _private(path: Path, key_id: str) -> Check:
    mode = path.stat().st_mode & 0o777
    if mode & (_OTHERS | _WRITERS):
        return problem(
            "signing-key",
            "",
            f"{path} has mode {mode:03o}: others than its owner and group can read it, or than its owner "
            "write it",
            f"chmod 600 {path}; if others could log in here, rotate it (`tidewatch keys rotate signing`)",
        )
    if next_key_file(path).exists():
        return warning(
            "signing-key",
            "",
            f"a rotation of {key_id} was begun and not ended",
            "`tidewatch keys rotate signing` goes on with it",
        )
    return ok("signing-key", "", f"{key_id}, mode {mode:03o}")


def _ring(path: Path, ring: KeyRing, signing: SigningKey | Check) -> Check:
    if isinstance(signing, SigningKey) and ring.get(signing.public.key_id) is None:
        return problem(
            "verify-keys",
            "",
            f"{path} does not hold the public half of the signing key {signing.public.key_id}",
            "put the right files in place: what is signed now cannot be verified",
        )
    return ok("verify-keys", "", ", ".join(ring.key_ids))


def check_expiry(in_use: Sequence[str], known: KeysFile, limits: Limits, today: date) -> Iterable[Check]:
    """No key in use is past the date that config/keys.yaml gives it. A file without keys sets no dates."""
    if not known.keys:
        yield ok("key-expiry", "", "config/keys.yaml gives no dates")
        return
    do = "rotate it (`tidewatch keys rotate`, docs/keys.md), or correct the date in config/keys.yaml"
    for key_id in dict.fromkeys(in_use):
        entry = known.get(key_id)
        if entry is None:
            yield warning("key-expiry", key_id, "is in use and not in config/keys.yaml", "enter it there")
        elif entry.expires is None:
            yield ok("key-expiry", key_id, f"no end, held by {entry.holder}")
        elif today > entry.expires:
            yield problem("key-expiry", key_id, f"expired on {entry.expires}, held by {entry.holder}", do)
        elif today + timedelta(days=limits.key_warn_days) > entry.expires:
            yield warning("key-expiry", key_id, f"expires on {entry.expires}, held by {entry.holder}", do)
        else:
            yield ok("key-expiry", key_id, f"until {entry.expires}, held by {entry.holder}")


def check_succession(changes: Sequence[KeysRotated], ring: KeyRing) -> Iterable[Check]:
    """Each public key but the first was named by one before it, in a record whose signature is good."""
    vouched = vouched_for(changes, ring)
    bad = [c for c in changes if vouched.get(c.new_key_id) != c.old_key_id]
    for change in bad:
        yield problem(
            "succession",
            change.new_key_id,
            f"the record that {change.old_key_id} named it has no good signature of that key",
            "do not trust this key before it is known who wrote that record; `tidewatch ledger verify`",
        )
    told = {c.new_key_id for c in changes}
    strangers = [k for k in ring.key_ids[1:] if k not in told]
    for key_id in strangers:
        yield warning(
            "succession",
            key_id,
            "is in the verify key file, and no record says which key named it",
            "find out who put it there; a record may have been lost with an earlier database",
        )
    if not bad and not strangers:
        yield ok("succession", "", f"{len(ring.keys)} signing keys, each named by the one before")
