"""The newest head of the ledger that a region vouches for: in an anchor of its own, or in a manifest.

The region itself is asked what lies there, not the catalogue: whoever can cut the ledger can cut the
catalogue of the same database too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from tidewatch.core.errors import IntegrityError, ObjectMissing, RegionError
from tidewatch.core.regions import Region
from tidewatch.core.signing import Verifier
from tidewatch.evidence.anchor import SignedHead, verify_head
from tidewatch.evidence.anchoring import newest_anchors
from tidewatch.evidence.chains import NewChain
from tidewatch.evidence.record import Head
from tidewatch.vault.layout import BackupPath, parse_manifest_key, started_at
from tidewatch.vault.manifest import open_manifest


@dataclass(frozen=True)
class Anchor:
    """`head` as the object `key` in `region` carries it: the signed manifest of `backup_id`, or (None) an
    anchor of its own."""

    region: str
    backup_id: str | None
    key: str
    head: Head
    signed_at: datetime

    @property
    def carrier(self) -> str:
        """What carries it, in short."""
        return self.backup_id or f"the anchor {self.key}"


def newest_anchor(
    region: Region, key: Verifier, chain: NewChain | None = None
) -> tuple[Anchor | None, list[str]]:
    """The highest head among the newest anchors and the newest manifest of each source, and what could not be
    used.

    Backups of several sources end in any order: the newest by name need not carry the highest head. Heads of
    the chain that `chain` says was lost, up to the one it names, are not compared with. Never raises for what
    the region does or shows.
    """
    problems: list[str] = []
    best: Anchor | None = None
    earlier = False
    try:
        after = chain.before.signed_at if chain else None
        for anchor, problem in _newest_heads(region, key, after):
            if anchor and after is not None and anchor.signed_at <= after:
                earlier = True
                continue
            if problem:
                problems.append(problem)
            if anchor and (best is None or anchor.head.seq > best.head.seq):
                best = anchor
    except RegionError as error:
        problems.append(f"the region {region.name} could not be asked: {error.what} ({error.found})")
    if best is None and not problems and not earlier:
        problems.append(
            f"the region {region.name} holds no manifest with a head of the ledger, and no anchor: nothing "
            "outside of the database vouches for it yet; run `tidewatch evidence anchor`, then compare again"
        )
    return best, problems


def _newest_heads(
    region: Region, key: Verifier, after: datetime | None
) -> Iterator[tuple[Anchor | None, str | None]]:
    found, wrong = newest_anchors(region, key, after)
    for each in found:
        hidden = f"{each.key} in {region.name} lies below a delete marker or other bytes: somebody hid it"
        anchor = Anchor(region.name, None, each.key, each.signed.head, each.signed.signed_at)
        yield anchor, hidden if each.hidden else None
    for problem in wrong:
        yield None, problem
    for path in _newest_manifests(region):
        yield _anchor_in(region, path, key)


def _newest_manifests(region: Region) -> list[BackupPath]:
    """The newest manifest of each source; all of them where several were begun in the same second."""
    newest: dict[str, list[BackupPath]] = {}
    for listed in region.store.list(f"{region.config.prefix}/"):
        path = parse_manifest_key(listed.key)
        if path is None or path.prefix != region.config.prefix:
            continue
        known = newest.get(path.source)
        begun = started_at(path.backup_id)
        if known is None or begun > started_at(known[0].backup_id):
            newest[path.source] = [path]
        elif begun == started_at(known[0].backup_id):
            known.append(path)
    return [path for source in sorted(newest) for path in newest[source]]


def _anchor_in(region: Region, path: BackupPath, key: Verifier) -> tuple[Anchor | None, str | None]:
    try:
        manifest = open_manifest(region.store.read(path.manifest_key), key)
        if manifest.backup_id != path.backup_id:
            return None, f"{path.manifest_key} in {region.name} is the manifest of {manifest.backup_id}"
        if manifest.ledger_head is None:
            return None, None
        signed = SignedHead.model_validate(manifest.ledger_head)
        head = verify_head(signed, key)
    except (IntegrityError, ObjectMissing) as error:
        return None, f"{path.manifest_key} in {region.name}: {error.what} ({error.found})"
    except ValidationError:
        return None, f"{path.manifest_key} in {region.name} carries a head that has not its form"
    return Anchor(region.name, path.backup_id, path.manifest_key, head, signed.signed_at), None
