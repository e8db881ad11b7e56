"""Finds what attempts that can never be completed have left in a region, and what probes have.

An attempt leaves objects without a manifest when it is killed or fails. Each attempt has an id of its own, so
nobody ever continues with them; only their lock keeps them. Something is an orphan when all of this holds:

- its key is one that we would have written for a backup id or a probe; anything else is counted as a stray
- the attempt is `failed` or `abandoned` in the catalogue, which is final, or the catalogue does not know it
  and nothing of it was written for `orphan_grace_hours`
- no region holds a manifest of it, not even one that lies hidden under a delete marker
- no other backup takes content from it

The last two are asked of every region and of the catalogue. When a region cannot be listed, or one holds a
manifest of the same source that the catalogue does not know, nobody can say what that would refer to: nothing
in question is an orphan then, and the reason is told.
"""

from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tidewatch.backup.context import BackupContext
from tidewatch.core.anchorkeys import AnchorName
from tidewatch.core.database import execute
from tidewatch.core.errors import ObjectMissing, RegionError, RegionMisconfigured
from tidewatch.core.objectstore import ListedUpload, ListedVersion
from tidewatch.core.regions import Region
from tidewatch.vault.inventory import AnchorVersion, Folder, ProbeVersion, place_of, survey
from tidewatch.vault.layout import BackupPath, source_of, started_at

ENDED = ("failed", "abandoned")
"""Statuses that nothing leads out of (vault.transitions)."""
_AT_ONCE = 4
_EXAMPLES = 20

Place = tuple[str, str]
"""Key, and version or upload id."""


@dataclass(frozen=True)
class Orphan:
    """One object version or delete marker. `backup_id` None: a probe wrote it."""

    key: str
    version_id: str
    size: int
    written_at: datetime
    backup_id: str | None
    locked_until: datetime | None
    """None: not locked, or not any more."""


@dataclass(frozen=True)
class Upload:
    """An upload in parts that nobody finishes."""

    key: str
    upload_id: str
    begun_at: datetime
    backup_id: str | None
    committed: bool
    """The backup itself counts: only its lock tells that no heal is sending this."""


@dataclass(frozen=True)
class Kept:
    """What looks like an orphan and is not called one, with the reason."""

    what: str
    why: str


@dataclass
class Findings:
    """What there is in one region."""

    region: str
    orphans: list[Orphan] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    young: int = 0
    """Attempts without a manifest that are not old enough to judge."""
    strays: int = 0
    stray_examples: list[str] = field(default_factory=list)
    seen: set[Place] = field(default_factory=set)
    """Those of `watch` that are still there."""

    @property
    def removable(self) -> list[Orphan]:
        return [o for o in self.orphans if o.locked_until is None]

    @property
    def locked(self) -> list[Orphan]:
        return [o for o in self.orphans if o.locked_until is not None]

    @property
    def ok(self) -> bool:
        """Nothing is in question and nothing lies there that is not ours."""
        return not self.kept and self.strays == 0


def find(ctx: BackupContext, region: Region, watch: Collection[Place] = ()) -> Findings:
    """The orphans of one region. Removes nothing. Raises RegionError when the region cannot be listed."""
    return _Search(ctx, region, set(watch)).run()


@dataclass
class _Search:
    ctx: BackupContext
    region: Region
    watch: set[Place]
    found: Findings = field(init=False)
    statuses: dict[str, str] = field(default_factory=dict)
    with_manifest: set[str] = field(default_factory=set)
    candidates: dict[str, Folder] = field(default_factory=dict)
    manifests: dict[str, str] = field(default_factory=dict)
    """Candidate -> the region that holds a manifest of it."""
    doubts: dict[str, str] = field(default_factory=dict)
    """Source -> why nobody can say what is referred to."""

    def run(self) -> Findings:
        self.found = Findings(self.region.name)
        with closing(self.ctx.connect()) as conn:
            for row in execute(conn, "backup/standings"):
                self.statuses[row["backup_id"]] = row["status"]
                if row["has_manifest"]:
                    self.with_manifest.add(row["backup_id"])
        self._look()
        uploads = self._uploads()
        sources = {f.path.source for f in self.candidates.values()} | {
            source_of(u.backup_id) for u in uploads if u.backup_id and u.backup_id not in self.statuses
        }
        for other in self.ctx.regions:
            if other.name != self.region.name and sources:
                self._ask(other, sources)
        self._judge()
        self.found.uploads = [u for u in uploads if not self._doubtful(u)]
        return self.found

    # -- what lies in the region -------------------------------------------------------------------------

    def _look(self) -> None:
        now, probes = self.ctx.now(), list[ListedVersion]()
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        for item in survey(self.region):
            if isinstance(item, Folder):
                self._note(item.versions)
                self._manifest_of(self.region, item)
                if self.statuses.get(item.backup_id) in (None, *ENDED):
                    self.candidates[item.backup_id] = item
            elif isinstance(item, ProbeVersion):
                self._note([item.version])
                if item.day < today:
                    probes.append(item.version)
            elif isinstance(item, AnchorVersion):
                self._note([item.version])
            else:
                self._stray(item.version.key)
        self.found.orphans += self._with_locks([(v, None) for v in probes])

    def _note(self, versions: list[ListedVersion]) -> None:
        if self.watch:
            self.found.seen |= self.watch & {(v.key, v.version_id) for v in versions}

    def _stray(self, key: str) -> None:
        self.found.strays += 1
        if len(self.found.stray_examples) < _EXAMPLES:
            self.found.stray_examples.append(key)

    def _manifest_of(self, where: Region, folder: Folder) -> None:
        if not folder.manifests or folder.backup_id in self.with_manifest:
            return
        self.manifests.setdefault(folder.backup_id, where.name)
        self.doubts.setdefault(
            folder.path.source,
            f"{where.name} holds a manifest that the catalogue does not know, {folder.backup_id}: run "
            f"`tidewatch catalog rebuild --region {where.name}`, which says what is the matter with it",
        )

    def _uploads(self) -> list[Upload]:
        """Unfinished uploads older than the grace that no live run sends."""
        prefix, oldest = f"{self.region.config.prefix}/", self.ctx.now() - self._grace
        uploads = []
        for listed in self._listed_uploads(prefix):
            if self.watch and (listed.key, listed.upload_id) in self.watch:
                self.found.seen.add((listed.key, listed.upload_id))
            if listed.initiated <= oldest and (upload := self._upload(listed)) is not None:
                uploads.append(upload)
        return uploads

    def _listed_uploads(self, prefix: str) -> list[ListedUpload]:
        try:
            return list(self.region.store.list_multiparts(prefix))
        except (
            RegionMisconfigured
        ) as error:  # a store that cannot tell; its versions can be judged all the same
            self.found.kept.append(Kept("unfinished uploads", f"{error.what} ({error.found})"))
            return []

    def _upload(self, listed: ListedUpload) -> Upload | None:
        place = place_of(self.region.config.prefix, listed.key)
        if place is None or isinstance(place, AnchorName):  # anchors are not sent in parts
            self._stray(listed.key)
            return None
        backup_id = place.backup_id if isinstance(place, BackupPath) else None
        status = self.statuses.get(backup_id) if backup_id else None
        if status in ("staging", "staged"):
            return None
        committed = status is not None and status not in ENDED
        return Upload(listed.key, listed.upload_id, listed.initiated, backup_id, committed)

    # -- what others say of it ---------------------------------------------------------------------------

    def _ask(self, other: Region, sources: Collection[str]) -> None:
        for source in sorted(sources):
            try:
                for item in survey(other, f"{source}/"):
                    if isinstance(item, Folder):
                        self._manifest_of(other, item)
            except RegionError as error:
                self.doubts[source] = f"{other.name} cannot be asked: {error.what} ({error.found})"

    def _judge(self) -> None:
        with closing(self.ctx.connect()) as conn:
            rows = execute(conn, "backup/referenced", {"ids": list(self.candidates)})
            referenced = {row["backup_id"] for row in rows}
        chosen = []
        for backup_id, folder in self.candidates.items():
            if backup_id not in self.statuses and self._is_young(folder):
                self.found.young += 1
            elif why := self._why_kept(backup_id, folder, referenced):
                self.found.kept.append(Kept(backup_id, why))
            else:
                chosen += [(v, backup_id) for v in folder.versions]
        self.found.orphans += self._with_locks(chosen)

    def _is_young(self, folder: Folder) -> bool:
        return max(started_at(folder.backup_id), folder.touched_at) > self.ctx.now() - self._grace

    def _why_kept(self, backup_id: str, folder: Folder, referenced: Collection[str]) -> str | None:
        if (where := self.manifests.get(backup_id)) is not None:
            said = self.statuses.get(backup_id)
            known = f"calls it {said}" if said else "does not know it"
            return f"{where} holds a manifest of it, and the catalogue {known}"
        if backup_id in referenced:
            return "another backup takes content from it"
        return self.doubts.get(folder.path.source)

    def _doubtful(self, upload: Upload) -> bool:
        if upload.backup_id is None or upload.backup_id in self.statuses:
            return False
        why = self.doubts.get(source_of(upload.backup_id))
        if why is not None:
            self.found.kept.append(Kept(f"unfinished upload {upload.key}", why))
        return why is not None

    @property
    def _grace(self) -> timedelta:
        return timedelta(hours=self.ctx.regions_file.orphan_grace_hours)

    # -- locks -------------------------------------------------------------------------------------------

    def _with_locks(self, chosen: Sequence[tuple[ListedVersion, str | None]]) -> list[Orphan]:
        """Few wait in the pool at any time: whoever gives up on a slow region can end without asking it
        about all the rest, since an interpreter that ends waits for what its pools still hold."""
        found: list[Orphan | None] = []
        ahead: deque[Future[Orphan | None]] = deque()
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="locks") as pool:
            for version, backup_id in chosen:
                ahead.append(pool.submit(self._with_lock, version, backup_id))
                if len(ahead) >= 2 * _AT_ONCE:
                    found.append(ahead.popleft().result())
            found += [asked.result() for asked in ahead]
        return [orphan for orphan in found if orphan is not None]

    def _with_lock(self, version: ListedVersion, backup_id: str | None) -> Orphan | None:
        until = None
        if not version.delete_marker:
            try:
                until = self.region.store.head(version.key, version.version_id).retain_until
            except ObjectMissing:
                return None
        if until is not None and until <= self.ctx.now():
            until = None
        return Orphan(version.key, version.version_id, version.size, version.last_modified, backup_id, until)
