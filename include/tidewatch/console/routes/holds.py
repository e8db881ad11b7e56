"""*Holds*: what must be kept whatever the retention says; placing and lifting."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.responses import Response

from tidewatch.access.roles import Person
from tidewatch.backup.context import BackupContext, build_context
from tidewatch.backup.retention import holds as legal
from tidewatch.console.desk import Desk
from tidewatch.console.forms import Needs, SignedForm
from tidewatch.console.page import Address, Pages
from tidewatch.console.routes.common import PageNumber, Text, end_of, one_page, or_none, see, start_of
from tidewatch.core.database import execute
from tidewatch.core.errors import ConfigError, IntegrityError, NotFound, TidewatchError

Reader = Annotated[Person, Depends(Needs("holds.read"))]
Changer = Annotated[Person, Depends(Needs("holds.change"))]

_FIELDS = ("source", "backup_id", "span_from", "span_until", "holder", "reason")


def router(desk: Desk, page: Pages) -> APIRouter:
    routes = APIRouter()

    @routes.get("/holds")
    def holds(request: Request, person: Reader, source: Text = "", number: PageNumber = 1) -> Response:
        with desk.look() as conn:
            rows = one_page(conn, "console/holds", number, {"source": or_none(source)})
            known = [row["source"] for row in execute(conn, "console/sources")]
        sources = list(dict.fromkeys([*desk.sources(), *known]))
        return page(request, "holds.html.j2", rows=rows, number=number, source=source, sources=sources)

    @routes.get("/holds/new")
    def new(request: Request, person: Changer, source: Text = "", backup: Text = "") -> Response:
        typed = dict.fromkeys(_FIELDS, "") | {"source": source, "backup_id": backup}
        return _new(desk, page, request, 200, typed)

    @routes.post("/holds")
    def place(request: Request, person: Changer, form: SignedForm) -> Response:
        typed = {name: form.text(name) for name in _FIELDS}
        try:
            legal.place(
                _context(desk),
                source=typed["source"],
                holder=typed["holder"],
                reason=typed["reason"],
                by=person.name,
                backup_id=typed["backup_id"] or None,
                span_from=start_of(_day(typed["span_from"]), desk.zone),
                span_until=end_of(_day(typed["span_until"]), desk.zone),
            )
        except (ConfigError, NotFound, IntegrityError) as error:
            return _new(desk, page, request, 422, typed, error)
        return see(Address(request).url("holds", said="placed"))

    @routes.get("/holds/{hold_id}/lift")
    def ask_lift(request: Request, person: Changer, hold_id: str) -> Response:
        return _lift_page(desk, page, request, hold_id)

    @routes.post("/holds/{hold_id}/lift")
    def lift(request: Request, person: Changer, form: SignedForm, hold_id: str) -> Response:
        reason = form.text("reason")
        try:
            legal.lift(_context(desk), hold_id.replace("\0", ""), by=person.name, reason=reason)
        except (ConfigError, IntegrityError) as error:
            return _lift_page(desk, page, request, hold_id, reason, error)
        return see(Address(request).url("holds", said="lifted"))

    return routes


def _context(desk: Desk) -> BackupContext:
    return build_context(desk.settings, desk.resolver, clock=desk.clock)


def _new(
    desk: Desk,
    page: Pages,
    request: Request,
    status: int,
    typed: dict[str, str],
    error: TidewatchError | None = None,
) -> Response:
    return page(request, "hold_new.html.j2", status, typed=typed, sources=desk.sources(), error=error)


def _lift_page(
    desk: Desk,
    page: Pages,
    request: Request,
    hold_id: str,
    reason: str = "",
    error: TidewatchError | None = None,
) -> Response:
    with desk.look() as conn:
        row: dict[str, Any] | None = execute(
            conn, "console/hold", {"hold_id": hold_id.replace("\0", "")}
        ).fetchone()
    if row is None:
        raise HTTPException(404)
    return page(request, "hold_lift.html.j2", 422 if error else 200, hold=row, reason=reason, error=error)


def _day(text: str) -> date | None:
    """Raises ConfigError for what is no day: a span that was misread would hold too little."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ConfigError(
            "A day of the span cannot be read", expected="YYYY-MM-DD", found=text[:40], do="correct it"
        ) from None
