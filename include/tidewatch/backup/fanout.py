"""The same ciphertext to every region in one pass, each region at its own pace within a bound.

The writer cuts the stream into parts, hashes each part once and offers it to one bounded queue per region.
(The digest of the whole is the business of whoever made the stream: the envelope has it already.)
A region with a full queue makes the source wait; two limits keep that bounded:

* stalled: no request of the region was finished for `stall_seconds`: the region is dropped;
* dragging: the region made the source wait while another region had nothing left to do. Of that waiting it
  may cause `stall_seconds` plus `max_drag` times the time the transfer took without it. With the default of
  1.0 a slow region can at most double the time; beyond it the region is dropped.

A dropped region aborts its upload; the others go on. When none is left the write fails. Memory is bounded by
`part_size` x (`queue_parts` + 2), whatever the size of the stream and the number of regions: the parts in the
queues are the same objects. With `queue_parts` 0 a part is filled while the one before it is sent.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tidewatch.backup.lane import Finish, Job, Lane, Part, Whole
from tidewatch.core.errors import RegionUnavailable, SourceError, TidewatchError
from tidewatch.core.parts import MAX_OBJECT, MAX_PARTS, part_length
from tidewatch.core.progress import human_bytes
from tidewatch.core.regions import Region

MIB = 1024 * 1024
PART_SIZE = 16 * MIB


@dataclass(frozen=True)
class Uploaded:
    """The region has all bytes of the object; whether they are right is for reading back to say."""

    region: str
    key: str
    version_id: str | None
    etag: str | None
    size: int


@dataclass(frozen=True)
class Dropped:
    """The region was left behind; `reason` says why in words."""

    region: str
    key: str
    reason: str


Outcome = Uploaded | Dropped


@dataclass(frozen=True)
class RegionPace:
    """How one region is doing: bytes it has taken, parts waiting, and a word for its state."""

    region: str
    sent_bytes: int
    queued: int
    state: str


@dataclass(frozen=True)
class Pace:
    """Progress of one object: bytes given to the regions, bytes a second since the start, and each region."""

    key: str
    written_bytes: int
    bytes_per_second: float
    regions: tuple[RegionPace, ...]

    def sentence(self) -> str:
        """One log line."""
        each = ", ".join(f"{r.region} {human_bytes(r.sent_bytes)} {r.state}" for r in self.regions)
        return f"{human_bytes(self.written_bytes)} at {human_bytes(self.bytes_per_second)}/s ({each})"


PaceListener = Callable[[Pace], None]


class FanOut:
    """A sink for one object. `write` is called by one thread; use as a context manager or call `abort`."""

    def __init__(
        self,
        regions: Sequence[Region],
        keys: str | Mapping[str, str],
        *,
        part_size: int = PART_SIZE,
        queue_parts: int = 4,
        stall_seconds: float = 60.0,
        max_drag: float = 1.0,
        progress: PaceListener | None = None,
        progress_seconds: float = 5.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`keys`: the object's key, one for all or by region name (regions may have prefixes of their
        own).
        """
        self._part_size = part_size
        self._stall_seconds = stall_seconds
        self._max_drag = max_drag
        self._progress = progress
        self._progress_seconds = progress_seconds
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._buffer = memoryview(b"")
        self._filled = 0
        self._composite = hashlib.sha256()
        self._parts = 0
        self._written = 0
        self._started = self._told = monotonic()
        self._closed = False
        self._lanes = [
            Lane(
                r.name,
                r.store,
                keys if isinstance(keys, str) else keys[r.name],
                limit=queue_parts,
                changed=self._changed,
                monotonic=monotonic,
            )
            for r in regions
        ]
        self._key = self._lanes[0].key if self._lanes else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._written

    @property
    def part_size(self) -> int | None:
        """Bytes of the first part (`parts.part_length` tells the others); None while everything fits into one
        request."""
        return self._part_size if self._parts else None

    @property
    def composite_sha256(self) -> str | None:
        """SHA-256 over the digests of the parts, as stores report it for multipart uploads; None for one
        piece.
        """
        return self._composite.hexdigest() if self._parts else None

    def write(self, data: bytes) -> None:
        """Take the next bytes; waits while a region within its bounds has no room.

        Raises RegionUnavailable when no region is left.
        """
        view = memoryview(data)
        self._written += len(view)
        while len(view):
            if not self._buffer:
                self._buffer = memoryview(bytearray(self._next_length()))
            piece = view[: len(self._buffer) - self._filled]
            self._buffer[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == len(self._buffer):
                self._send_part()

    def finish(self) -> dict[str, Outcome]:
        """Complete the object everywhere. Outcome by region name; raises RegionUnavailable if none has it."""
        if self._parts == 0:
            body = self._take()
            self._offer(Whole(body, hashlib.sha256(body).digest()))
        else:
            if self._filled:
                self._send_part()
            self._offer(Finish())
        with self._changed:
            while any(lane.state == "open" for lane in self._lanes):
                self._changed.wait(self._tick())
                self._drop_stalled()
                self._tell()
            self._closed = True
            self._require_survivor()
            return {lane.region: self._outcome(lane) for lane in self._lanes}

    def abort(self) -> None:
        """Give up the object in every region that has not completed it; nothing becomes visible there."""
        if self._closed:
            return
        self._closed = True
        with self._changed:
            for lane in self._lanes:
                lane.drop(
                    RegionUnavailable(
                        f"The upload to region {lane.region} was given up",
                        expected="the whole object",
                        found="a failure before its end",
                        do="see the error of the run",
                    )
                )
        for lane in self._lanes:
            # Long enough for an abort request on a healthy region; a hanging one is left to its time-out.
            lane.join(min(self._stall_seconds, 10.0))

    def pace(self) -> Pace:
        """How far it is."""
        with self._changed:
            return self._pace()

    # -- below, the condition is held where lanes are touched ----------------------------------------------

    def _next_length(self) -> int:
        """Bytes of the next part. Raises SourceError when S3 takes no more."""
        if self._parts == MAX_PARTS:
            raise SourceError(
                f"The object {self._key} is larger than S3 holds",
                expected=f"at most {MAX_PARTS} parts and {human_bytes(MAX_OBJECT)}",
                found=f"more than {human_bytes(self._written)}",
                do="split the source: several sources of one database's schemas, or of several directories",
            )
        return part_length(self._parts + 1, self._part_size)

    def _take(self) -> memoryview:
        """What was written since the last part: the very bytes, shared by all lanes, never copied again."""
        body, self._buffer, self._filled = self._buffer[: self._filled], memoryview(b""), 0
        return body

    def _send_part(self) -> None:
        body = self._take()
        self._parts += 1
        digest = hashlib.sha256(body).digest()
        self._composite.update(digest)
        self._offer(Part(self._parts, body, digest))

    def _offer(self, job: Job) -> None:
        waiting = list(self._lanes)
        with self._changed:
            while True:
                full: list[Lane] = []
                for lane in waiting:
                    if lane.state == "open":
                        if lane.has_room:
                            lane.offer(job)
                        else:
                            full.append(lane)
                waiting = full
                self._require_survivor()
                self._tell()
                if not waiting:
                    return
                before = self._monotonic()
                self._changed.wait(self._tick())
                self._charge(waiting, self._monotonic() - before)
                self._drop_stalled()

    def _tick(self) -> float:
        """How long to wait before looking at the limits again, in seconds."""
        return max(0.01, min(0.25, self._stall_seconds / 4))

    def _charge(self, slow: list[Lane], seconds: float) -> None:
        if any(lane.idle for lane in self._lanes):
            for lane in slow:
                lane.drag_seconds += seconds

    def _drop_stalled(self) -> None:
        elapsed = self._monotonic() - self._started
        for lane in self._lanes:
            if lane.state != "open":
                continue
            if (still := lane.stalled_for()) > self._stall_seconds:
                lane.drop(
                    _left_behind(
                        lane.region,
                        f"a request finished within {self._stall_seconds:.0f} s",
                        f"no answer for {still:.0f} s, {lane.sent_bytes} bytes sent",
                    )
                )
                continue
            allowed = self._stall_seconds + self._max_drag * (elapsed - lane.drag_seconds)
            if lane.drag_seconds > allowed:
                lane.drop(
                    _left_behind(
                        lane.region,
                        f"at most {allowed:.0f} s of waiting for it alone",
                        f"it alone kept the source waiting for {lane.drag_seconds:.0f} s, "
                        f"{lane.sent_bytes} bytes sent{_limited(lane)}",
                    )
                )

    def _require_survivor(self) -> None:
        if all(lane.state == "dropped" for lane in self._lanes):
            self._closed = True
            raise RegionUnavailable(
                "No region is left to take the backup",
                expected=f"at least one of {', '.join(lane.region for lane in self._lanes) or 'the regions'}",
                found="; ".join(f"{lane.region}: {_reason(lane.failure)}" for lane in self._lanes)
                or "no region",
                do="bring a region back (`tidewatch region probe` says what is wrong) and run again",
            )

    def _outcome(self, lane: Lane) -> Outcome:
        if lane.state == "done" and lane.stored is not None:
            return Uploaded(lane.region, lane.key, lane.stored.version_id, lane.stored.etag, self._written)
        return Dropped(lane.region, lane.key, _reason(lane.failure))

    def _pace(self) -> Pace:
        elapsed = max(self._monotonic() - self._started, 1e-6)
        regions = tuple(RegionPace(x.region, x.sent_bytes, x.queued, _word(x)) for x in self._lanes)
        return Pace(self._key, self._written, self._written / elapsed, regions)

    def _tell(self) -> None:
        if self._progress is not None and self._monotonic() - self._told >= self._progress_seconds:
            self._told = self._monotonic()
            self._progress(self._pace())


def _left_behind(region: str, expected: str, found: str) -> RegionUnavailable:
    return RegionUnavailable(
        f"Region {region} was left behind so that the others could go on",
        expected=expected,
        found=found,
        do="nothing now: the copy is completed by healing; look at the region if it comes again",
    )


def _limited(lane: Lane) -> str:
    return ", slowed by its own bandwidth limit; healing copies at that pace" if lane.limited else ""


def _reason(failure: TidewatchError | None) -> str:
    return f"{failure.what} ({failure.found})" if failure is not None else "not told"


def _word(lane: Lane) -> str:
    if lane.state != "open":
        return lane.state
    if lane.idle:
        return "waiting for the source"
    return "sending" if lane.has_room else "full"
