"""Which backup: asked of a region itself, since the catalogue may be gone.

A backup is good when its signed manifest says sealed or degraded, or when it was suspect and a signed
decision beside it accepts it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tidewatch.core.errors import ConfigError, IntegrityError, NotFound, TidewatchError
from tidewatch.core.regions import Region
from tidewatch.restore.context import RestoreContext
from tidewatch.vault.genuine import decision_in, first_genuine, manifest_in, read_raw
from tidewatch.vault.inventory import Folder, survey
from tidewatch.vault.layout import BackupPath, source_of, started_at
from tidewatch.vault.manifest import Manifest

Standing = Literal["sealed", "degraded", "accepted", "suspect", "rejected", "failed"]
GOOD: tuple[Standing, ...] = ("sealed", "degraded", "accepted")


@dataclass(frozen=True)
class Chosen:
    """A backup as one region holds it; its manifest carries a good signature."""

    region: Region
    path: BackupPath
    """Its place in that region."""
    manifest: Manifest
    manifest_sha256: str
    standing: Standing
    remarks: tuple[str, ...] = ()
    """What was odd on the way: newer backups that were passed over and why, a hidden manifest."""

    @property
    def backup_id(self) -> str:
        return self.path.backup_id


def choose(
    ctx: RestoreContext, source: str, *, region: Region, at: datetime | None, backup_id: str | None
) -> Chosen:
    """The newest good backup of `source` in `region`, with `at` the newest whose snapshot is not later, with
    `backup_id` that one, good or not. Manifests that are damaged or forged are passed over, and told.

    Raises NotFound, RegionError, UnsupportedVersion (written by a newer Tidewatch; nothing older is taken in
    its place unasked), IntegrityError (the one that was named is not genuine).
    """
    if backup_id is not None:
        return _named(ctx, source, region, backup_id)
    passed: list[str] = []
    for folder in reversed(folders(region, source)):
        if at is not None and started_at(folder.backup_id) > at:
            continue
        try:
            found = _open(ctx, region, folder)
        except IntegrityError as error:
            passed.append(f"{folder.backup_id} was passed over: {error.what} ({error.found})")
            continue
        if at is not None and found.manifest.snapshot_at > at:
            continue
        if found.standing in GOOD:
            return Chosen(
                region,
                found.path,
                found.manifest,
                found.manifest_sha256,
                found.standing,
                (*passed, *found.remarks),
            )
        passed.append(f"{folder.backup_id} was passed over: it is {found.standing}")
    when = f" from before {at:%Y-%m-%d %H:%M:%S}Z" if at is not None else ""
    raise NotFound(
        f"Region {region.name} has no good backup of {source}{when}",
        expected="a manifest that is sealed, degraded or accepted",
        found="; ".join(passed) or "none",
        do="ask another region, take a later time, or name a backup with --backup",
    )


def folders(region: Region, source: str) -> list[Folder]:
    """The places of all attempts on `source` that have a manifest, the oldest first. Raises RegionError."""
    found = [
        folder
        for folder in survey(region, f"{source}/")
        if isinstance(folder, Folder) and folder.path.source == source and folder.manifests
    ]
    return sorted(found, key=lambda folder: (started_at(folder.backup_id), folder.backup_id))


def _named(ctx: RestoreContext, source: str, region: Region, backup_id: str) -> Chosen:
    if source_of(backup_id) != source:
        raise ConfigError(
            f"{backup_id} is not a backup of {source}",
            expected=f"an id that begins with {source}-",
            found=backup_id,
            do="correct the source or the id (`tidewatch backup list`)",
        )
    path = BackupPath(region.config.prefix, source, backup_id)
    below = path.relative.root + "/"
    for folder in survey(region, below):
        if isinstance(folder, Folder) and folder.manifests:
            return _open(ctx, region, folder)
    raise NotFound(
        f"Region {region.name} has no manifest of {backup_id}",
        expected=path.manifest_key,
        found="no such object",
        do="ask another region, or look the id up with `tidewatch backup list`",
    )


def _open(ctx: RestoreContext, region: Region, folder: Folder) -> Chosen:
    raw = read_raw(region, folder.manifests)
    if isinstance(raw, TidewatchError):
        raise raw
    opener = manifest_in(folder.path, ctx.ring)
    found, wrong = first_genuine(region, folder.manifests, raw, opener)
    if found is None:
        opener(raw)  # says what is wrong, in its own class
        raise IntegrityError(
            f"The manifest of {folder.backup_id} in region {region.name} cannot be used",
            expected="a signed manifest",
            found=wrong or "nothing that can be read",
            do="take the copy of another region",
        )
    remarks = (f"{folder.path.manifest_key}: {wrong}; the version below it is genuine",) if wrong else ()
    standing = _standing(ctx, region, folder, found.value, found.sha256)
    return Chosen(region, folder.path, found.value, found.sha256, standing, remarks)


def _standing(
    ctx: RestoreContext, region: Region, folder: Folder, manifest: Manifest, sha256: str
) -> Standing:
    verdict = manifest.verdict or "failed"
    if verdict != "suspect" or not folder.decisions:
        return verdict
    raw = read_raw(region, folder.decisions)
    word, _ = first_genuine(region, folder.decisions, raw, decision_in(folder.backup_id, sha256, ctx.ring))
    if word is None:
        return "suspect"
    return "accepted" if word.value.get("decision") == "accept" else "rejected"


def candidates(ctx: RestoreContext, source: str, regions: Sequence[Region]) -> list[Region]:
    """`regions` without those that the source's configuration leaves out, in the order given. A source that
    is no longer configured may be anywhere."""
    for known in ctx.sources.sources:
        if known.name == source and known.regions is not None:
            return [r for r in regions if r.name in known.regions] or list(regions)
    return list(regions)
