"""*Evidence*: the head of the ledger, where it is anchored, its records, and the export for an audit."""

import json
import os
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from starlette.responses import Response, StreamingResponse

from tidewatch.access.roles import Person
from tidewatch.console.desk import Desk
from tidewatch.console.forms import Needs, SignedForm
from tidewatch.console.page import Pages
from tidewatch.console.routes.common import PAGE, Text, cut, end_of, or_none, start_of
from tidewatch.core.database import Connection, execute
from tidewatch.core.signing import KeyRing, SigningKey
from tidewatch.evidence.export import export

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
            anchors = _anchors(conn)
        return page(
            request,
            "evidence.html.j2",
            rows=rows,
            more=rows[-1]["seq"] if more else None,
            head=last,
            anchors=anchors,
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

    @routes.post("/evidence/export")
    def download(person: Reader, form: SignedForm) -> Response:
        here = desk.settings
        key, ring = SigningKey.load(here.signing_key_file), KeyRing.load(here.verify_key_file)
        now = desk.now()
        with tempfile.TemporaryDirectory(prefix="tidewatch-export-") as place:
            with desk.connect() as conn:
                done = export(conn, Path(place) / "evidence.zip", key, ring, by=person.name, now=now)
            # Open and without a name: nothing is left, however the download ends.
            file = done.target.open("rb")
        return StreamingResponse(
            _blocks(file),
            media_type="application/zip",
            headers={
                "Content-Length": str(os.fstat(file.fileno()).st_size),
                "Content-Disposition": f'attachment; filename="tidewatch-evidence-{page.shown.day(now)}.zip"',
            },
        )

    return routes


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while block := file.read(1 << 20):
            yield block


def _anchors(conn: Connection) -> list[dict[str, Any]]:
    """The last proved anchor of each region, by region. Records that cannot be read are left out."""
    found: dict[str, dict[str, Any]] = {}
    for row in execute(conn, "console/anchored"):
        body = _body(row["entry"])
        for place in body.get("places", []) if isinstance(body, dict) else []:
            if place["state"] == "verified":
                head = {"seq": body["seq"], "hash": body["hash"], "at": row["at"], "record": row["seq"]}
                found.setdefault(place["place"]["region"], {**head, "region": place["place"]["region"]})
    return [found[region] for region in sorted(found)]


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _body(entry: str) -> Any:
    """The body of an entry; the text itself where it was altered and can no longer be read."""
    try:
        return json.loads(entry)["body"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return entry
