"""The catalogue from what one region holds, when the database is gone or incomplete.

Every manifest is checked by its signature before anything of it is believed. What cannot be believed is named
and left out; the rest is entered. Everything happens in one transaction, the record of the ledger included: a
rebuild that is killed has changed nothing, one that is done again finds everything as it is.

What a region cannot tell: attempts that never got a manifest, what was healed or damaged after a manifest was
signed, and whether other regions took the manifest. Copies of other regions are entered as the manifest
records them, with the time of that proof; their manifest.json as `uploaded`, which means: said to be there,
not seen. `recheck` and healing ask.
"""

import contextlib
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import psycopg
from pydantic import ValidationError

from tidewatch.backup import records
from tidewatch.backup.context import BackupContext
from tidewatch.backup.verdict import failed_rows
from tidewatch.core.database import Connection
from tidewatch.core.errors import IntegrityError, ObjectMissing, TidewatchError
from tidewatch.core.regions import Region
from tidewatch.core.signing import Verifier
from tidewatch.evidence import ledger, schemas
from tidewatch.evidence.anchor import SignedHead, verify_head
from tidewatch.evidence.anchoring import open_anchor
from tidewatch.evidence.chains import chain_before, not_in_this_ledger
from tidewatch.vault import catalogue
from tidewatch.vault.catalogue import Copy, Standing
from tidewatch.vault.genuine import Genuine, Raw, decision_in, first_genuine, manifest_in, read_raw
from tidewatch.vault.inventory import AnchorVersion, Folder, survey
from tidewatch.vault.layout import BackupPath, region_key
from tidewatch.vault.manifest import CopyEntry, Manifest

_AT_ONCE = 4
"""Manifests read ahead. One of a hundred thousand files has tens of megabytes."""
_TELL_SECONDS = 2.0
_EXAMPLES = 20


@dataclass(frozen=True)
class Problem:
    """What a person must know of one key. `refused`: not to be trusted, nothing of it was entered;
    `contradicts`: the catalogue knows something else, which was left; `hidden`: entered from a version that
    a plain reading does not show."""

    kind: Literal["refused", "contradicts", "hidden"]
    key: str
    text: str


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild found and did (with `dry_run`: would have done)."""

    region: str
    dry_run: bool
    manifests: int
    adopted: int
    known: int
    in_work: int
    """Manifests of runs that are still at work: they finish by themselves."""
    unfinished: int
    """Folders without a manifest: attempts that did not get that far."""
    decisions: int
    copies: int
    problems: tuple[Problem, ...]
    chain_before: schemas.LostHead | None
    """The newest signed head that is not in this ledger: where the chain before it is known to have been."""

    @property
    def ok(self) -> bool:
        return not self.problems


@dataclass
class _Work:
    ctx: BackupContext
    conn: Connection
    region: Region
    key: Verifier
    manifests: int = 0
    adopted: int = 0
    known: int = 0
    in_work: int = 0
    unfinished: int = 0
    copies: int = 0
    problems: list[Problem] = field(default_factory=list)
    words: list[schemas.DecisionMade] = field(default_factory=list)
    heads: list[schemas.LostHead] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)

    def problem(self, kind: Literal["refused", "contradicts", "hidden"], key: str, text: str) -> None:
        self.problems.append(Problem(kind, key, text))
        self.ctx.progress(f"{self.region.name}: {key}: {text}")


def rebuild(ctx: BackupContext, region: str, key: Verifier, *, dry_run: bool = False) -> Rebuilt:
    """Enter every backup of `region` that the catalogue does not know; `key` verifies the manifests.

    On a living catalogue only what is missing is added, and what contradicts it is told. Raises NotFound (no
    such region) and RegionError when the region cannot be listed to its end: then nothing is entered.
    """
    here, began = ctx.region(region), ctx.now()
    with contextlib.closing(ctx.connect()) as conn, conn.transaction():
        # The session waits for the region in the middle of its transaction.
        conn.execute("select set_config('idle_in_transaction_session_timeout', '0', true)")
        work = _Work(ctx, conn, here, key)
        told = time.monotonic()
        for folder, raw in _read_ahead(work):
            _take(work, folder, raw)
            if time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                ctx.progress(f"{region}: {work.manifests} manifests read, {work.adopted} entered")
        lost = _lost_heads(work)
        result = _result(work, lost, dry_run)
        if dry_run:
            raise psycopg.Rollback
        _record(work, result, lost, began)
    ctx.progress(f"{region}: {result.manifests} manifests read, {result.adopted} entered")
    return result


def _read_ahead(work: _Work) -> Iterator[tuple[Folder, Raw]]:
    """Every folder that has a manifest with what a plain reading of it gives, in key order."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="manifests") as pool:
        ahead: deque[tuple[Folder, Future[Raw]]] = deque()
        for folder in survey(work.region):
            if isinstance(folder, AnchorVersion) and not folder.version.delete_marker:
                _keep_anchor(work, folder)
            if not isinstance(folder, Folder):
                continue
            if not folder.manifests:
                work.unfinished += 1
                continue
            ahead.append((folder, pool.submit(read_raw, work.region, folder.manifests)))
            if len(ahead) >= _AT_ONCE:
                folder, reading = ahead.popleft()
                yield folder, reading.result()
        while ahead:
            folder, reading = ahead.popleft()
            yield folder, reading.result()


# -- one backup --------------------------------------------------------------------------------------------


def _take(work: _Work, folder: Folder, raw: Raw) -> None:
    work.manifests += 1
    key = folder.path.manifest_key
    found, wrong = first_genuine(work.region, folder.manifests, raw, manifest_in(folder.path, work.key))
    if found is None:
        work.problem("refused", key, wrong or "nothing that can be read")
        return
    if wrong is not None:
        work.problem("hidden", key, f"{wrong}; version {found.version_id} below it is genuine and was taken")
    _keep_head(work, found.value)
    standing = catalogue.standing(work.conn, folder.backup_id)
    if standing is None:
        standing = _adopt(work, folder, found, hidden=wrong)
    elif standing.manifest_sha256 == found.sha256:
        work.known += 1
        rows = _copies(work, found, hidden=wrong)
        work.copies += catalogue.add_copies(work.conn, rows)
    elif standing.manifest_sha256 is None and standing.status in ("staging", "staged"):
        work.in_work += 1
        standing = None
    else:
        knows = standing.manifest_sha256 or f"an attempt that is {standing.status}, without a manifest"
        work.problem("contradicts", key, f"it has SHA-256 {found.sha256}, the catalogue knows {knows}")
        standing = None
    if standing is not None and folder.decisions:
        _take_decision(work, folder, found, standing)


def _adopt(work: _Work, folder: Folder, found: Genuine[Manifest], hidden: str | None) -> Standing | None:
    try:
        with work.conn.transaction():
            catalogue.adopt(work.conn, found.value, found.sha256)
            catalogue.add_copies(work.conn, _copies(work, found, hidden=hidden))
    except IntegrityError as error:  # another backup of the same run is there
        work.problem("contradicts", folder.path.manifest_key, f"{error.what} ({error.found})")
        return None
    work.adopted += 1
    work.digest.update(f"{folder.backup_id} {found.sha256}\n".encode())
    return catalogue.standing(work.conn, folder.backup_id)


def _copies(work: _Work, found: Genuine[Manifest], hidden: str | None) -> list[Copy]:
    """Rows for every object in every region that the manifest speaks of, and for this region."""
    manifest, here = found.value, work.region
    backup_id = manifest.backup_id
    rows: list[Copy] = []
    for entry in manifest.copies:
        prefix = _prefix(work.ctx, manifest, entry)
        path = BackupPath(prefix, manifest.source, backup_id)
        rows += [Copy.from_read_back(backup_id, entry.region, answer) for answer in entry.objects]
        if entry.region == here.name:
            continue
        if entry.state == "failed":
            rows += failed_rows(prefix, manifest, entry)
        else:
            rows.append(Copy(backup_id, entry.region, path.manifest_key, "uploaded"))
    # The manifest comes last into a region. Where it lies, the objects were proved before: if not by the run,
    # then by healing, of which the manifest knows nothing.
    proved = {row.object_key for row in rows if row.region == here.name and row.state == "verified"}
    keys = [region_key(here.config.prefix, o.key) for o in manifest.objects]
    rows = [r for r in rows if r.region != here.name or r.state == "verified"]
    rows += [Copy(backup_id, here.name, key, "uploaded") for key in keys if key not in proved]
    rows.append(_manifest_row(work, found, hidden))
    return rows


def _manifest_row(work: _Work, found: Genuine[Manifest], hidden: str | None) -> Copy:
    manifest = found.value
    key = BackupPath(work.region.config.prefix, manifest.source, manifest.backup_id).manifest_key
    locked = found.lock_mode is not None and found.retain_until is not None
    return Copy(
        manifest.backup_id,
        work.region.name,
        key,
        "failed" if hidden else "verified" if locked else "uploaded",
        version_id=found.version_id,
        sha256=found.sha256,
        size=found.size,
        lock_mode=found.lock_mode,
        retain_until=found.retain_until,
        read_back_at=work.ctx.now(),
        error=hidden,
    )


def _prefix(ctx: BackupContext, manifest: Manifest, entry: CopyEntry) -> str:
    """The region's prefix when the backup was made, as its keys show; else the present one."""
    for answer in entry.objects:
        for known in manifest.objects:
            if answer.key.endswith("/" + known.key):
                return answer.key.removesuffix("/" + known.key)
    return next((r.config.prefix for r in ctx.regions if r.name == entry.region), "")


def _take_decision(work: _Work, folder: Folder, found: Genuine[Manifest], standing: Standing) -> None:
    """A person's word that lies beside the manifest."""
    key = folder.path.decision_key
    raw = read_raw(work.region, folder.decisions)
    opener = _decision_in(folder.backup_id, found.sha256, work.key)
    word, wrong = first_genuine(work.region, folder.decisions, raw, opener)
    if word is None:
        work.problem("refused", key, wrong or "nothing that can be read")
        return
    if wrong is not None:
        work.problem("hidden", key, f"{wrong}; version {word.version_id} below it is genuine and was taken")
    said = word.value
    status = "accepted" if said.decision == "accept" else "rejected"
    if standing.status == "suspect":
        catalogue.decide(
            work.conn,
            folder.backup_id,
            accept=status == "accepted",
            by=said.decided_by,
            reason=said.reason,
            now=said.decided_at,
        )
        work.words.append(said)
    elif (standing.status, standing.decided_by, standing.decision_reason) != (
        status,
        said.decided_by,
        said.reason,
    ):
        work.problem("contradicts", key, f"it says {status}, the catalogue says {standing.status}")


def _decision_in(
    backup_id: str, manifest_sha256: str, key: Verifier
) -> Callable[[bytes], schemas.DecisionMade]:
    signed = decision_in(backup_id, manifest_sha256, key)

    def opened(data: bytes) -> schemas.DecisionMade:
        value = signed(data)
        try:
            return schemas.DecisionMade.model_validate({**value, "previous_verdict": "suspect"})
        except ValueError:
            raise IntegrityError(
                "It is no decision that this Tidewatch can read",
                expected="about, decision, decided_by, reason, decided_at, manifest_sha256",
                found=", ".join(sorted(value))[:200],
                do="do not use it; look who signed it",
            ) from None

    return opened


# -- the ledger before -------------------------------------------------------------------------------------


def _keep_head(work: _Work, manifest: Manifest) -> None:
    if manifest.ledger_head is None:
        return
    key = BackupPath(work.region.config.prefix, manifest.source, manifest.backup_id).manifest_key
    try:
        signed = SignedHead.model_validate(manifest.ledger_head)
        head = verify_head(signed, work.key)
    except (ValidationError, TidewatchError):
        work.problem("refused", key, "the head of the ledger in it is not a signed one; the backup was taken")
        return
    work.heads.append(_lost_head(head, signed, manifest.backup_id))


def _keep_anchor(work: _Work, anchor: AnchorVersion) -> None:
    """Anchors of a lost chain are mostly newer than its manifests."""
    row = anchor.version
    try:
        signed = open_anchor(work.region.store.read(row.key, row.version_id), work.key)
    except (IntegrityError, ObjectMissing) as error:
        work.problem("refused", row.key, f"{error.what} ({error.found})")
        return
    work.heads.append(_lost_head(signed.head, signed, None))


def _lost_head(head: ledger.Head, signed: SignedHead, backup_id: str | None) -> schemas.LostHead:
    return schemas.LostHead(
        seq=head.seq,
        hash=head.hash,
        signed_at=signed.signed_at,
        key_id=signed.signature.key_id,
        backup_id=backup_id,
    )


def _lost_heads(work: _Work) -> list[schemas.LostHead]:
    """Signed heads that are no record of this ledger, the newest last."""
    gone = not_in_this_ledger(work.conn, [ledger.Head(h.seq, h.hash) for h in work.heads])
    return sorted((work.heads[n] for n in gone), key=lambda h: (h.signed_at, h.seq))


def _result(work: _Work, lost: list[schemas.LostHead], dry_run: bool) -> Rebuilt:
    return Rebuilt(
        work.region.name,
        dry_run,
        work.manifests,
        work.adopted,
        work.known,
        work.in_work,
        work.unfinished,
        len(work.words),
        work.copies,
        tuple(work.problems),
        lost[-1] if lost else None,
    )


def _record(work: _Work, result: Rebuilt, lost: list[schemas.LostHead], began: datetime) -> None:
    """Tell the ledger what changed; nothing when nothing did."""
    conn, now = work.conn, work.ctx.now()
    recorded = chain_before(conn)
    news = result.chain_before is not None and (
        recorded is None or recorded.before.signed_at < result.chain_before.signed_at
    )
    if not (result.adopted or result.copies or result.decisions or news):
        return
    body = schemas.CatalogRebuilt.model_validate(
        {
            "policy": records.policy(work.ctx.regions_file),
            "place": records.place(work.region),
            "started_at": began,
            "ended_at": max(now, began),
            "manifests": result.manifests,
            "adopted": result.adopted,
            "known": result.known,
            "decisions": result.decisions,
            "copies": result.copies,
            "adopted_sha256": work.digest.hexdigest(),
            "refused": sum(p.kind == "refused" for p in result.problems),
            "problems": [{"key": p.key, "problem": p.text} for p in result.problems[:_EXAMPLES]],
            "heads_before": len(lost),
            "chain_before": result.chain_before,
        }
    )
    ledger.append(conn, kind=body.KIND, subject=work.region.name, body=body, now=now)
    for word in work.words:
        ledger.append(conn, kind=word.KIND, subject=word.about, body=word, now=now)
