"""To whom backups are encrypted: noticed when it changes, changed on demand, in the ledger either way.

The recipients file is what counts. Old backups keep the recipients they were made for: a new one opens none
of them, and a removed one still opens all that were made while it stood there.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from tidewatch.backup import messages
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import ConfigError
from tidewatch.core.files import directory_lock, replace_file
from tidewatch.core.progress import Progress, silent
from tidewatch.evidence import ledger
from tidewatch.evidence.schemas import KeysChanged
from tidewatch.notices import outbox
from tidewatch.vault.envelope import key_id, load_recipients

SUBJECT = "recipients"


@dataclass(frozen=True)
class Change:
    """Key ids before and after; equal when there was nothing to change."""

    old: tuple[str, ...]
    new: tuple[str, ...]


def last_recorded(conn: Connection) -> list[str]:
    """Key ids of the recipients as the ledger knows them, sorted; none before the first backup."""
    if (changed := ledger.newest(conn, KeysChanged.KIND)) is not None:
        return sorted(changed.body["new"])
    if (staged := ledger.newest(conn, "backup.staged")) is not None:  # of a Tidewatch without such records
        return sorted(staged.body["recipients"])
    return []


def notice_change(conn: Connection, key_ids: Sequence[str], backup_id: str, now: datetime) -> None:
    """Record that `backup_id` is the first one encrypted to `key_ids`, when they differ from the last ones
    recorded; somebody is told, unless it is the first backup of all. In the caller's transaction, which may
    append to the ledger afterwards and must take no other lock."""
    new, old = sorted(set(key_ids)), last_recorded(conn)
    if new == old:
        return
    if old:
        # One notice a change, whichever of several sources that begin at once is first.
        seen = ledger.newest(conn, KeysChanged.KIND)
        fact = sha256(f"{seen.seq if seen else 0} {old} {new}".encode()).hexdigest()[:16]
        outbox.post(conn, messages.recipients_changed(fact, backup_id, old, new), now)
    record_change(conn, new, now, noticed_by="backup", since_backup=backup_id)


def record_change(
    conn: Connection, new: list[str], now: datetime, *, noticed_by: str, since_backup: str | None = None
) -> bool:
    """Append the record unless the ledger says so already. Two that notice the same change write one."""
    execute(conn, "evidence/lock_head")
    if (old := last_recorded(conn)) == new:
        return False
    body = KeysChanged.model_validate(
        {
            "what": "recipients",
            "old": old,
            "new": new,
            "noticed_by": noticed_by,
            "since_backup": since_backup,
        }
    )
    ledger.append(conn, kind=body.KIND, subject=SUBJECT, body=body, now=now)
    return True


def rotate_recipients(
    path: Path,
    connect: Callable[[], Connection],
    now: datetime,
    *,
    add: Sequence[Path] = (),
    remove: Sequence[str] = (),
    progress: Progress = silent,
) -> Change:
    """Add the public keys of files, and remove keys by key id or by a file of public keys. Idempotent.

    The file is replaced in one step, then the ledger is told. Killed in between, the next call or the next
    backup tells it. Raises ConfigError (nothing is changed) when a file holds no public key, nobody would be
    left, or a key is to be added and removed; Busy; SourceUnreachable without the warehouse.
    """
    with directory_lock(path.parent), closing(connect()) as conn:
        ledger.head(conn)  # a warehouse that cannot be told is found before anything is changed
        conn.rollback()
        before = load_recipients(path)
        fresh = [line for file in add for line in _keys_in(file)]
        gone = {i for item in remove for i in _key_ids_of(item)}
        if both := sorted(gone & {key_id(line) for line in fresh}):
            raise ConfigError(
                "A key is to be added and removed",
                expected="one of the two",
                found=", ".join(both),
                do="give it once; nothing was changed",
            )
        if unknown := sorted(gone - set(before.key_ids)):
            progress(f"not there, so not removed: {', '.join(unknown)}")
        text = path.read_text(encoding="utf-8")
        changed = _edited(text, fresh, gone)
        if changed != text:
            _check(path, changed)
            replace_file(path, changed.encode())
        progress("the file is written")
        after = load_recipients(path)
        record_change(conn, sorted(set(after.key_ids)), now, noticed_by="command")
        conn.commit()
    return Change(before.key_ids, after.key_ids)


def _edited(text: str, add: Sequence[str], remove: set[str]) -> str:
    """`text` with its comments and order kept."""
    lines = [line for line in text.splitlines() if _is_note(line) or key_id(line) not in remove]
    there = {key_id(line) for line in lines if not _is_note(line)}
    for line in add:
        if key_id(line) not in there:
            there.add(key_id(line))
            lines.append(line)
    return "\n".join(lines) + "\n" if lines != text.splitlines() else text


def _check(path: Path, text: str) -> None:
    """Raises ConfigError unless the new text is a recipients file."""
    trial = path.with_name(f".{path.name}.trial")
    try:
        trial.write_text(text, encoding="utf-8")
        load_recipients(trial)
    except ConfigError as error:
        raise ConfigError(
            f"The recipients file {path} would not be usable",
            expected=error.expected,
            found=error.found,
            do="nothing was changed; add the new key before the last one is removed",
        ) from None
    finally:
        trial.unlink(missing_ok=True)


def _keys_in(file: Path) -> list[str]:
    load_recipients(file)  # says what is wrong with it, a secret key above all
    return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if not _is_note(line)]


def _key_ids_of(item: str) -> list[str]:
    """`item` is a key id, or a file of public keys."""
    if len(item) == 16 and all(c in "0123456789abcdef" for c in item):
        return [item]
    return [key_id(line) for line in _keys_in(Path(item))]


def _is_note(line: str) -> bool:
    return not line.strip() or line.strip().startswith("#")
