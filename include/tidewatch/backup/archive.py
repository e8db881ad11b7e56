"""Looks at what pg_dump and pg_dumpall write while it goes by: is it all there? A program that says it
succeeded has not always written everything.

Of an archive the table of contents stands first; pg_restore reads it from the passing bytes and leaves. The
data follow as blocks, large objects last. A block ends with an empty piece, five zero bytes, that of large
objects with as many more. An archive cut anywhere but exactly between two blocks does not end so.
"""

import subprocess
import threading
from bisect import bisect_left

from tidewatch.core.errors import SourceError
from tidewatch.vault.envelope import Reader
from tidewatch.vault.facts import DatabaseFingerprint, TableFingerprint
from tidewatch.vault.pgtools import PgTools, starting

_END = bytes(5)
_END_OF_LARGE_OBJECTS = bytes(10)
_NAMED_AT_MOST = 20
_DATA = b" TABLE DATA "
_LARGE_OBJECTS = b" BLOBS "
_TAIL = 512
_COMPLETE = b"PostgreSQL database cluster dump complete"


class Archive:
    """A reader of `stream`, the standard output of a pg_dump in custom format. Close it."""

    def __init__(self, stream: Reader, tools: PgTools) -> None:
        self._stream = stream
        self._tools = tools
        self._last = b""
        self._listing = b""
        tool = tools.path("pg_restore")
        with starting(tool):
            self._lister = subprocess.Popen(
                [tool, "--list"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
            )
        self._listener = threading.Thread(target=self._listen, name="pg_restore-list", daemon=True)
        self._listener.start()
        self._listens = True

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._last = (self._last + data[-_TAIL:])[-_TAIL:]
        if self._listens:
            self._feed(data)
        return data

    def finish(self) -> None:
        """After the last byte. Raises SourceError when an archive does not end so."""
        code = self._stop()
        if code != 0:
            said = " ".join(self._listing.decode("utf-8", "replace").split())[-300:]
            raise _incomplete(
                self._tools, "an archive with a table of contents", f"pg_restore --list said: {said}"
            )
        if not self._last.endswith(self._end()):
            raise _incomplete(self._tools, "the end of the last table's data", "an archive that breaks off")

    def require(self, database: DatabaseFingerprint) -> None:
        """Raises SourceError naming the tables of the fingerprint whose data the archive does not list."""
        wanted = [t for t in database.tables if t.kind != "matview"]
        listed = self._data()
        if database.encoding in {"UTF8", "SQL_ASCII"}:
            missing = [t.label for t in wanted if not _listed(t, listed)]
        else:  # the names stand there in the database's encoding: they are counted
            missing = [f"{len(wanted) - len(listed)} tables"] if len(listed) < len(wanted) else []
        if missing:
            more = len(missing) - _NAMED_AT_MOST
            names = ", ".join(missing[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
            raise _incomplete(self._tools, f"the data of {len(wanted)} tables", f"no data of {names}")

    def close(self) -> None:
        """End the program, whatever state it is in."""
        self._lister.kill()
        self._stop()

    def _feed(self, data: bytes) -> None:
        try:
            if data and self._lister.stdin is not None:
                self._lister.stdin.write(data)
        except BrokenPipeError:
            self._listens = False  # it has read the table of contents, and left

    def _stop(self) -> int:
        self._listens = False
        if self._lister.stdin is not None:
            self._lister.stdin.close()
        self._listener.join()
        return self._lister.wait()

    def _listen(self) -> None:
        if self._lister.stdout is not None:
            with self._lister.stdout as output:
                self._listing = output.readall()  # type: ignore[attr-defined]

    def _end(self) -> bytes:
        if _LARGE_OBJECTS in self._listing:
            return _END_OF_LARGE_OBJECTS
        return _END if self._data() else b""

    def _data(self) -> list[bytes]:
        """`schema table owner` of each table with data, sorted."""
        lines = self._listing.splitlines()
        return sorted(line.partition(_DATA)[2] for line in lines if _DATA in line and line[:1].isdigit())


class Script:
    """A reader of `stream`, the standard output of a pg_dumpall."""

    def __init__(self, stream: Reader, tools: PgTools) -> None:
        self._stream = stream
        self._tools = tools
        self._last = b""

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._last = (self._last + data[-_TAIL:])[-_TAIL:]
        return data

    def finish(self) -> None:
        """After the last byte. Raises SourceError when a script does not end so."""
        if _COMPLETE not in self._last:
            raise _incomplete(self._tools, f"a script that ends with: {_COMPLETE.decode()}", "another end")


def _incomplete(tools: PgTools, expected: str, found: str) -> SourceError:
    return SourceError(
        "pg_dump ended without an error, and what it wrote is not complete",
        expected=expected,
        found=found,
        do=f"look at pg_dump and pg_dumpall in {tools.bin_dir}: PostgreSQL's own, or scripts that hide a "
        "failure or leave tables out? Nothing was kept; run again",
    )


def _listed(table: TableFingerprint, listed: list[bytes]) -> bool:
    # pg_restore writes a newline of a name as a space.
    name = f"{table.schema_name} {table.name} ".replace("\n", " ").replace("\r", " ").encode()
    at = bisect_left(listed, name)
    return at < len(listed) and listed[at].startswith(name)
