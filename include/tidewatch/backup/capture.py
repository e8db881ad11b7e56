"""Reads one source once and has it uploaded; what comes out goes into the draft of the manifest."""

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from tidewatch.backup import blockers
from tidewatch.backup.archive import Archive, Script
from tidewatch.backup.context import BackupContext
from tidewatch.backup.files import Capture, Listed, require_placed
from tidewatch.backup.postgres import Fingerprinting, Snapshot, open_snapshot, start_dump, start_roles
from tidewatch.backup.trees import Changed, Notes, open_tree
from tidewatch.backup.upload import Uploader
from tidewatch.core.canonical import digest
from tidewatch.core.errors import TidewatchError
from tidewatch.core.progress import human_bytes
from tidewatch.core.sources import FilesSource, PostgresSource
from tidewatch.vault.facts import DatabaseFingerprint, ReplayAnswer
from tidewatch.vault.filenames import encode_name
from tidewatch.vault.fingerprint import lock_relations, with_sequences_after
from tidewatch.vault.manifest import FileEntry, ObjectEntry
from tidewatch.vault.replay import answers, questions

DUMP = "dump.pgc.zst.age"
ROLES = "roles.sql.zst.age"
_NAMED = 20
"""So many paths are named in a note; of the others only the number is told."""


@dataclass(frozen=True)
class Captured:
    """What was read: exactly one of `database` and `files`."""

    snapshot_at: datetime
    objects: list[ObjectEntry]
    tools: dict[str, str]
    database: DatabaseFingerprint | None = None
    replay: list[ReplayAnswer] | None = None
    files: list[FileEntry] | None = None
    excluded: int = 0
    timings: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def content_sha256(self) -> str:
        """One digest for what the source held."""
        if self.database is not None:
            return self.database.content_sha256
        return digest([[f.path, f.type, f.sha256, f.link_target] for f in self.files or []])


def capture_postgres(ctx: BackupContext, source: PostgresSource, uploader: Uploader) -> Captured:
    """Dump, fingerprint and roles of one snapshot. Raises SourceError's family, RegionUnavailable."""
    dsn = ctx.resolver(source.connection).postgres_dsn()
    started = time.monotonic()
    with open_snapshot(source, dsn, settings=ctx.settings, clock=ctx.clock) as snapshot:
        ctx.progress(
            f"{source.name}: snapshot taken, the database has {human_bytes(snapshot.database_bytes)}"
        )
        tables = lock_relations(snapshot.conn, lock_timeout_seconds=source.lock_timeout_seconds)
        ctx.progress(f"{source.name}: {tables} tables locked against being altered")
        fingerprinting = Fingerprinting(snapshot, source, ctx.progress)
        try:
            dump, archive = _dump(source, snapshot, uploader, fingerprinting)
            ctx.progress(f"{source.name}: dump sent")
            roles = _roles(snapshot, uploader)
            waiting = time.monotonic()
            database = fingerprinting.result()
            archive.require(database)
            waited = time.monotonic() - waiting
        finally:
            fingerprinting.close()
        database = with_sequences_after(snapshot.conn, database)
        replay = answers(snapshot.conn, questions(ctx.settings.sql_dir, source.name))
    for answer in replay:
        if answer.error is not None:
            ctx.progress(f"{source.name}: {answer.name} was not answered: {answer.error}")
    return Captured(
        snapshot_at=snapshot.taken_at,
        objects=[dump, roles],
        tools={"pg_dump": snapshot.tools.version, "postgresql": snapshot.server_version},
        database=database,
        replay=replay or None,
        timings={"read": time.monotonic() - started, "upload": uploader.seconds, "fingerprint_wait": waited},
    )


def _dump(
    source: PostgresSource, snapshot: Snapshot, uploader: Uploader, fingerprinting: Fingerprinting
) -> tuple[ObjectEntry, Archive]:
    with (
        closing(start_dump(snapshot, lock_timeout_seconds=source.lock_timeout_seconds)) as child,
        closing(Archive(child.stdout, snapshot.tools)) as archive,
    ):
        fingerprinting.stops(child)

        def complete() -> None:
            child.finish()
            archive.finish()

        try:
            dump = uploader.upload(
                DUMP, "dump", archive, expected_bytes=snapshot.database_bytes, complete=complete
            )
        except TidewatchError as error:
            # The fingerprint's own failure is the cause when it ended pg_dump, and names the table.
            raise fingerprinting.failure() or blockers.named(error, snapshot.dsn) from None
    return dump, archive


def _roles(snapshot: Snapshot, uploader: Uploader) -> ObjectEntry:
    with closing(start_roles(snapshot)) as child:
        script = Script(child.stdout, snapshot.tools)

        def complete() -> None:
            child.finish()
            script.finish()

        return uploader.upload(ROLES, "roles", script, complete=complete)


def capture_files(
    ctx: BackupContext, source: FilesSource, uploader: Uploader, known: Mapping[str, ObjectEntry]
) -> Captured:
    """List and pack a tree. `known`: contents of earlier backups that need not be sent again."""
    connection = ctx.resolver(source.connection) if source.connection is not None else None
    taken_at = ctx.now()
    started = time.monotonic()
    walk = Capture(
        open_tree(source, connection),
        known,
        source=source.name,
        allow_empty=source.allow_empty,
        progress=ctx.progress,
    )
    packs: dict[str, ObjectEntry] = {}
    for pack in walk.packs():
        try:
            packs[pack.name] = uploader.upload(pack.name, "pack", pack.reader, expected_bytes=pack.largest)
        except Changed:
            walk.given_up(pack)
        else:
            walk.packed(pack)
    require_placed(walk, known)
    files, objects = _entries(walk, packs, known)
    ctx.progress(f"{source.name}: {len(files)} entries listed, {human_bytes(walk.bytes_read)} read")
    return Captured(
        snapshot_at=taken_at,
        objects=objects,
        tools={},
        files=files,
        excluded=walk.notes.excluded,
        timings={"read": time.monotonic() - started, "upload": uploader.seconds},
        notes=_notes(walk.notes),
    )


def _entries(
    walk: Capture, packs: Mapping[str, ObjectEntry], known: Mapping[str, ObjectEntry]
) -> tuple[list[FileEntry], list[ObjectEntry]]:
    objects: list[ObjectEntry] = list(packs.values())
    index = {entry.key: position for position, entry in enumerate(objects)}
    first_names: dict[tuple[int, int], bytes] = {}
    files: list[FileEntry] = []
    for listed in walk.listing:
        position: int | None = None
        if listed.sha256 is not None and listed.found.size > 0:
            pack = walk.placed.get(listed.sha256)
            entry = packs[pack] if pack is not None else known[listed.sha256]
            if entry.key not in index:
                index[entry.key] = len(objects)
                objects.append(entry)
            position = index[entry.key]
        files.append(_entry(listed, position, first_names))
    return files, objects


def _entry(listed: Listed, position: int | None, first_names: dict[tuple[int, int], bytes]) -> FileEntry:
    found = listed.found
    path = encode_name(found.path)
    target = encode_name(found.link_target) if found.link_target is not None else None
    kind: Literal["file", "directory", "symlink", "hardlink"]
    kind = "symlink" if found.kind == "link" else found.kind
    if found.inode is not None and listed.sha256 is not None:
        first = first_names.setdefault(found.inode, found.path)
        if first != found.path:
            target, kind = encode_name(first), "hardlink"
    return FileEntry(
        path=path.text,
        path_encoded=path.encoded,
        size=found.size,
        mode=found.mode,
        mtime=found.mtime_ns,
        type=kind,
        sha256=listed.sha256,
        object=position,
        link_target=target.text if target else None,
        link_encoded=target.encoded if target else False,
    )


def _notes(notes: Notes) -> list[str]:
    lines = []
    for what, paths in (
        ("socket(s), pipe(s) or device(s) skipped", notes.special),
        ("entry(ies) gone before they could be read", notes.vanished),
    ):
        if paths:
            more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
            lines.append(f"{len(paths)} {what}: {', '.join(paths[:_NAMED])}{more}")
    if notes.markers:
        lines.append(f"{notes.markers} empty object(s) whose keys end with a slash (folders) skipped")
    return lines
