"""What the pages' addresses share: paging, dates, filters."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import Query
from starlette.responses import HTMLResponse, RedirectResponse

from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute

PAGE = 50

Render = Callable[..., HTMLResponse]
"""`console.page.Pages`."""

Text = Annotated[str, Query(max_length=400)]
PageNumber = Annotated[int, Query(ge=1, le=100_000)]


def cut(rows: list[dict[str, Any]], page: int = PAGE) -> tuple[list[dict[str, Any]], bool]:
    """The rows of a page out of a query for one more, and whether there are more."""
    return rows[:page], len(rows) > page


def one_page(
    conn: Connection, statement: str, number: int, values: dict[str, Any]
) -> tuple[list[dict[str, Any]], bool]:
    """Page `number` of a statement with `page` and `skip`."""
    parameters = {**values, "page": PAGE + 1, "skip": (number - 1) * PAGE}
    return cut(execute(conn, statement, parameters).fetchall())


def or_none(text: str) -> str | None:
    """A filter that is empty filters nothing; what cannot be stored was never stored."""
    return text.replace("\0", "\ufffd").strip() or None


def start_of(day: date | None, zone: ZoneInfo) -> datetime | None:
    """The first instant of the day, there."""
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=zone)


def end_of(day: date | None, zone: ZoneInfo) -> datetime | None:
    """The first instant after the day, there."""
    return None if day is None or day == date.max else start_of(day + timedelta(days=1), zone)


def cursor(text: str) -> tuple[datetime | None, str]:
    """`<time>~<id>`, the last row of the page before; nothing for what is no such text."""
    moment, _, name = text.partition("~")
    try:
        return require_utc(datetime.fromisoformat(moment)), name.replace("\0", "")
    except (ValueError, OverflowError):
        return None, ""


def see(address: str) -> RedirectResponse:
    """After an act: look at the page again, so that reloading does not act twice."""
    return RedirectResponse(address, status_code=303)
