"""*Holds*: what must be kept whatever the retention says; placing and lifting."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from tidewatch.access.roles import Person
from tidewatch.console.desk import Desk
from tidewatch.console.forms import Needs
from tidewatch.console.page import Pages
from tidewatch.console.routes.common import PageNumber, Text, one_page, or_none
from tidewatch.core.database import execute

Reader = Annotated[Person, Depends(Needs("holds.read"))]


def router(desk: Desk, page: Pages) -> APIRouter:
    routes = APIRouter()

    @routes.get("/holds")
    def holds(request: Request, person: Reader, source: Text = "", number: PageNumber = 1) -> Response:
        with desk.look() as conn:
            rows = one_page(conn, "console/holds", number, {"source": or_none(source)})
            known = [row["source"] for row in execute(conn, "console/sources")]
        sources = list(dict.fromkeys([*desk.sources(), *known]))
        return page(request, "holds.html.j2", rows=rows, number=number, source=source, sources=sources)

    return routes
