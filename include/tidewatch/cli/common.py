"""What the commands share: where things are, and how answers are printed."""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidewatch.core import connections
from tidewatch.core.clock import require_utc
from tidewatch.core.config import read_yaml
from tidewatch.core.database import Connection, connect
from tidewatch.core.regions import Region, RegionsFile, open_regions
from tidewatch.core.settings import Settings, load_settings

_PIPE_WIDTH = 240
"""A pipe or a file has no width: wide enough for every table of ours."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def settings() -> Settings:
    """Settings of this process."""
    return load_settings()


def warehouse() -> AbstractContextManager[Connection]:
    """A connection to the warehouse; rolled back on an error, committed otherwise."""
    dsn = connections.from_environment(settings().warehouse_connection).postgres_dsn()
    return connect(dsn, application_name="tidewatch cli")


def regions_file() -> RegionsFile:
    """config/regions.yaml."""
    return read_yaml(settings().config_dir / "regions.yaml", RegionsFile)


def regions(names: Sequence[str] = ()) -> list[Region]:
    """The opened regions, all or those named. Raises NotFound for an unknown name before anything opens."""
    file = regions_file()
    wanted = {file.region(name).name for name in names}
    return [r for r in open_regions(file, connections.from_environment) if not wanted or r.name in wanted]


def print_json(value: Any) -> None:
    """Indented JSON; times as RFC 3339."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> str:
    return require_utc(value).isoformat() if isinstance(value, datetime) else str(value)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None) -> None:
    """A table for people. Cells are shown as text: nothing in them is markup, control characters are shown
    as what they are."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")  # half an id is of no use: folded, never cut off
    for row in rows:
        table.add_row(*(Text(show(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH)
    console.print(table)


def show(cell: Any) -> str:
    """One cell's text: `-` for nothing, local spelling for times, no control characters."""
    if cell is None:
        return "-"
    if isinstance(cell, datetime):
        return require_utc(cell).strftime("%Y-%m-%d %H:%M:%SZ")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(cell))
