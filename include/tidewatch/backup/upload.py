"""Sends the objects of one backup to its regions, and keeps track of which regions still take part."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tidewatch.backup.context import BackupContext
from tidewatch.backup.fanout import FanOut, Pace, Uploaded
from tidewatch.core.errors import RegionUnavailable
from tidewatch.core.parts import first_size
from tidewatch.core.regions import Region
from tidewatch.vault.catalogue import Copy
from tidewatch.vault.envelope import Reader, seal
from tidewatch.vault.layout import BackupPath
from tidewatch.vault.manifest import ObjectEntry

Role = Literal["dump", "roles", "pack"]


@dataclass
class Uploader:
    """One backup on its way. A region that was dropped once gets nothing more of this backup.

    What a dropped region lacks is completed by healing: sending it half would only cost time.
    """

    ctx: BackupContext
    source: str
    backup_id: str
    regions: Sequence[Region]
    alive: Callable[[], None]
    """Called now and then while bytes flow; raises when the work has lost its lock."""
    dropped: dict[str, str] = field(default_factory=dict)
    """Region -> why, in words."""
    copies: list[Copy] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def live(self) -> list[Region]:
        return [r for r in self.regions if r.name not in self.dropped]

    def upload(
        self,
        name: str,
        role: Role,
        reader: Reader,
        *,
        expected_bytes: int | None = None,
        complete: Callable[[], None] | None = None,
    ) -> ObjectEntry:
        """Seal `reader` into the object `name` of every live region.

        `complete` is called at the end of the stream, before anything becomes visible: it raises when the
        end was no good end (a program that failed). Raises RegionUnavailable when no region is left.
        """
        tuning = self.ctx.tuning
        started = time.monotonic()
        live = self.live
        if not live:
            raise RegionUnavailable(
                "No region is left to take the backup",
                expected="at least one region",
                found="; ".join(f"{r}: {why}" for r, why in self.dropped.items()),
                do="bring a region back and run again",
            )
        keys = {
            r.name: BackupPath(r.config.prefix, self.source, self.backup_id).object_key(name) for r in live
        }
        part_size = first_size(expected_bytes, tuning.part_size)
        with FanOut(
            live,
            keys,
            part_size=part_size,
            # Larger parts, fewer of them: memory stays what the tuning allows, down to two parts.
            queue_parts=max(0, (tuning.queue_parts + 2) * tuning.part_size // part_size - 2),
            stall_seconds=tuning.stall_seconds,
            max_drag=tuning.max_drag,
            progress=lambda pace: self._tell(name, pace),
            progress_seconds=tuning.progress_seconds,
        ) as fan:
            sealed = seal(reader, fan.write, self.ctx.recipients)
            if complete is not None:
                complete()
            outcomes = fan.finish()
        for outcome in outcomes.values():
            if isinstance(outcome, Uploaded):
                self.copies.append(
                    Copy(
                        self.backup_id,
                        outcome.region,
                        outcome.key,
                        "uploaded",
                        version_id=outcome.version_id,
                        size=outcome.size,
                    )
                )
            else:
                self.dropped[outcome.region] = outcome.reason
                self.ctx.progress(f"{self.source}: {outcome.reason}")
        self.seconds += time.monotonic() - started
        relative = BackupPath("", self.source, self.backup_id)
        return ObjectEntry(
            name=name,
            role=role,
            key=relative.object_key(name),
            backup_id=self.backup_id,
            plain_size=sealed.plain_size,
            plain_sha256=sealed.plain_sha256,
            cipher_size=sealed.cipher_size,
            cipher_sha256=sealed.cipher_sha256,
            part_size=fan.part_size,
            composite_sha256=fan.composite_sha256,
        )

    def known_copies(self, objects: Sequence[ObjectEntry]) -> list[Copy]:
        """The catalogue's rows for every object in every region: uploaded, or failed with the reason."""
        rows = [c for c in self.copies if c.region not in self.dropped]
        for region in self.regions:
            if region.name in self.dropped:
                path = BackupPath(region.config.prefix, self.source, self.backup_id)
                rows += [
                    Copy(
                        self.backup_id,
                        region.name,
                        path.object_key(o.name),
                        "failed",
                        error=self.dropped[region.name],
                    )
                    for o in objects
                    if o.backup_id == self.backup_id
                ]
        return rows

    def _tell(self, name: str, pace: Pace) -> None:
        self.ctx.progress(f"{self.source}: {name} {pace.sentence()}")
        self.alive()
