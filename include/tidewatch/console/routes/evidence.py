"""*Evidence*: the head of the ledger, where it is anchored, its records."""

import json
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from starlette.responses import Response

from tidewatch.access.roles import Person
from tidewatch.console.desk import Desk
from tidewatch.console.forms import Needs
from tidewatch.console.page import Pages
from tidewatch.console.routes.common import PAGE, Text, cut, end_of, or_none, start_of
from tidewatch.core.database import execute

Reader = Annotated[Person, Depends(Needs("evidence.read"))]
Seq = Annotated[int | None, Query(ge=1, le=2**63 - 1)]


def router(desk: Desk, page: Pages) -> APIRouter:
    routes = APIRouter()

    @routes.get("/evidence")
    def evidence(
        request: Request,
        person: Reader,
        kind: Text = "",
        subject: Text = "",
        since: Text = "",
        until: Text = "",
        before: Seq = None,
    ) -> Response:
        values = {
            "before": before,
            "kind": or_none(kind),
            "subject": or_none(subject),
            "since": start_of(_day(since), desk.zone),
            "until": end_of(_day(until), desk.zone),
            "page": PAGE + 1,
        }
        with desk.look() as conn:
            rows, more = cut(execute(conn, "console/records", values).fetchall())
            last = execute(conn, "console/last_record").fetchone()
            kinds = [row["kind"] for row in execute(conn, "console/kinds")]
        return page(
            request,
            "evidence.html.j2",
            rows=rows,
            more=rows[-1]["seq"] if more else None,
            head=last,
            kinds=kinds,
            kind=kind,
            subject=subject,
            since=since,
            until=until,
            first_page=before is None,
        )

    @routes.get("/evidence/records/{seq}")
    def record(request: Request, person: Reader, seq: int) -> Response:
        with desk.look() as conn:
            row = None
            if 0 < seq < 2**63:
                row = execute(conn, "console/record", {"seq": seq}).fetchone()
        if row is None:
            raise HTTPException(404)
        return page(request, "record.html.j2", record=row, body=_body(row["entry"]))

    return routes


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _body(entry: str) -> object:
    """The body of an entry; the text itself where it was altered and can no longer be read."""
    try:
        return json.loads(entry)["body"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return entry
