"""How a command ends: the exit codes, and every error in words."""

import contextlib
import os
import sys
import traceback
from typing import Any

import psycopg
import typer
from rich.console import Console

from tidewatch.core.errors import ConfigError, SourceUnreachable, TidewatchError
from tidewatch.core.plain import plain
from tidewatch.core.redaction import redact

OK, WRONG, USAGE, FAILED = 0, 1, 2, 3
_INTERRUPTED = 130
"""What typer makes of Ctrl-C."""


def exit_code(app: typer.Typer, arguments: list[str] | None) -> int:
    """Run `app`. What goes wrong is said on stderr in one paragraph; only a defect of ours has a traceback,
    and that one is not taken for an answer (1) either."""
    try:
        result: Any = app(args=arguments, standalone_mode=False)
        sys.stdout.flush()  # at the end of the interpreter it would fail past our exit codes
    # Every way out has its exit code, Ctrl-C, broken pipes and defects included: Python's own is 1, which
    # here is an answer.
    except BaseException as error:  # noqa: BLE001
        return _told(error)
    if result == _INTERRUPTED:
        return _stopped()
    return result if isinstance(result, int) else OK


def _told(error: BaseException) -> int:
    if isinstance(error, TidewatchError):
        complain(str(error))
    elif isinstance(error, psycopg.Error):
        complain(str(_of_the_database(error)))
    elif isinstance(error, KeyboardInterrupt | typer.Abort):
        return _stopped()
    elif isinstance(error, SystemExit | BrokenPipeError):
        _nobody_reads()  # typer and rich answer a broken pipe with SystemExit
    elif isinstance(error, OSError):
        complain(f"{error.filename or 'The operating system'}: {error.strerror or type(error).__name__}.")
    elif hasattr(error, "show") and hasattr(error, "exit_code"):  # typer's errors of use
        error.show()
        return int(error.exit_code)
    else:
        print(redact("".join(traceback.format_exception(error))), file=sys.stderr)
        complain("This is a defect of Tidewatch, not an answer. Please report it with the lines above.")
    return FAILED


def complain(text: str) -> None:
    """`text` on stderr, in red on a terminal. Nothing in it is markup or a control sequence."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(plain(text), style="red", markup=False)


def _stopped() -> int:
    complain("Stopped before it was done. The same command can be given again.")
    return FAILED


def _nobody_reads() -> None:
    """Whoever read our output has gone: give what is still buffered to nobody, or the interpreter complains
    about it at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)


def _of_the_database(error: psycopg.Error) -> TidewatchError:
    found = error.diag.message_primary or " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
        return ConfigError(
            "The warehouse has not the tables of this Tidewatch",
            expected="a database with every migration of sql/migrations applied",
            found=found,
            do="run `tidewatch db migrate`, or correct the connection if it is another database",
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return ConfigError(
            "The warehouse does not allow this to our role",
            expected="a role that may use the schemas vault, evidence, quality and notices",
            found=found,
            do="grant the right, or use a connection whose role has it",
        )
    return SourceUnreachable(
        "The warehouse did not finish what it was asked",
        expected="an answer",
        found=found,
        do="check that the server runs, then give the command again",
    )
