"""What can be seen and done without Airflow.

Where things are is read from the environment (docs/connections.md). Where `make up` has written
`.tidewatch/env`, commands work on that local stack; what your own environment says goes before it.

Exit codes, for scripts and cron, the same for every command:

    0  done, and everything is as it should be

    1  done, and something is not: a copy differs, a record was altered

    2  wrong use: an unknown option, a missing argument

    3  not done: configuration, connection, key, database; or stopped

With 3 the message says what was expected, what was found, and what to do. It goes to stderr: stdout holds
the answer and nothing else.
"""

import os
import shlex
import sys
from io import TextIOWrapper
from pathlib import Path

import typer

from tidewatch.cli import (
    backup,
    catalog,
    console,
    database,
    doctor,
    evidence,
    findings,
    holds,
    keys,
    labels,
    ledger,
    models,
    orphans,
    region,
    report,
    restore,
    restores,
    retention,
    sentiment,
)
from tidewatch.cli.failures import exit_code
from tidewatch.core.errors import ConfigError
from tidewatch.core.settings import load_settings

app = typer.Typer(
    name="tidewatch",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=__doc__,
)
app.add_typer(backup.app, name="backup")
app.add_typer(region.app, name="region")
app.add_typer(catalog.app, name="catalog")
app.add_typer(orphans.app, name="orphans")
app.add_typer(retention.app, name="retention")
app.add_typer(holds.app, name="holds")
app.add_typer(ledger.app, name="ledger")
app.add_typer(report.app, name="report")
app.add_typer(evidence.app, name="evidence")
app.add_typer(findings.app, name="findings")
app.add_typer(keys.app, name="keys")
app.add_typer(console.app, name="console")
app.add_typer(database.app, name="db")
app.add_typer(restores.app, name="restores")
app.add_typer(labels.app, name="labels")
app.add_typer(sentiment.app, name="sentiment")
app.add_typer(models.app, name="models")
app.command(short_help="Bring back a backup, or part of it.")(restore.restore)
app.command(short_help="Is everything as it should be?")(doctor.doctor)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no Chinese is no error
    return exit_code(app, arguments)


@app.callback()
def _use_local_stack() -> None:
    """Take over the environment of the local stack, `<home>/env`, without replacing what is set.

    A caller with a connections file of its own gets none of the stack's connections: variables would go
    before the file.
    """
    file = load_settings().home / "env"
    own_connections = bool(os.environ.get("TIDEWATCH_CONNECTIONS_FILE"))
    for name, value in _exports(file).items() if file.is_file() else ():
        if not (own_connections and name.startswith("AIRFLOW_CONN_")):
            os.environ.setdefault(name, value)


def _exports(file: Path) -> dict[str, str]:
    """The variables of `export NAME='value'` lines, read as a shell does. Errors do not show the content."""
    try:
        words = shlex.split(file.read_text(encoding="utf-8"), comments=True)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The environment of the local stack, {file}, cannot be read",
            expected="lines of the form export NAME='value'",
            found=(isinstance(error, OSError) and error.strerror) or "a quote without an end, or no text",
            do="`make up` writes it anew; without a local stack, remove it or set TIDEWATCH_HOME",
        ) from None  # the cause may quote the content, which is secret
    pairs = (word.partition("=") for word in words if word != "export")
    return {name: value for name, equals, value in pairs if equals}
