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
from tidewatch.core.errors import TidewatchError
from tidewatch.evidence.by_hand import ProofNeeded, close_by_hand, needs_proof

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
        return _page(desk, page, request, row)

    @routes.post("/findings/{finding_id}/close")
    def close(request: Request, person: Closer, form: SignedForm, finding_id: int) -> Response:
        why = form.text("why")
        with desk.connect() as conn:
            row = _finding(conn, finding_id)
            if not why:
                return _page(desk, page, request, row, missing=True)
            try:
                done = close_by_hand(
                    conn,
                    desk.settings,
                    row["key"],
                    finding_id=finding_id,
                    by=person.name,
                    why=why,
                    now=desk.now(),
                )
            except ProofNeeded as error:
                return _page(desk, page, request, row, why=why, error=error)
        return see(Address(request).url("findings", finding_id, said="closed" if done else "was_closed"))

    return routes


def _page(
    desk: Desk,
    page: Pages,
    request: Request,
    row: dict[str, Any],
    *,
    why: str = "",
    missing: bool = False,
    error: TidewatchError | None = None,
) -> Response:
    about = {name: row[name] for name in ("kind", "source", "region")}
    return page(
        request,
        "finding.html.j2",
        422 if missing else 409 if error else 200,
        finding=row,
        proof=row["closed_at"] is None and needs_proof(desk.settings, **about),
        why=why,
        missing=missing,
        error=error,
    )


def _finding(conn: Connection, finding_id: int) -> dict[str, Any]:
    row = None
    if finding_id < 2**63:
        row = execute(conn, "console/finding", {"finding_id": finding_id}).fetchone()
    if row is None:
        raise HTTPException(404)
    return row
