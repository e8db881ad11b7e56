"""One region's end of the fan-out: a bounded queue of parts and the thread that uploads them.

All lanes of one fan-out share one condition; every field below is read and written while holding it. The
uploads themselves run outside the lock.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tidewatch.core.errors import AlreadyExists, RegionError, RegionUnavailable, TidewatchError
from tidewatch.core.objectstore import Multipart, ObjectStore, Stored

LaneState = Literal["open", "done", "dropped"]


@dataclass(frozen=True)
class Part:
    """One part of a multipart upload; numbers start at 1. The bytes are shared between lanes, never
    copied.
    """

    number: int
    body: memoryview
    sha256: bytes


@dataclass(frozen=True)
class Whole:
    """A small object in one request."""

    body: memoryview
    sha256: bytes


@dataclass(frozen=True)
class Finish:
    """No part follows: complete the multipart upload."""


Job = Part | Whole | Finish


class Lane:
    """Uploads one object to one region, in order, in a thread of its own."""

    def __init__(
        self,
        region: str,
        store: ObjectStore,
        key: str,
        *,
        limit: int,
        changed: threading.Condition,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.region = region
        self.key = key
        self.state: LaneState = "open"
        self.failure: TidewatchError | None = None
        self.stored: Stored | None = None
        self.sent_bytes = 0
        self.drag_seconds = 0.0
        """For how long the source waited for this region while another one had nothing left to do."""
        self._store = store
        self._limit = limit
        self._changed = changed
        self._monotonic = monotonic
        self._queue: deque[Job] = deque()
        self._busy = False
        self._moved_at, self._held_back = monotonic(), store.held_back()
        self._multipart: Multipart | None = None
        self._thread = threading.Thread(target=self._run, name=f"lane-{region}", daemon=True)
        self._thread.start()

    # -- called by the fan-out, holding the condition ------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """With a limit of 0, a lane takes the next part when it has sent the one before."""
        return len(self._queue) < self._limit or self.idle

    @property
    def idle(self) -> bool:
        return self.state == "open" and not self._queue and not self._busy

    @property
    def queued(self) -> int:
        return len(self._queue)

    @property
    def limited(self) -> bool:
        """Whether our own bandwidth limit holds the region back."""
        return self._store.held_back() > 0

    def stalled_for(self) -> float:
        """Seconds without an answer since anything was finished here, 0 when there is nothing to do."""
        if self.state != "open" or (not self._queue and not self._busy):
            return 0.0
        # Time in which our own bandwidth limit kept the request waiting is no silence of the region.
        return self._monotonic() - self._moved_at - (self._store.held_back() - self._held_back)

    def offer(self, job: Job) -> None:
        """Queue a job; the caller has checked `has_room`."""
        if self.idle:
            self._moved()
        self._queue.append(job)
        self._changed.notify_all()

    def _moved(self) -> None:
        self._moved_at, self._held_back = self._monotonic(), self._store.held_back()

    def drop(self, failure: TidewatchError) -> None:
        """Leave this region behind. Its thread aborts the upload as soon as the request it is in returns."""
        if self.state == "open":
            self.state = "dropped"
            self.failure = failure
            self._queue.clear()
            self._changed.notify_all()

    # -- the thread ----------------------------------------------------------------------------------------

    def join(self, seconds: float) -> None:
        """Wait for the thread; a request that hangs is left to its own time-out."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            while (job := self._take()) is not None:
                stored = self._do(job)
                if self._after(job, stored):
                    break
        except TidewatchError as error:
            self._fail(error)
        # A thread that dies in silence would leave the source waiting for ever.
        except Exception as error:  # noqa: BLE001
            self._fail(
                RegionUnavailable(
                    f"The upload to region {self.region} ended in an unforeseen error",
                    expected="an upload, or an error of the object store",
                    found=type(error).__name__,
                    do="the copy is completed by healing; report the error if it comes again",
                )
            )
        if self.state == "dropped":
            self._abort()

    def _take(self) -> Job | None:
        with self._changed:
            while self.state == "open" and not self._queue:
                self._changed.wait()
            if self.state != "open":
                return None
            self._busy = True
            job = self._queue.popleft()
            self._changed.notify_all()
            return job

    def _after(self, job: Job, stored: Stored | None) -> bool:
        """Note what was done; True when the object is complete or the lane was dropped meanwhile."""
        with self._changed:
            self._busy = False
            self._moved()
            if isinstance(job, Part | Whole):
                self.sent_bytes += len(job.body)
            if stored is not None and self.state == "open":
                self.state = "done"
                self.stored = stored
            self._changed.notify_all()
            return self.state != "open"

    def _do(self, job: Job) -> Stored | None:
        if isinstance(job, Whole):
            return self._landed(
                lambda: self._store.put(self.key, job.body, sha256=job.sha256, if_absent=True)
            )
        if self._multipart is None:
            self._multipart = self._store.multipart(self.key)
        upload = self._multipart
        if isinstance(job, Part):
            upload.part(job.number, job.body, job.sha256)
            return None
        return self._landed(lambda: upload.complete(if_absent=True))

    def _landed(self, write: Callable[[], Stored]) -> Stored:
        """The key holds a random part, so finding it taken means that an answer to us was lost on the way.

        Reading back decides later whether these are our bytes.
        """
        try:
            return write()
        except AlreadyExists:
            head = self._store.head(self.key)
            return Stored(version_id=head.version_id, etag=head.etag)

    def _fail(self, error: TidewatchError) -> None:
        with self._changed:
            self._busy = False
            self.drop(error)

    def _abort(self) -> None:
        if self._multipart is None:
            return
        try:
            self._multipart.abort()
        except RegionError:
            # The region does not even take the abort. Unfinished parts are invisible and are cleaned later.
            return
