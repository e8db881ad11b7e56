"""One pg_restore at work: what it is fed, and its errors in our words."""

import contextlib
import fcntl
import os
import re
import subprocess
import threading
from collections.abc import Collection, Sequence
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tidewatch.core.errors import TargetError
from tidewatch.core.redaction import redact
from tidewatch.vault.pgtools import PgTools, said, starting

_STDERR_KEPT = 64 * 1024
_PIPE = 1 << 20
"""Bytes of the pipe into it: with the usual 64 KiB both sides wake each other ten times as often."""
_UNKNOWN_TIMEOUT = 'unrecognized configuration parameter "transaction_timeout"'
_FIRST_WITH_TIMEOUT = 17


class PgRestore:
    """pg_restore into the database of `dsn`; the archive goes to `stdin`, or is `archive`.

    pg_restore 17 and newer sets a parameter that older servers do not know: there it is told to go on after
    errors, and this one alone is not counted.
    """

    def __init__(
        self,
        tools: PgTools,
        dsn: str,
        arguments: Sequence[str | Path],
        *,
        server_major: int,
        only: Collection[int] | None = None,
        listing: Path | None = None,
        archive: Path | None = None,
    ) -> None:
        """`only`: numbers of entries, written to the file `listing`, in order of the archive."""
        self._forgives = tools.major >= _FIRST_WITH_TIMEOUT > server_major
        fields = conninfo_to_dict(dsn)
        password = fields.pop("password", None)
        environment = {**os.environ, "LC_ALL": "C"}
        if password is not None:
            environment["PGPASSWORD"] = str(password)
        fields["application_name"] = "tidewatch restore"
        command: list[str | Path] = [tools.path("pg_restore"), "--no-password", *arguments]
        if not self._forgives:
            command.append("--exit-on-error")
        if only is not None and listing is not None:
            listing.write_text("".join(f"{number};\n" for number in only), encoding="ascii")
            command.append(f"--use-list={listing}")
        command.append(f"--dbname={make_conninfo('', **fields)}")
        if archive is not None:
            command.append(archive)
        with starting(tools.path("pg_restore")):
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if archive is not None else subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment,
            )
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # more than a user may have altogether
                fcntl.fcntl(self._process.stdin, fcntl.F_SETPIPE_SZ, _PIPE)
        self._messages = bytearray()
        self._listener = threading.Thread(target=self._listen, name="pg_restore-stderr", daemon=True)
        self._listener.start()

    @property
    def stdin(self) -> int:
        """Descriptor of the pipe into it."""
        assert self._process.stdin is not None  # noqa: S101
        return self._process.stdin.fileno()

    def finish(self) -> None:
        """Say that this was all, and wait. Raises TargetError unless everything was loaded."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        code = self._process.wait()
        self._listener.join()
        messages = redact(self._messages.decode("utf-8", "replace"))
        whole = len(self._messages) < _STDERR_KEPT
        if code != 0 and not (self._forgives and code == 1 and whole and _only_the_timeout(messages)):
            ended = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
            raise TargetError(
                "pg_restore did not load the backup",
                expected="every object and row loaded without an error",
                found=f"{ended}; pg_restore said: {said(messages) or 'nothing'}",
                do="read the message: most often the role lacks a right (docs/restore.md) or the target's "
                "disk is full; nothing was kept, run again",
            )

    def stop(self) -> None:
        """End it; whoever waits for it goes on. Harmless when it has ended."""
        if self._process.poll() is None:
            self._process.kill()

    def kill(self) -> None:
        """End it and collect it, whatever state it is in."""
        self.stop()
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._listener.join()

    def _listen(self) -> None:
        assert self._process.stderr is not None  # noqa: S101
        with self._process.stderr as stream:
            while data := stream.read1(8192):  # type: ignore[attr-defined]
                self._messages += data
                del self._messages[:-_STDERR_KEPT]


def _only_the_timeout(messages: str) -> bool:
    """Whether nothing failed but setting the parameter, once for each of its sessions.

    pg_restore counts what its parallel sessions report with a finished entry: the failure of a session that
    got none is told and not counted.
    """
    errors = [line for line in messages.splitlines() if re.match(r"pg_restore: (error|fatal)", line)]
    counted = re.search(r"errors ignored on restore: (\d+)", messages)
    return (
        counted is not None
        and int(counted[1]) <= len(errors)
        and all(_UNKNOWN_TIMEOUT in line for line in errors)
    )
