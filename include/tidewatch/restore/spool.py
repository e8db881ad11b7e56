"""Rows on their way from one stream into several loaders: what no loader is ready for waits in files without
a name, which nobody else can open and no killed process leaves behind."""

import os
import tempfile
import threading
from collections import deque
from pathlib import Path
from typing import BinaryIO

_SEGMENT = 32 << 20
_BLOCK = 1 << 20


class Room:
    """How many bytes may wait altogether; who writes more waits until somebody has read. Safe to share."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._changed = threading.Condition()
        self._closed = False

    def take(self, count: int) -> None:
        """Wait for room for `count` bytes. Raises Closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._used < self._limit)
            if self._closed:
                raise Closed
            self._used += count

    def give(self, count: int) -> None:
        with self._changed:
            self._used -= count
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody will read any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Closed(Exception):
    """The loading was given up."""


class Spool:
    """Bytes in order: one thread appends, another one reads while they come."""

    def __init__(self, directory: Path, room: Room) -> None:
        self._directory, self._room = directory, room
        self._segments: deque[tuple[BinaryIO, int]] = deque()
        """Complete ones with their sizes; the last one may still grow."""
        self._growing: BinaryIO | None = None
        self._size = 0
        self._ended = False
        self._closed = False
        self._changed = threading.Condition()

    def append(self, data: bytes) -> None:
        """Raises Closed."""
        self._room.take(len(data))
        if self._growing is None:
            self._growing = tempfile.TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115
        view = memoryview(data)
        while view:
            view = view[self._growing.write(view) :]
        self._size += len(data)
        if self._size >= _SEGMENT:
            self._turn()

    def end(self) -> None:
        """Nothing more comes."""
        self._turn()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Give up: a reader gets Closed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _turn(self) -> None:
        with self._changed:
            if self._growing is not None:
                self._segments.append((self._growing, self._size))
                self._growing, self._size = None, 0
            self._changed.notify_all()

    def into(self, descriptor: int) -> None:
        """Write everything to a pipe, from the beginning to the end. Raises Closed, BrokenPipeError."""
        while (segment := self._next()) is not None:
            file, size = segment
            with file:
                at = 0
                while at < size:
                    at += os.sendfile(descriptor, file.fileno(), at, min(_BLOCK, size - at))
            self._room.give(size)

    def _next(self) -> tuple[BinaryIO, int] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._segments or self._ended or self._closed)
            if self._closed:
                raise Closed
            return self._segments.popleft() if self._segments else None
