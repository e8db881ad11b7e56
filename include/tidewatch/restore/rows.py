"""Loads the rows of an archive that comes as a stream, several tables at once.

The stream is cut into batches of whole blocks. Each batch is loaded by a pg_restore of its own, which is
given the head of the archive and the batch, and told to load just these entries. So it begins while the rest
is still being decrypted, and a great table does not keep the others waiting.
"""

import contextlib
import os
import queue
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from tidewatch.restore.pgrestore import PgRestore
from tidewatch.restore.spool import Closed, Room, Spool
from tidewatch.restore.toc import Begin, End, Entry, Head, Stream, pieces
from tidewatch.vault.pgtools import PgTools

_BATCH = 32 << 20
_SHARE = 4
"""Batches grow with what came, to this part of it, so that the number of pg_restores hardly grows with the
backup (another one costs some 20 ms of CPU), and shrink with what is left: none ends with a great one."""


@dataclass
class _Batch:
    spool: Spool
    numbers: list[int] = field(default_factory=list)
    after: list["_Batch"] = field(default_factory=list)
    """Batches that hold what this one refers to (rows of extensions' tables only)."""
    size: int = 0
    queued: bool = False
    done: threading.Event = field(default_factory=threading.Event)


class RowLoader:
    """Loads into the database of `dsn` with `jobs` sessions; at most `ahead` bytes wait on the disk."""

    def __init__(
        self, tools: PgTools, dsn: str, workdir: Path, *, server_major: int, jobs: int, ahead: int
    ) -> None:
        self._tools, self._dsn, self._workdir, self._major = tools, dsn, workdir, server_major
        self._jobs = jobs
        self._room, self._ahead = Room(ahead), ahead
        self._queue: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._batches: list[_Batch] = []
        self._running: set[PgRestore] = set()
        self._lock = threading.Lock()
        self._error: BaseException | None = None

    def load(
        self, head: Head, rest: bytes, stream: Stream, wanted: Collection[int], *, total: int
    ) -> set[int]:
        """Load the blocks of the entries `wanted`, and the other entries of section data that these need;
        the numbers of all that were loaded. `total`: bytes of the archive. Raises TargetError,
        IntegrityError; some rows may be there then.
        """
        threads = [
            threading.Thread(target=self._work, args=(head,), name=f"load-{n}", daemon=True)
            for n in range(self._jobs)
        ]
        for thread in threads:
            thread.start()
        try:
            self._cut(head, rest, stream, wanted, total)
        except Closed:
            pass  # one of the loaders has failed, and says why
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            for _ in threads:
                self._queue.put(None)
            for thread in threads:
                thread.join()
        if self._error is not None:
            raise self._error
        return {number for batch in self._batches for number in batch.numbers}

    # -- cutting -------------------------------------------------------------------------------------------

    def _cut(self, head: Head, rest: bytes, stream: Stream, wanted: Collection[int], total: int) -> None:
        entries = {e.number: e for e in head.entries}
        held: dict[int, _Batch] = {}
        batch: _Batch | None = None
        passing, seen, enough = False, 0, _BATCH
        for piece in pieces(head, rest, stream):
            if isinstance(piece, bytes):
                seen += len(piece)
            if isinstance(piece, Begin):
                enough = max(_BATCH, min(seen, total - seen, self._ahead) // _SHARE)
                passing = piece.number not in wanted
                if not passing:
                    batch = batch or self._batch()
                    self._add(batch, entries[piece.number], entries, held)
            elif batch is None or passing:
                continue
            elif isinstance(piece, End):
                if batch.size >= enough:
                    batch.spool.end()
                    batch = None
            else:
                batch.spool.append(piece)
                batch.size += len(piece)
                if batch.size >= enough and not batch.queued:
                    self._enqueue(batch)
        if batch is not None:
            batch.spool.end()
            self._enqueue(batch)

    def _batch(self) -> _Batch:
        with self._lock:
            if self._error is not None:
                raise Closed
            batch = _Batch(Spool(self._workdir, self._room))
            self._batches.append(batch)
        return batch

    def _add(self, batch: _Batch, entry: Entry, entries: dict[int, Entry], held: dict[int, _Batch]) -> None:
        for number in entry.needs:
            need = entries.get(number)
            if need is None or need.section != "data":
                continue
            if number in held:
                if held[number] is not batch and held[number] not in batch.after:
                    batch.after.append(held[number])
            elif not need.has_block:  # what large objects are called, before their content
                batch.numbers.append(number)
                held[number] = batch
        batch.numbers.append(entry.number)
        held[entry.number] = batch

    def _enqueue(self, batch: _Batch) -> None:
        if not batch.queued:
            batch.queued = True
            self._queue.put(batch)

    # -- loading -------------------------------------------------------------------------------------------

    def _work(self, head: Head) -> None:
        while (batch := self._queue.get()) is not None:
            try:
                for earlier in batch.after:
                    earlier.done.wait()
                if self._error is None:
                    self._load(head, batch)
            except Closed:
                pass
            except BaseException as error:  # noqa: BLE001 - raised by whoever waits for us
                self._fail(error)
            finally:
                batch.done.set()

    def _load(self, head: Head, batch: _Batch) -> None:
        listing = self._workdir / f"list-{batch.numbers[0]}"
        # A batch that is loaded already has all its numbers: blocks are added to those only that are not.
        loader = PgRestore(
            self._tools, self._dsn, [], server_major=self._major, only=list(batch.numbers), listing=listing
        )
        with self._lock:
            self._running.add(loader)
        try:
            with contextlib.suppress(BrokenPipeError):  # it has failed, and says why
                _write(loader.stdin, head.raw)
                batch.spool.into(loader.stdin)
            loader.finish()
        finally:
            with self._lock:
                self._running.discard(loader)
            loader.kill()
            listing.unlink(missing_ok=True)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error
            batches, running = list(self._batches), list(self._running)
        self._room.close()
        for batch in batches:
            batch.spool.close()
        for loader in running:
            loader.stop()


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
