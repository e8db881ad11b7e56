"""*Quality*: what the gates judged, why rows were refused, and, for those who mend them, the rows.

Refused rows can hold personal data. Only who has the right sees them, only on request, and each look is
recorded.
"""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.responses import FileResponse, Response

from tidewatch.access.roles import Person
from tidewatch.console.desk import Desk
from tidewatch.console.forms import Needs, SignedForm
from tidewatch.console.page import Address, Pages
from tidewatch.console.routes.common import PAGE, PageNumber, Text, cut, one_page, or_none, see
from tidewatch.console.security import DOCS_POLICY
from tidewatch.core.database import Connection, execute
from tidewatch.evidence import ledger, schemas

Reader = Annotated[Person, Depends(Needs("quality.read"))]
RowReader = Annotated[Person, Depends(Needs("quality.rows"))]

_PASSED = {"passed": True, "refused": False}


def router(desk: Desk, page: Pages) -> APIRouter:
    routes = APIRouter()

    @routes.get("/quality")
    def quality(
        request: Request, person: Reader, gate: Text = "", result: Text = "", number: PageNumber = 1
    ) -> Response:
        values = {"gate": or_none(gate), "passed": _PASSED.get(result), "at": None}
        with desk.look() as conn:
            rows = one_page(conn, "console/judgements", number, values)
            gates = [row["gate"] for row in execute(conn, "console/gates")]
        return page(
            request,
            "quality.html.j2",
            rows=rows,
            number=number,
            gates=gates,
            gate=gate,
            result=result,
            docs=_docs_page(desk, "index.html") is not None,
        )

    @routes.get("/quality/judgement")
    def judgement(request: Request, person: Reader, gate: Text, run: Text, subject: Text) -> Response:
        ident = {"gate": or_none(gate), "run_id": or_none(run), "subject": or_none(subject)}
        with desk.look() as conn:
            row = _judgement(conn, ident)
            results = execute(conn, "console/results", ident).fetchall()
            reasons = execute(conn, "console/reasons", ident).fetchall()
        docs = Path(row["docs"] or "").name
        return page(
            request,
            "judgement.html.j2",
            judgement=row,
            results=results,
            reasons=reasons,
            docs=docs if docs and _docs_page(desk, f"judgements/{docs}") else None,
        )

    @routes.post("/quality/rows")
    def rows(request: Request, person: RowReader, form: SignedForm) -> Response:
        ident = {name: form.text(name, longest=400) or None for name in ("gate", "run_id", "subject")}
        skip = form.text("skip", longest=9)
        first = int(skip) if skip.isdecimal() and skip.isascii() else 0
        with desk.connect() as conn:
            row = _judgement(conn, ident)
            values = {**ident, "page": PAGE + 1, "skip": first}
            shown, more = cut(execute(conn, "console/quarantine", values).fetchall())
            body = schemas.ConsoleActed(
                act="rows_seen",
                by=person.name,
                found={"gate": row["gate"], "run_id": row["run_id"], "first": first + 1, "rows": len(shown)},
            )
            ledger.append(conn, kind=body.KIND, subject=row["subject"], body=body, now=desk.now())
        return page(
            request,
            "rows.html.j2",
            judgement=row,
            rows=shown,
            first=first,
            next=first + PAGE if more else None,
        )

    @routes.get("/quality/rows")
    def no_rows(request: Request, person: RowReader) -> Response:
        return see(Address(request).url("quality"))

    @routes.get("/quality/docs/{path:path}")
    def docs(person: RowReader, path: str) -> Response:
        file = _docs_page(desk, path)
        if file is None:
            raise HTTPException(404)
        return FileResponse(
            file, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": DOCS_POLICY}
        )

    return routes


def _judgement(conn: Connection, ident: dict[str, Any]) -> dict[str, Any]:
    row = execute(conn, "console/judgement", ident).fetchone()
    if row is None:
        raise HTTPException(404)
    return row


def _docs_page(desk: Desk, name: str) -> Path | None:
    """A page of the site of the gates; nothing else in that directory and nothing outside of it."""
    site = desk.settings.data_docs_dir.resolve()
    try:
        file = (site / name).resolve()
        return file if file.suffix == ".html" and file.is_relative_to(site) and file.is_file() else None
    except (OSError, ValueError):
        return None
