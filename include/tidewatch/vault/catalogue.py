"""The catalogue: which backups there are and how far each has come. SQL on schema `vault`: here, `damage.py`.

It is a cache: what counts lies in the regions, and `adopt` puts a manifest found there back into it. Every
function works inside the caller's transaction and may be called again with the same arguments: the second
call changes nothing. The states and their transitions stand in sql/migrations/0003_vault.sql and are
enforced by the database; a refused transition is an IntegrityError here, after which the caller rolls back.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, get_args

import psycopg
from psycopg.types.json import Jsonb

from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute, statement
from tidewatch.core.errors import IntegrityError, NotFound
from tidewatch.vault import contents
from tidewatch.vault.manifest import Manifest, ReadBack, RunRef, Totals, from_json

Status = Literal[
    "staging", "staged", "sealed", "degraded", "failed", "suspect", "abandoned", "accepted", "rejected"
]
STATUSES: tuple[Status, ...] = get_args(Status)
GOOD: tuple[Status, ...] = ("sealed", "degraded", "accepted")
"""Backups whose content a person or the gate found right: what a new one is compared with."""

CopyState = Literal["pending", "uploaded", "verified", "failed"]

_LIST_LIMIT = 100


@dataclass(frozen=True)
class Backup:
    """One row of the catalogue."""

    backup_id: str
    source: str
    source_type: Literal["postgres", "files"]
    data_class: str
    run: RunRef
    status: Status
    started_at: datetime
    snapshot_at: datetime | None
    ended_at: datetime | None
    error: str | None
    manifest_sha256: str | None
    """Of manifest.json as it lies in the regions; None before the commit."""
    decided_at: datetime | None
    decided_by: str | None
    decision_reason: str | None
    totals: Totals
    expired_at: datetime | None = None
    """When its removal from the regions began; None: it is kept."""
    generations: Sequence[str] = ()
    """daily, weekly, monthly, yearly: what it was kept as when it was made."""
    keep_until: datetime | None = None
    """Until when its generations need it, as far as is known."""
    document: dict[str, Any] | None = field(repr=False, default=None)
    """JSON of the manifest (of the draft while staged); None in lists and before staging. Its list of files
    is empty where `listing` has it."""
    listing: bytes | None = field(repr=False, default=None)
    """The list of files as vault/contents.py keeps it."""

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest, or the draft while staged. Raises NotFound for a row without one."""
        if self.document is None:
            raise NotFound(
                f"The catalogue row of {self.backup_id} carries no manifest",
                expected="a backup that was staged, read with get, find or history",
                found=f"status {self.status}",
                do="read it with `tidewatch backup show`, or wait until it is staged",
            )
        manifest = from_json(self.document)
        return manifest if self.listing is None else contents.with_files(manifest, self.listing)


@dataclass(frozen=True)
class Copy:
    """One object of a backup in one region."""

    backup_id: str
    region: str
    object_key: str
    """The full key in that region."""
    state: CopyState
    version_id: str | None = None
    sha256: str | None = None
    size: int | None = None
    lock_mode: str | None = None
    retain_until: datetime | None = None
    read_back_at: datetime | None = None
    error: str | None = None

    @classmethod
    def from_read_back(cls, backup_id: str, region: str, answer: ReadBack) -> "Copy":
        """What a read-back proved: `verified`, or `failed` with its problem."""
        return cls(
            backup_id=backup_id,
            region=region,
            object_key=answer.key,
            state="verified" if answer.ok else "failed",
            version_id=answer.version_id,
            sha256=answer.sha256,
            size=answer.size,
            lock_mode=answer.lock_mode,
            retain_until=answer.retain_until,
            read_back_at=answer.read_at,
            error=answer.problem,
        )


@dataclass(frozen=True)
class Probe:
    """What a region was found to honour at one moment."""

    region: str
    at: datetime
    report: dict[str, Any]


# -- the life of a backup ----------------------------------------------------------------------------------


def begin(
    conn: Connection,
    *,
    backup_id: str,
    source: str,
    source_type: Literal["postgres", "files"],
    data_class: str,
    run: RunRef,
    now: datetime,
) -> None:
    """Enter an attempt as `staging`. Raises IntegrityError when the run has a live attempt of another id."""
    _write(
        conn,
        "vault/begin",
        {
            "backup_id": backup_id,
            "source": source,
            "source_type": source_type,
            "data_class": data_class,
            "dag_id": run.dag_id,
            "run_id": run.run_id,
            "try_number": run.try_number,
            "started_at": require_utc(now),
        },
    )


def mark_staged(conn: Connection, draft: Manifest) -> None:
    """Every object is uploaded: keep the draft of the manifest."""
    document, listing = Jsonb(draft.without_files()), contents.keep_files(conn, draft)
    row = _lock(conn, draft.backup_id, document, listing)
    if row["status"] == "staged" and row["same_document"]:
        return
    _expect(draft.backup_id, row["status"], "staging", to="staged")
    _write(
        conn,
        "vault/mark_staged",
        {
            "backup_id": draft.backup_id,
            "document": document,
            "listing": listing,
            "snapshot_at": draft.snapshot_at,
        },
    )


def commit(conn: Connection, manifest: Manifest, manifest_sha256: str) -> None:
    """The manifest is stored: its verdict becomes the status, its copies become rows.

    `manifest_sha256` is of the stored bytes. Raises IntegrityError when another manifest was committed.
    """
    row = _lock(conn, manifest.backup_id)
    if row["manifest_sha256"] is not None:
        if row["manifest_sha256"] == manifest_sha256:
            return
        raise IntegrityError(
            f"Backup {manifest.backup_id} was committed before, with another manifest",
            expected=f"SHA-256 {row['manifest_sha256']}",
            found=f"SHA-256 {manifest_sha256}",
            do="look at manifest.json in the regions: the one there is the one that counts",
        )
    _expect(manifest.backup_id, row["status"], "staged", to=str(manifest.verdict))
    _write(conn, "vault/commit", _committed(conn, manifest, manifest_sha256))
    _details(conn, manifest)


def adopt(conn: Connection, manifest: Manifest, manifest_sha256: str) -> bool:
    """Enter a backup found in a region whose manifest was opened. False: the catalogue knows it already."""
    parameters = _committed(conn, manifest, manifest_sha256)
    parameters |= {
        "source": manifest.source,
        "source_type": manifest.source_type,
        "data_class": manifest.data_class,
        "dag_id": manifest.run.dag_id,
        "run_id": manifest.run.run_id,
        "try_number": manifest.run.try_number,
        "started_at": manifest.started_at,
    }
    if _write(conn, "vault/adopt", parameters) == 0:
        return False
    _details(conn, manifest)
    return True


@dataclass(frozen=True)
class Standing:
    """How far a backup is known. Without the manifest, which can be tens of megabytes."""

    status: Status
    manifest_sha256: str | None
    decided_by: str | None
    decision_reason: str | None
    expired_at: datetime | None


def standing(conn: Connection, backup_id: str) -> Standing | None:
    """None: the catalogue does not know the backup."""
    row = execute(conn, "vault/standing", {"backup_id": backup_id}).fetchone()
    return Standing(**row) if row else None


def add_copies(conn: Connection, rows: Collection[Copy]) -> int:
    """Enter copies that the catalogue does not know, and proofs where it knew only that something was sent;
    what was proved or refuted before stays. Returns how many rows changed."""
    if not rows:
        return 0
    with conn.cursor() as cursor:
        cursor.executemany(statement("vault/add_copy"), [vars(row) for row in rows])
        return cursor.rowcount


def fail(conn: Connection, backup_id: str, error: str, *, now: datetime) -> None:
    """The attempt ended with an error (already without secrets) before it was committed."""
    row = _lock(conn, backup_id)
    if row["status"] == "failed":
        return
    _set_status(conn, backup_id, "failed", now, error)


def abandon(conn: Connection, backup_id: str, reason: str, *, now: datetime) -> None:
    """Give up an attempt that nobody will finish, staged ones included."""
    row = _lock(conn, backup_id)
    if row["status"] == "abandoned":
        return
    _set_status(conn, backup_id, "abandoned", now, reason)


def abandon_dead(conn: Connection, source: str, run_id: str | None = None, *, now: datetime) -> list[str]:
    """Mark `staging` attempts of the source (of one run, or of all) as abandoned; returns their ids.

    Only for a caller that holds the lock of the source: then whoever was staging is dead.
    """
    rows = execute(
        conn,
        "vault/abandon_dead",
        {
            "source": source,
            "run_id": run_id,
            "now": require_utc(now),
            "error": "abandoned: the process of this attempt ended without a word",
        },
    )
    return sorted(row["backup_id"] for row in rows)


def healed(conn: Connection, backup_id: str, *, now: datetime, optional: Collection[str] = ()) -> None:
    """A degraded backup is now verified in every region that it has rows for, `optional` ones left aside.
    Raises IntegrityError otherwise: a backup is called whole only by what was read back."""
    row = _lock(conn, backup_id)
    missing = [c for c in copies(conn, backup_id) if c.state != "verified" and c.region not in optional]
    if missing:
        raise IntegrityError(
            f"Backup {backup_id} is not whole yet",
            expected="every object verified in every region",
            found=f"{len(missing)} not verified, the first {missing[0].object_key} in {missing[0].region}",
            do="heal those copies first",
        )
    if row["status"] != "sealed":
        _set_status(conn, backup_id, "sealed", now, None)


def damaged(conn: Connection, backup_id: str, *, now: datetime) -> None:
    """A copy of a sealed backup was found damaged or lost: it is degraded until it is healed."""
    if _lock(conn, backup_id)["status"] != "degraded":
        _set_status(conn, backup_id, "degraded", now, None)


def decide(conn: Connection, backup_id: str, *, accept: bool, by: str, reason: str, now: datetime) -> None:
    """A person's word on a suspect backup. The same word again changes nothing; another one is refused."""
    status = "accepted" if accept else "rejected"
    row = _lock(conn, backup_id)
    if row["status"] == status and row["decided_by"] == by and row["decision_reason"] == reason:
        return
    _expect(backup_id, row["status"], "suspect", to=status)
    _write(
        conn,
        "vault/decide",
        {"backup_id": backup_id, "status": status, "by": by, "reason": reason, "now": require_utc(now)},
    )


# -- reading -----------------------------------------------------------------------------------------------


def get(conn: Connection, backup_id: str) -> Backup:
    """Raises NotFound."""
    row = execute(conn, "vault/get", {"backup_id": backup_id}).fetchone()
    if row is None:
        raise _unknown(backup_id)
    return _backup(row)


def find(conn: Connection, source: str, run_id: str) -> Backup | None:
    """The live attempt of a run (neither failed nor abandoned), if there is one."""
    row = execute(conn, "vault/find", {"source": source, "run_id": run_id}).fetchone()
    return _backup(row) if row else None


def history(conn: Connection, source: str, n: int, statuses: Collection[Status] = GOOD) -> list[Backup]:
    """The newest `n` backups of the source with their manifests, newest first. A manifest's list of files is
    empty here (`totals.files` still counts them)."""
    parameters = {"source": source, "n": n, "statuses": list(statuses)}
    return [_backup(row) for row in execute(conn, "vault/history", parameters)]


def list_backups(
    conn: Connection,
    *,
    source: str | None = None,
    statuses: Collection[Status] | None = None,
    since: datetime | None = None,
    n: int = _LIST_LIMIT,
) -> list[Backup]:
    """Newest first, without manifests."""
    parameters = {
        "source": source,
        "statuses": None if statuses is None else list(statuses),
        "since": since,
        "n": n,
    }
    return [_backup(row) for row in execute(conn, "vault/list", parameters)]


def degraded(conn: Connection) -> list[Backup]:
    """What a healer has work with, oldest first, without manifests: degraded backups, and others that
    count (sealed, suspect, accepted) with an object that is not verified."""
    return [_backup(row) for row in execute(conn, "vault/degraded")]


def committed(conn: Connection) -> list[str]:
    """Ids of every backup that has a manifest, the oldest of each source first."""
    return [row["backup_id"] for row in execute(conn, "vault/committed")]


# -- copies and probes -------------------------------------------------------------------------------------


def set_copy(conn: Connection, copy: Copy) -> None:
    """What is known now about one object in one region. Raises IntegrityError when `verified` is claimed
    without what a read-back gives, or `failed` without a reason."""
    _write(conn, "vault/set_copy", vars(copy))


def copies(conn: Connection, backup_id: str) -> list[Copy]:
    """Every object of the backup in every region, ordered by region and key."""
    return [Copy(**row) for row in execute(conn, "vault/copies", {"backup_id": backup_id})]


def save_probe(conn: Connection, region: str, at: datetime, report: Mapping[str, Any]) -> None:
    """Keep the answers of a probe (JSON types)."""
    execute(
        conn, "vault/save_probe", {"region": region, "at": require_utc(at), "report": Jsonb(dict(report))}
    )


def latest_probe(conn: Connection, region: str) -> Probe | None:
    """The newest probe of the region, if it was ever probed."""
    row = execute(conn, "vault/latest_probe", {"region": region}).fetchone()
    return Probe(**row) if row else None


# -- inside ------------------------------------------------------------------------------------------------


def _committed(conn: Connection, manifest: Manifest, manifest_sha256: str) -> dict[str, Any]:
    if manifest.verdict is None:
        raise ValueError(f"{manifest.backup_id} has no verdict: a draft is staged, not committed")
    errors = [f"{c.region}: {c.error}" for c in manifest.copies if c.error]
    failed = "; ".join(errors) or "verified in no region"
    return {
        "backup_id": manifest.backup_id,
        "status": manifest.verdict,
        "document": Jsonb(manifest.without_files()),
        "listing": contents.keep_files(conn, manifest),
        "manifest_sha256": manifest_sha256,
        "snapshot_at": manifest.snapshot_at,
        "ended_at": manifest.ended_at,
        "error": failed if manifest.verdict == "failed" else None,
    }


def _details(conn: Connection, manifest: Manifest) -> None:
    for entry in manifest.copies:
        for answer in entry.objects:
            set_copy(conn, Copy.from_read_back(manifest.backup_id, entry.region, answer))
    contents.enter_contents(conn, manifest)


def _lock(
    conn: Connection, backup_id: str, document: Jsonb | None = None, listing: str | None = None
) -> dict[str, Any]:
    """The row, locked until the transaction ends, so that two callers take turns."""
    parameters = {"backup_id": backup_id, "document": document, "listing": listing}
    row = execute(conn, "vault/lock_row", parameters).fetchone()
    if row is None:
        raise _unknown(backup_id)
    return row


def _set_status(conn: Connection, backup_id: str, status: Status, now: datetime, error: str | None) -> None:
    _write(
        conn,
        "vault/set_status",
        {"backup_id": backup_id, "status": status, "now": require_utc(now), "error": error},
    )


def _write(conn: Connection, name: str, parameters: Mapping[str, Any]) -> int:
    try:
        return execute(conn, name, dict(parameters)).rowcount
    except (psycopg.errors.CheckViolation, psycopg.errors.UniqueViolation) as error:
        raise IntegrityError(
            f"The catalogue refuses this change of backup {parameters['backup_id']}",
            expected="what the constraints of sql/migrations/0003_vault.sql allow",
            found=f"{error.diag.constraint_name}: {error.diag.message_primary}",
            do="read the row with `tidewatch backup show`: another run has probably changed it",
        ) from error
    except psycopg.errors.ForeignKeyViolation as error:
        raise _unknown(str(parameters["backup_id"])) from error


def _expect(backup_id: str, found: str, wanted: Status, *, to: str) -> None:
    if found != wanted:
        raise IntegrityError(
            f"Backup {backup_id} cannot become {to}",
            expected=f"status {wanted}",
            found=f"status {found}",
            do="read the row with `tidewatch backup show`: another run has probably finished it",
        )


def _backup(row: Mapping[str, Any]) -> Backup:
    values = dict(row)
    run = RunRef(
        dag_id=values.pop("dag_id"), run_id=values.pop("run_id"), try_number=values.pop("try_number")
    )
    totals = Totals.model_validate(values.pop("totals") or {})
    return Backup(run=run, totals=totals, **values)


def _unknown(backup_id: str) -> NotFound:
    return NotFound(
        f"There is no backup {backup_id} in the catalogue",
        expected="the id of a backup",
        found=backup_id,
        do="list them with `tidewatch backup list`; if the catalogue was lost, rebuild it from a region",
    )
