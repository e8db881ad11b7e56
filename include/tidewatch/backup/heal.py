"""Completes missing copies from a verified one: the same ciphertext, the same hash, the same manifest.

An object is streamed from a region that proved it and hashed on the way; its last part is sent only when the
hash is right, so wrong bytes never become visible. A region that shows wrong bytes is marked and told about,
and the next one is tried. What lies in the target already is read there: right bytes are locked and kept;
wrong bytes under the key are told about and left, since a write-once key cannot be written again. Every step
may be killed and done again in any order.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tidewatch.backup import messages, records
from tidewatch.backup.commit import store_manifest
from tidewatch.backup.context import BackupContext
from tidewatch.backup.lock import backup_lock
from tidewatch.backup.probe import learn
from tidewatch.backup.prove import onwards, own_mode, prove_object, require_fit, retain_until
from tidewatch.core.canonical import sha256_hex
from tidewatch.core.database import Connection
from tidewatch.core.errors import (
    AlreadyExists,
    IntegrityError,
    NotFound,
    ObjectMissing,
    RegionMisconfigured,
    RegionRefused,
    RegionUnavailable,
    TidewatchError,
)
from tidewatch.core.objectstore import Multipart, Stored
from tidewatch.core.parts import part_length
from tidewatch.core.regions import Region, check_residency
from tidewatch.core.writeonce import uncover
from tidewatch.evidence import ledger
from tidewatch.notices import outbox
from tidewatch.notices.notice import Notice
from tidewatch.vault import catalogue, damage
from tidewatch.vault.catalogue import Backup, Copy
from tidewatch.vault.layout import BackupPath, region_key
from tidewatch.vault.manifest import Manifest, ObjectEntry, ReadBack, open_recorded
from tidewatch.vault.readback import Mode

_WITH_MANIFEST = ("sealed", "degraded", "suspect", "accepted", "rejected")


@dataclass(frozen=True)
class Healed:
    """What one call did. Names only: fit for XCom."""

    backup_id: str
    verdict: str
    healed: tuple[str, ...]
    """Regions whose copy is verified now and was not before."""
    problems: dict[str, str]
    """Region -> why its copy is still missing."""


@dataclass
class _Work:
    """One backup while it is healed."""

    ctx: BackupContext
    conn: Connection
    row: Backup
    manifest: Manifest
    signed: bytes
    origins: list[Region]
    """Regions whose copy is verified, in the order they are asked."""
    damaged: list[Copy] = field(default_factory=list)
    wrong: list[Copy] = field(default_factory=list)
    """What a target has under a key instead of the object: for every backup that refers to it."""
    notices: list[Notice] = field(default_factory=list)


def heal(ctx: BackupContext, backup_id: str) -> Healed:
    """Complete every missing copy of a backup that can be completed. Idempotent.

    Raises NotFound (no such backup, or one without a manifest), Busy, and RegionUnavailable when no region
    can give the signed manifest. What a target refuses is a problem of that target, not an error.
    """
    with backup_lock(ctx, backup_id) as conn:
        learn(ctx, conn)
        row = catalogue.get(conn, backup_id)
        if row.status not in _WITH_MANIFEST or row.expired_at is not None:
            raise NotFound(
                f"Backup {backup_id} has nothing to heal",
                expected="a backup with a manifest",
                found=f"status {row.status}" + (", expired" if row.expired_at else ""),
                do="run back_up_sources; a failed attempt is made anew, and an expired one is over",
            )
        copies = catalogue.copies(conn, backup_id)
        conn.commit()
        lacking = sorted({c.region for c in copies if c.state != "verified"})
        if not lacking:
            return Healed(backup_id, _close(ctx, conn, row), (), {})
        origins = [r for r in ctx.regions if r.name in {c.region for c in copies} - set(lacking)]
        # Any region may give the manifest, also one whose copy is in doubt: its digest is known.
        manifest, signed = _manifest_from(ctx, row, [*origins, *(r for r in ctx.regions if r not in origins)])
        work = _Work(ctx, conn, row, manifest, signed, origins)
        return _heal_all(work, lacking)


def _heal_all(work: _Work, lacking: Sequence[str]) -> Healed:
    healed: list[str] = []
    problems: dict[str, str] = {}
    here = {r.name: r for r in work.ctx.regions}
    for name in lacking:
        if name not in here:
            problems[name] = "it is no longer in config/regions.yaml"
            continue
        try:
            _heal_region(work, here[name])
            healed.append(name)
            work.origins.append(here[name])
        except TidewatchError as error:
            problems[name] = f"{error.what} ({error.found})"
            work.ctx.progress(f"{work.row.source}: {name} is not healed: {problems[name]}")
            _record_problem(work, here[name], error)
        _record_damage(work)
    verdict = _close(work.ctx, work.conn, catalogue.get(work.conn, work.row.backup_id))
    return Healed(work.row.backup_id, verdict, tuple(healed), problems)


def _manifest_from(ctx: BackupContext, row: Backup, origins: Sequence[Region]) -> tuple[Manifest, bytes]:
    """The signed manifest as the first region gives it that has the right bytes."""
    found: list[str] = []
    for region in origins:
        key = BackupPath(region.config.prefix, row.source, row.backup_id).manifest_key
        try:
            signed = region.store.read(key)
            if sha256_hex(signed) == row.manifest_sha256:
                return open_recorded(signed, ctx.ring), signed
            found.append(f"{region.name}: SHA-256 {sha256_hex(signed)}")
        except TidewatchError as error:
            found.append(f"{region.name}: {error.found}")
    raise RegionUnavailable(
        f"No region gives the manifest of {row.backup_id}",
        expected=f"manifest.json with SHA-256 {row.manifest_sha256} in any region",
        found="; ".join(found) or "no region",
        do="bring one of these regions back; healing tries again every hour",
    )


# -- one region --------------------------------------------------------------------------------------------


def _heal_region(work: _Work, target: Region) -> None:
    ctx, manifest, began = work.ctx, work.manifest, work.ctx.now()
    _require_allowed(ctx, manifest, target)
    clock = onwards(ctx.clock, manifest.ended_at)
    require_fit(target, clock)
    until = retain_until(target, manifest.ended_at or manifest.started_at, began, work.row.keep_until)
    answers: list[ReadBack] = []
    used: set[str] = set()
    rows = catalogue.copies(work.conn, manifest.backup_id)
    work.conn.commit()
    proved = {c.object_key for c in rows if c.region == target.name and c.state == "verified"}
    for entry in manifest.objects:
        key = region_key(target.config.prefix, entry.key)
        # What was read back in full before, and only its manifest is missing, is not downloaded again.
        answer = _there_already(work, target, entry, key, until, "checksum" if key in proved else "full")
        if answer is None:
            origin, version = _transfer(work, target, entry, key)
            used.add(origin)
            mode = own_mode(target, entry)
            answer = prove_object(target, entry, key, until, mode, clock, version, ctx.progress)
        if not answer.ok:
            raise _wrong_under_key(work, target, key, answer.problem or "it differs")
        answers.append(answer)
        ctx.progress(f"{manifest.source}: {entry.name} is whole in {target.name}")
    try:
        placed = store_manifest(ctx, target, manifest, work.signed, until)
    except AlreadyExists as error:
        key = BackupPath(target.config.prefix, manifest.source, manifest.backup_id).manifest_key
        raise _wrong_under_key(work, target, key, f"{error.what} ({error.found})") from error
    if placed.sha256 not in (None, sha256_hex(work.signed)):
        raise _wrong_under_key(work, target, placed.object_key, placed.error or "another manifest")
    if placed.state != "verified":
        raise RegionUnavailable(
            f"Region {target.name} did not take the manifest of {manifest.backup_id}",
            expected="the signed manifest, locked",
            found=placed.error or "no answer",
            do="healing tries again",
        )
    origins = ", ".join(sorted(used)) or target.name
    _record_healed(work, target, answers, placed, origins, began)


def _require_allowed(ctx: BackupContext, manifest: Manifest, target: Region) -> None:
    """The policy may have become stricter since the backup. Raises ResidencyError."""
    classes = {manifest.data_class, *(s.data_class for s in ctx.sources.sources if s.name == manifest.source)}
    for data_class in sorted(classes):
        check_residency(data_class, [target.config], ctx.regions_file)


def _there_already(
    work: _Work, target: Region, entry: ObjectEntry, key: str, until: datetime, mode: Mode
) -> ReadBack | None:
    """The proof of an object that a killed run or a lost answer left in the target, also one that a delete
    marker hides; None when there is none.
    """
    try:
        target.store.head(key)
    except ObjectMissing:
        if not _uncovered(work.ctx, target, key):
            return None
    clock = onwards(work.ctx.clock, work.manifest.ended_at)
    return prove_object(target, entry, key, until, mode, clock, progress=work.ctx.progress)


def _uncovered(ctx: BackupContext, target: Region, key: str) -> bool:
    """Whether something came to light under delete markers. A store that cannot list versions gets the object
    anew."""
    try:
        found = uncover(target.store, key) is not None
    except (RegionMisconfigured, RegionRefused):
        return False
    if found:
        ctx.progress(
            f"{target.name}: a delete marker lay on {key}; it is removed. Find out who deletes there"
        )
    return found


def _transfer(work: _Work, target: Region, entry: ObjectEntry, key: str) -> tuple[str, str | None]:
    """Copy one object from the first origin that has the right bytes; returns that region's name and the
    version written, None when somebody else wrote it."""
    found: list[str] = []
    for origin in [o for o in work.origins if o.name != target.name]:
        source_key = region_key(origin.config.prefix, entry.key)
        try:
            version = _copy(origin, source_key, target, key, entry)
        except _WrongBytes as error:
            found.append(f"{origin.name}: {error}")
            _mark_damaged(work, origin, source_key, str(error))
        except _OriginLost:
            found.append(f"{origin.name}: no such object")
            _mark_damaged(work, origin, source_key, "the object is gone")
        except _OriginGone as error:
            found.append(f"{origin.name}: {error}")
        else:
            return origin.name, version
    raise RegionUnavailable(
        f"No region gives the right bytes of {entry.key}",
        expected=f"SHA-256 {entry.cipher_sha256}",
        found="; ".join(found) or "no other region with a verified copy",
        do="bring a region back whose copy is right; healing tries again every hour",
    )


class _WrongBytes(Exception):
    """An origin gave bytes that are not the object's."""


class _OriginLost(Exception):
    """An origin does not have the object it once showed."""


class _OriginGone(Exception):
    """An origin stopped answering."""


def _copy(origin: Region, source_key: str, target: Region, key: str, entry: ObjectEntry) -> str | None:
    """Stream, hash, and complete only what is right; the version written. Memory: two parts."""
    stored: Stored | None = None
    part_size = entry.part_size or max(entry.cipher_size, 1)
    upload: Multipart | None = None
    digest = hashlib.sha256()
    try:
        number = 0
        held: bytes | None = None
        for part in _parts(origin, source_key, part_size):
            if held is not None:
                number += 1
                upload = upload or target.store.multipart(key)
                upload.part(number, held, hashlib.sha256(held).digest())
            digest.update(part)
            held = part
        if digest.hexdigest() != entry.cipher_sha256:
            raise _WrongBytes(f"expected SHA-256 {entry.cipher_sha256}, found {digest.hexdigest()}")
        last = held or b""
        with contextlib.suppress(AlreadyExists):  # somebody's lost answer; reading back decides
            if upload is None and entry.part_size is None:
                stored = target.store.put(key, last, if_absent=True)
            else:
                upload = upload or target.store.multipart(key)
                upload.part(number + 1, last, hashlib.sha256(last).digest())
                stored = upload.complete(if_absent=True)
        upload = None
    finally:
        if upload is not None:
            with contextlib.suppress(TidewatchError):
                upload.abort()
    return stored.version_id if stored is not None else None


def _parts(origin: Region, key: str, first: int) -> Iterator[bytes]:
    """The object cut as it was uploaded, so that the target's checksum of parts is the same too."""
    buffer, number = bytearray(), 1
    try:
        for chunk in origin.store.get(key):
            buffer += chunk
            while len(buffer) >= (size := part_length(number, first)):
                yield bytes(buffer[:size])
                del buffer[:size]
                number += 1
    except ObjectMissing as error:
        # A word of its own: the target, too, can say that something is missing.
        raise _OriginLost from error
    except TidewatchError as error:
        raise _OriginGone(f"{error.what} ({error.found})") from error
    if buffer:
        yield bytes(buffer)


# -- recording ---------------------------------------------------------------------------------------------


def _mark_damaged(work: _Work, origin: Region, key: str, problem: str) -> None:
    """A verified copy turned out wrong: it gives nothing any more, and somebody must know."""
    work.origins.remove(origin)
    work.damaged.append(Copy(work.row.backup_id, origin.name, key, "failed", error=problem))
    work.notices.append(messages.copy_damaged(work.row.backup_id, origin.name, key, problem))
    work.ctx.progress(f"{work.row.source}: {origin.name} has a damaged copy: {problem}")


def _wrong_under_key(work: _Work, target: Region, key: str, problem: str) -> IntegrityError:
    work.wrong.append(Copy(work.row.backup_id, target.name, key, "failed", error=problem))
    work.notices.append(messages.copy_damaged(work.row.backup_id, target.name, key, problem))
    return IntegrityError(
        f"Region {target.name} has something else under {key}",
        expected="the object of the manifest, or nothing",
        found=problem,
        do="a locked object cannot be replaced: ask the provider of the store, and rely on the "
        "other regions until the lock ends",
    )


def _record_healed(
    work: _Work, target: Region, answers: Sequence[ReadBack], placed: Copy, origin: str, began: datetime
) -> None:
    conn, backup_id, now = work.conn, work.row.backup_id, work.ctx.now()
    for answer in answers:
        catalogue.set_copy(conn, Copy.from_read_back(backup_id, target.name, answer))
    catalogue.set_copy(conn, placed)
    status = _sealed_if_whole(work.ctx, conn, catalogue.get(conn, backup_id))
    # A decision does not change what the manifest says of the backup.
    verdict = status if status in ("sealed", "degraded") else str(work.manifest.verdict)
    body = records.copy_healed(
        work.manifest,
        work.ctx.regions_file,
        target,
        origin=origin,
        objects=answers,
        verdict=verdict,
        started=began,
        ended=now,
    )
    ledger.append(conn, kind=body.KIND, subject=backup_id, body=body, now=now)
    conn.commit()
    work.ctx.progress(f"{work.row.source}: {target.name} is healed")


def _record_problem(work: _Work, target: Region, error: TidewatchError) -> None:
    """An unanswering region is no news each hour; wrong bytes are, once."""
    if not isinstance(error, IntegrityError):
        return
    work.conn.rollback()
    now = work.ctx.now()
    for copy in work.wrong:
        damage.object_damaged(work.conn, copy, now=now)
    work.wrong.clear()
    for notice in work.notices:
        fresh = outbox.post(work.conn, notice, now)
        if fresh:
            body = records.copy_failed(
                work.manifest, work.ctx.regions_file, target, stage="heal", error=str(error), now=now
            )
            ledger.append(work.conn, kind=body.KIND, subject=work.row.backup_id, body=body, now=now)
    work.notices.clear()
    work.conn.commit()


def _record_damage(work: _Work) -> None:
    """Origins that were found wrong on the way lose their `verified`."""
    if not work.damaged:
        return
    conn, backup_id, now = work.conn, work.row.backup_id, work.ctx.now()
    for copy in work.damaged:
        damage.object_damaged(conn, copy, now=now)
    for notice in work.notices:
        outbox.post(conn, notice, now)
    for copy in work.damaged:
        region = work.ctx.region(copy.region)
        body = records.copy_failed(
            work.manifest, work.ctx.regions_file, region, stage="read_back", error=copy.error or "", now=now
        )
        ledger.append(conn, kind=body.KIND, subject=backup_id, body=body, now=now)
    conn.commit()
    work.damaged.clear()
    work.notices.clear()


def _close(ctx: BackupContext, conn: Connection, row: Backup) -> str:
    status = _sealed_if_whole(ctx, conn, row)
    conn.commit()
    return status


def _sealed_if_whole(ctx: BackupContext, conn: Connection, row: Backup) -> str:
    """A degraded backup that is verified wherever it must be is sealed, as a new one would be; else it stays
    what it is. A region that is no longer configured is missed for ever: nobody said that it was optional.
    """
    optional = {r.name for r in ctx.regions if not r.config.required}
    states = {c.state for c in catalogue.copies(conn, row.backup_id) if c.region not in optional}
    if row.status != "degraded" or states != {"verified"}:
        return row.status
    catalogue.healed(conn, row.backup_id, now=ctx.now(), optional=optional)
    return "sealed"
