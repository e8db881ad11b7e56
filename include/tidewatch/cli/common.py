"""What the commands share: where things are, and how answers are printed."""

import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidewatch.core import connections
from tidewatch.core.clock import require_utc
from tidewatch.core.config import read_yaml
from tidewatch.core.database import Connection, connect
from tidewatch.core.errors import ConfigError
from tidewatch.core.plain import is_plain, plain
from tidewatch.core.regions import Region, RegionsFile, open_regions
from tidewatch.core.settings import Settings, load_settings

_PIPE_WIDTH = 240
"""A pipe or a file has no width: wide enough for every table of ours."""
_ROOMY = 80

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def settings() -> Settings:
    """Settings of this process."""
    return load_settings()


def warehouse_session() -> Connection:
    """A connection to the warehouse, for whoever closes it."""
    dsn = connections.from_environment(settings().warehouse_connection).postgres_dsn()
    return connect(dsn, application_name="tidewatch cli")


def warehouse() -> AbstractContextManager[Connection]:
    """A connection to the warehouse; rolled back on an error, committed otherwise."""
    return warehouse_session()


def regions(names: Sequence[str] = ()) -> list[Region]:
    """The regions of config/regions.yaml, all or those named, with their connections resolved. Raises
    NotFound for an unknown name. The connections of regions that are not asked for may be missing."""
    file = read_yaml(settings().config_dir / "regions.yaml", RegionsFile)
    if names:
        wanted = list({name: file.region(name) for name in names}.values())
        file = file.model_copy(update={"regions": wanted})
    return open_regions(file, connections.from_environment)


def moment(text: str | None) -> datetime | None:
    """What a person typed for a time, None for nothing. Raises ConfigError; a zone is needed."""
    if text is None:
        return None
    try:
        return require_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise ConfigError(
            "The time cannot be read",
            expected="a time with its zone, such as 2027-01-01T00:00+08:00 or 2027-01-01T00:00Z",
            found=text[:80],
            do="write it like that",
        ) from None


def say(line: str) -> None:
    """Progress, on stderr, for whoever sits there; nothing in files and pipes."""
    if sys.stderr.isatty():
        print(plain(line), file=sys.stderr)


def print_json(value: Any) -> None:
    """Indented JSON; times as RFC 3339. Characters that steer a terminal are escaped, as JSON allows."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(value, indent=2, ensure_ascii=not utf8, default=_jsonable)
    # Outside of strings JSON has no such characters but line breaks.
    print("".join(c if c == "\n" or is_plain(c) else json.dumps(c)[1:-1] for c in text))


def _jsonable(value: Any) -> str:
    return require_utc(value).isoformat() if isinstance(value, datetime) else str(value)


def print_line(text: str) -> None:
    """One line for people: control characters are shown as what they are."""
    print(plain(text))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None) -> None:
    """A table for people. Cells are shown as text: nothing in them is markup, control characters are shown
    as what they are."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH)
    heading = None if title is None else Text(plain(title))
    table = Table(title=heading, title_justify="left", header_style="bold", box=SIMPLE_HEAD)
    table.padding, table.pad_edge = (0, 1, 0, 0), False
    for number, column in enumerate(columns):
        # Half an id is of no use: cells are folded, never cut off, and the first one, which people copy, is
        # kept in one piece where there is room.
        table.add_column(column, overflow="fold", no_wrap=number == 0 and console.width >= _ROOMY)
    for row in rows:
        table.add_row(*(Text(show(cell)) for cell in row))
    console.print(table)


def show(cell: Any) -> str:
    """One cell's text: `-` for nothing, one spelling for times, no control characters."""
    if cell is None:
        return "-"
    if isinstance(cell, datetime):
        return require_utc(cell).strftime("%Y-%m-%d %H:%M:%SZ")
    return plain(str(cell))
