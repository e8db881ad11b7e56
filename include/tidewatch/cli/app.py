"""`tidewatch`: what can be seen and done without Airflow.

Exit codes, for scripts and cron:
  0  done, and everything is as it should be
  1  done, and something is not as it should be (a copy that differs, a broken ledger, a lacking region)
  2  wrong use: unknown option, missing argument
  3  not done: configuration, connection, key or database; the message says what to do
"""

import os
import sys
from typing import Any

import typer
from dotenv import dotenv_values
from rich.console import Console

from tidewatch.cli import backup, database, keys, ledger, region
from tidewatch.core.errors import TidewatchError
from tidewatch.core.settings import load_settings

OK, WRONG, USAGE, FAILED = 0, 1, 2, 3

app = typer.Typer(
    name="tidewatch",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(__doc__ or "").replace("\n  ", "\n\n  "),
)
app.add_typer(backup.app, name="backup")
app.add_typer(region.app, name="region")
app.add_typer(ledger.app, name="ledger")
app.add_typer(keys.app, name="keys")
app.add_typer(database.app, name="db")


def _use_local_stack() -> None:
    """Where `make up` has written the environment of the local stack, commands work as they are; what the
    caller's environment says goes before it."""
    file = load_settings().home / "env"
    if file.is_file():
        for name, value in dotenv_values(file, interpolate=False).items():
            if value is not None:
                os.environ.setdefault(name, value)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code. Errors of ours are one paragraph, never a traceback."""
    _use_local_stack()
    try:
        result: Any = app(args=arguments, standalone_mode=False)
    except TidewatchError as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(str(error), style="red", markup=False)
        return FAILED
    except (KeyboardInterrupt, typer.Abort):
        print("Stopped. Nothing was left half-done.", file=sys.stderr)
        return FAILED
    except typer.Exit as leaving:
        return int(leaving.exit_code)
    except Exception as error:
        # Typer's own usage errors know their exit code and how to show themselves; nothing else may be
        # swallowed here.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            return int(error.exit_code)
        raise
    return int(result) if isinstance(result, int) else OK
