"""`python -m tidewatch.local up|down|status|demo`.

Exit codes: 0 done, 1 not done (the text says why), 2 wrong arguments, 130 stopped on request.
"""

import argparse
import sys

from rich.console import Console
from rich.table import Table

from tidewatch.core.errors import TidewatchError
from tidewatch.core.settings import load_settings
from tidewatch.local.console import print_login, reporter, waiting
from tidewatch.local.stack import Stack, locked

_LEFT_RUNNING = (
    "Stopped on request. What was started by now keeps running: `make status` shows it, `make down` ends it; "
    "the same command again goes on from here."
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tidewatch.local", description="The stack on this machine."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start what does not run")
    commands.add_parser("down", help="stop everything; data stays")
    commands.add_parser("status", help="what runs; exit code 0 only if all of it does")
    demo = commands.add_parser("demo", help="up, sample data, a backup of each source")
    demo.add_argument("--scale", type=float, default=1.0, help="size of the sample data")
    demo.add_argument("--minutes", type=float, default=15.0, help="how long to wait for the runs")
    chosen = parser.parse_args(arguments)
    # A log has no width: tables are not folded into 80 columns there.
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
    try:
        if chosen.command == "status":
            return _status(console)
        if chosen.command == "demo":
            from tidewatch.local.demo import demonstrate

            return demonstrate(console, scale=chosen.scale, minutes=chosen.minutes)
        return _up(console) if chosen.command == "up" else _down(console)
    except TidewatchError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print(_LEFT_RUNNING)
        return 130


def _up(console: Console) -> int:
    settings = load_settings()
    with locked(settings.home, waiting(console)):
        stack = Stack(settings)
        stack.begin(reporter(console))
        stack.finish(reporter(console))
    print_login(console, stack)
    return 0


def _down(console: Console) -> int:
    settings = load_settings()
    if not settings.home.exists():
        console.print("Nothing was ever started here.")
        return 0
    with locked(settings.home, waiting(console)):
        Stack(settings).down(reporter(console))
    console.print("All stopped; no process and no port is left.")
    return 0


def _status(console: Console) -> int:
    lines = Stack(load_settings()).status()
    table = Table("part", "state", "address", "process", "log", expand=False)
    for line in lines:
        state = "[green]runs[/]" if line.runs else "[red]does not run[/]"
        table.add_row(line.name, state, line.address, str(line.pid or ""), str(line.log))
    console.print(table)
    return 0 if all(line.runs for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
