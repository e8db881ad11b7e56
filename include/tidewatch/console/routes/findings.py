"""*Findings*: what is not as it must be, and closing one with a reason."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.responses import Response

from tidewatch.access.roles import Person
from tidewatch.console.desk import Desk
from tidewatch.console.forms import Needs, SignedForm
from tidewatch.console.page import Address, Pages
from tidewatch.console.routes.common import PageNumber, Text, one_page, or_none, see
from tidewatch.core.database import Connection, execute
from tidewatch.evidence.findings import close_finding

Reader = Annotated[Person, Depends(Needs("findings.read"))]
Closer = Annotated[Person, Depends(Needs("findings.close"))]

_OPEN = {"open": True, "closed": False}


def router(desk: Desk, page: Pages) -> APIRouter:
    routes = APIRouter()

    @routes.get("/findings")
    def findings(
        request: Request, person: Reader, state: Text = "", source: Text = "", number: PageNumber = 1
    ) -> Response:
        values = {"open": _OPEN.get(state), "source": or_none(source), "subject": None}
        with desk.look() as conn:
            rows = one_page(conn, "console/findings", number, values)
            counts = execute(conn, "console/count_findings").fetchone()
            sources = [row["source"] for row in execute(conn, "console/sources")]
        return page(
            request,
            "findings.html.j2",
            rows=rows,
            number=number,
            state=state,
            source=source,
            sources=sources,
            counts=counts,
        )

    @routes.get("/findings/{finding_id}")
    def finding(request: Request, person: Reader, finding_id: int) -> Response:
        with desk.look() as conn:
            row = _finding(conn, finding_id)
        return page(request, "finding.html.j2", finding=row, why="", missing=False)

    @routes.post("/findings/{finding_id}/close")
    def close(request: Request, person: Closer, form: SignedForm, finding_id: int) -> Response:
        why = form.text("why")
        with desk.connect() as conn:
            row = _finding(conn, finding_id)
            if not why:
                return page(request, "finding.html.j2", 422, finding=row, why=why, missing=True)
            # The key may be open again as another finding: close only the one that was on the page.
            done = row["closed_at"] is None and close_finding(
                conn, row["key"], by=person.name, why=why, now=desk.now()
            )
        return see(Address(request).url("findings", finding_id, said="closed" if done else "was_closed"))

    return routes


def _finding(conn: Connection, finding_id: int) -> dict[str, Any]:
    row = None
    if finding_id < 2**63:
        row = execute(conn, "console/finding", {"finding_id": finding_id}).fetchone()
    if row is None:
        raise HTTPException(404)
    return row
