"""All contenders on one database and one set of endpoints, in turn, as often as asked."""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import ours
import pgbackrest
import restic
import script
from database import GB, Shape, fill
from measure import Json, Taken
from rig import Running, running
from stages import stages

Say = Callable[[str], None]
Named = Iterator[tuple[str, Taken]]
PEERS = ("restic", "pgbackrest")
LARGE = 2 * GB
"""From here on the peers and the side variants of the script run once."""


@dataclass
class Contest:
    """One size against one kind of endpoints: `free` or `demo`. Peers are measured with the free ones."""

    shape: Shape
    servers: str
    repeat: int
    skip: set[str]
    say: Say
    notes: list[str] = field(default_factory=list)
    runs: dict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))
    facts: Json = field(default_factory=dict)

    def measure(self) -> Json:
        """Every run of every contender by name, and what was backed up."""
        size = self.shape.bytes / GB
        with ExitStack() as stack:
            place = stack.enter_context(running(self.servers, reserve_gib=size))
            self.say(f"{self.servers} endpoints, {size:g} GB in {self.shape.tables} tables: making it")
            fill(place.rig.database, self.shape)
            physical = self._pgbackrest(stack, place)
            for turn in range(self.repeat):
                # Interleaved, so that a slow minute of the machine falls on all.
                for name, taken in self._turn(place, physical, turn):
                    self._keep(name, taken)
        load = [float(x) for x in Path("/proc/loadavg").read_text().split()[:3]]
        return {
            "servers": self.servers,
            "shape": asdict(self.shape),
            "load": load,
            **self.facts,
            "runs": dict(self.runs),
            "notes": sorted(set(self.notes)),
        }

    def _keep(self, name: str, taken: Taken) -> None:
        result, steps = taken.detail.pop("result", None), taken.detail.pop("steps", None)
        if name == "tidewatch/stage":
            self.facts = {key: result[key] for key in ("plain_bytes", "stored_bytes", "rows", "tables")}
        if steps is not None:
            taken.detail["stages"] = stages(name.rpartition("/")[2], steps, taken.seconds)
        self.runs[name].append(taken.as_json())
        self.say(
            f"  {name}: {taken.seconds:.2f} s, CPU {taken.cpu:.2f} s, others {taken.others_cores:.1f} cores"
        )

    def _turn(self, place: Running, physical: pgbackrest.PgBackRest | None, turn: int) -> Named:
        again = turn > 0 and self.shape.bytes >= LARGE
        yield from self._script(place, again)
        for name, file in (("tidewatch", None), ("handed", place.rig.home / "fingerprint")):
            place.forget()
            for phase, taken in ours.backup(place, fingerprint=file).items():
                yield f"{name}/{phase}", taken
        if again or self.servers != "free":
            return
        if "restic" not in self.skip:
            yield from self._restic(place, turn)
        if physical is not None:
            for what, taken in physical.measure().items():
                yield f"pgbackrest/{what}", taken

    def _script(self, place: Running, again: bool) -> Named:
        if (absent := script.missing()) is not None:
            self.notes.append(f"the script by hand was not measured: {absent}")
            return
        for variant in script.VARIANTS:
            if again and variant in (script.SEQUENTIAL, script.PARALLEL):
                continue
            place.forget()
            yield f"script/{variant}", script.script(place, variant, sys.executable)

    def _restic(self, place: Running, turn: int) -> Named:
        if restic.version() is None:
            self.notes.append(f"restic was not measured: {restic.GET}")
            return
        place.forget()
        for what, taken in restic.Restic(place, str(turn)).measure().items():
            yield f"restic/{what}", taken

    def _pgbackrest(self, stack: ExitStack, place: Running) -> pgbackrest.PgBackRest | None:
        if self.servers != "free" or "pgbackrest" in self.skip:
            return None
        if (absent := pgbackrest.missing()) is not None:
            self.notes.append(f"pgBackRest was not measured: {absent}")
            return None
        physical = pgbackrest.PgBackRest(place)
        self.say(f"the same rows once more for pgBackRest, in PostgreSQL {pgbackrest.MAJOR}")
        stack.enter_context(physical.server(self.shape))
        return physical
