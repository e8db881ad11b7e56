"""The head of the ledger, signed, as an object of its own in every region.

Manifests carry the head too, but only when a backup is made, and only a backup's. An anchor is small, can be
written at any moment (every day, and when a person has signed), and lies where an auditor finds it
(`core.anchorkeys`): written once, locked, read back.

Anchoring again is harmless: a head that lies in a region already is found there, and nothing is written. That
is also how a region that was down gets what it missed, unless the ledger has gone on by then; the next head
then pins everything before it.
"""

import contextlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.pq import TransactionStatus
from pydantic import ValidationError

from tidewatch.core.anchorkeys import AnchorName, anchor_key, anchors_prefix, parse_anchor_key
from tidewatch.core.canonical import canonical_bytes
from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import (
    AlreadyExists,
    IntegrityError,
    LedgerError,
    ObjectMissing,
    RegionMisconfigured,
    RegionRefused,
    TidewatchError,
)
from tidewatch.core.regions import Region
from tidewatch.core.signing import SigningKey, Verifier
from tidewatch.core.writeonce import write_once
from tidewatch.evidence.anchor import SignedHead, sign_head, verify_head
from tidewatch.evidence.findings import close_finding, open_finding
from tidewatch.evidence.ledger import append
from tidewatch.evidence.record import Head
from tidewatch.evidence.schemas import AnchorPlace, LedgerAnchored, Place

FINDING = "ledger.not_anchored"
_MAX_BYTES = 64 * 1024
_MAX_TRIED = 20
_ROUNDS = 3


@dataclass(frozen=True)
class Anchored:
    """What anchoring did: one place for each region, in their order."""

    head: Head
    signed_at: datetime
    places: tuple[AnchorPlace, ...]

    @property
    def missing(self) -> dict[str, str]:
        """Region -> why the head does not lie there, proved."""
        return {p.place.region: p.error or "" for p in self.places if p.state == "failed"}


@dataclass(frozen=True)
class FoundAnchor:
    """An anchor that a region holds, its signature verified. `hidden`: a plain listing does not show it."""

    key: str
    signed: SignedHead
    hidden: bool


def anchor(
    conn: Connection, regions: Sequence[Region], key: SigningKey, now: datetime, why: str
) -> Anchored | None:
    """Write the signed head into every region, and a record ledger.anchored; None without any record.

    `conn` must be idle: only what is committed may be anchored, since an anchored record that is rolled back
    would be missing for ever. A region that fails stops no other; what it lacks is a finding until the next
    anchor lies there. Raises LedgerError.
    """
    if conn.info.transaction_status != TransactionStatus.IDLE:
        raise LedgerError(
            "The ledger cannot be anchored inside of a transaction",
            expected="a connection whose work is committed",
            found="a transaction that may still be rolled back",
            do="commit first, then call anchor",
        )
    moment = require_utc(now)
    with conn.transaction():
        row = execute(conn, "evidence/anchorable").fetchone()
    if row is None:
        return None
    signed = sign_head(Head(row["seq"], row["hash"]), key, moment)
    with ThreadPoolExecutor(max(1, len(regions)), thread_name_prefix="anchor") as pool:
        places = tuple(pool.map(lambda region: _placed(region, signed, key.public, moment), regions))
    _record(conn, signed, places, moment, why)
    return Anchored(signed.head, moment, places)


def _placed(region: Region, signed: SignedHead, key: Verifier, now: datetime) -> AnchorPlace:
    """Never raises for what the region does."""
    config = region.config
    target = anchor_key(config.prefix, signed.seq, signed.hash)
    place = Place(
        region=region.name, provider=config.provider, bucket=config.bucket, jurisdiction=config.jurisdiction
    )
    try:
        return _written(region, target, signed, key, now, place)
    except TidewatchError as error:
        text = f"{error.what} ({error.found})"
        return AnchorPlace(place=place, key=target, state="failed", error=text)


def _written(
    region: Region, target: str, signed: SignedHead, key: Verifier, now: datetime, place: Place
) -> AnchorPlace:
    store, config = region.store, region.config
    version = _laid(region, target, canonical_bytes(signed.model_dump(mode="json")))
    until = now + timedelta(days=config.anchor_lock_days)
    if not _lasts(region, target, version, until):
        try:
            store.set_retention(target, version, config.lock_mode, until)
        except RegionRefused:  # somebody else who anchors has just locked it for a moment longer
            if not _lasts(region, target, version, until):
                raise
    found = open_anchor(store.read(target, version), key)
    if found.head != signed.head:
        raise _other(target, f"record {found.seq} {found.hash}", f"record {signed.seq} {signed.hash}")
    shown = store.head(target, version)
    if shown.lock_mode is None or shown.retain_until is None:
        raise _other(target, "no lock", f"a lock of mode {config.lock_mode} until {until:%Y-%m-%d}")
    return AnchorPlace(
        place=place,
        key=target,
        state="verified",
        version_id=version,
        lock_mode=shown.lock_mode,
        retain_until=shown.retain_until,
    )


def _laid(region: Region, target: str, body: bytes) -> str | None:
    """The version of the anchor under `target`: ours, or one of the same head that was signed at another
    moment. Two who write at once to a store without conditions may both give way: each tries again."""
    for _ in range(_ROUNDS):
        try:
            return write_once(region.store, target, body)
        except AlreadyExists:
            with contextlib.suppress(ObjectMissing):
                return region.store.head(target).version_id
    return write_once(region.store, target, body)


def _lasts(region: Region, target: str, version: str | None, until: datetime) -> bool:
    locked = region.store.head(target, version).retain_until
    return locked is not None and locked >= until - timedelta(days=1)


def _other(target: str, found: str, expected: str) -> IntegrityError:
    return IntegrityError(
        f"The anchor {target} is not what was written",
        expected=expected,
        found=found,
        do="find out who writes there; `tidewatch region probe` shows what the store enforces",
    )


def _record(
    conn: Connection, signed: SignedHead, places: Sequence[AnchorPlace], now: datetime, why: str
) -> None:
    body = LedgerAnchored(
        seq=signed.seq,
        hash=signed.hash,
        signed_at=now,
        key_id=signed.signature.key_id,
        why=why,
        places=list(places),
    )
    with conn.transaction():
        append(conn, kind=body.KIND, subject=f"record {signed.seq}", body=body, now=now)
        for each in places:
            _judge(conn, each, signed, now)


def _judge(conn: Connection, place: AnchorPlace, signed: SignedHead, now: datetime) -> None:
    region = place.place.region
    if place.state == "verified":
        why = f"the signed head of record {signed.seq} lies in {region}, locked and read back"
        close_finding(conn, f"{FINDING}/{region}", by=place.key, why=why, now=now)
        return
    open_finding(
        conn,
        key=f"{FINDING}/{region}",
        kind=FINDING,
        severity="warning",
        source=None,
        region=region,
        subject=region,
        said_zh=f"账本的签名链头没有写入地域 {region}",
        said_en=f"The signed head of the ledger does not lie in {region}",
        detail={"key": place.key, "seq": signed.seq, "error": place.error},
        now=now,
    )


# -- reading -----------------------------------------------------------------------------------------------


def open_anchor(data: bytes, key: Verifier) -> SignedHead:
    """The signed head in the bytes of an anchor. Raises IntegrityError when any byte differs from what was
    written, or when no key of `key` signed it."""
    try:
        if len(data) > _MAX_BYTES:
            raise ValueError("too large")
        signed = SignedHead.model_validate(json.loads(data))
    except (ValueError, RecursionError, ValidationError):
        raise _no_anchor("something else") from None
    verify_head(signed, key)
    if canonical_bytes(signed.model_dump(mode="json")) != data:
        raise _no_anchor("the same content in another spelling")
    return signed


def _no_anchor(found: str) -> IntegrityError:
    return IntegrityError(
        "An anchor has not its form",
        expected="canonical JSON of seq, hash, signed_at, signature",
        found=found,
        do="do not use it; compare with the other regions, and find out who wrote it",
    )


def newest_anchors(
    region: Region, key: Verifier, after: datetime | None = None
) -> tuple[list[FoundAnchor], list[str]]:
    """The genuine anchors of the highest number that has one (several only when the ledger has forked), and
    what is wrong with those that stand above it.

    Every version is looked at: what lies below a delete marker counts. Anchors signed until `after` belong to
    a chain that was lost, whose numbers may be higher: one of them is given only where nothing newer lies.
    Raises RegionError.
    """
    problems: list[str] = []
    found: list[FoundAnchor] = []
    earlier: list[FoundAnchor] = []
    for target, name, version, hidden in _listed(region):
        if (found and name.seq < found[0].signed.seq) or len(problems) >= _MAX_TRIED:
            break
        if any(f.key == target for f in found):
            continue  # an older version of the same key
        try:
            signed = open_anchor(region.store.read(target, version), key)
        except (IntegrityError, ObjectMissing) as error:
            problems.append(f"{target} in {region.name}: {error.what} ({error.found})")
            continue
        if (signed.seq, signed.hash[:16]) != (name.seq, name.hash16):
            problems.append(f"{target} in {region.name} is the anchor of record {signed.seq}")
            continue
        lost = after is not None and signed.signed_at <= after
        (earlier if lost else found).append(FoundAnchor(target, signed, hidden))
    return found or earlier[:1], problems


def _listed(region: Region) -> list[tuple[str, AnchorName, str | None, bool]]:
    """Key, what it says, version, whether it is hidden; the highest number first."""
    prefix = region.config.prefix
    rows: list[tuple[str, AnchorName, str | None, bool]] = []
    with contextlib.suppress(RegionMisconfigured):  # a store that cannot list versions
        for row in region.store.list_versions(anchors_prefix(prefix)):
            name = parse_anchor_key(prefix, row.key)
            if name is not None and not row.delete_marker:
                rows.append((row.key, name, row.version_id, not row.latest))
        return sorted(rows, key=lambda r: r[1].seq, reverse=True)
    for listed in region.store.list(anchors_prefix(prefix)):
        name = parse_anchor_key(prefix, listed.key)
        if name is not None:
            rows.append((listed.key, name, None, False))
    return sorted(rows, key=lambda r: r[1].seq, reverse=True)
