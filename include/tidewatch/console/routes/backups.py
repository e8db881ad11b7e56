"""*Backups*: the heat map, the list, one backup with all that is known of it, and "verify now"."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.responses import Response

from tidewatch.access.roles import Person
from tidewatch.console import checks, heat
from tidewatch.console.desk import Desk
from tidewatch.console.forms import Needs, SignedForm
from tidewatch.console.page import Address, Pages
from tidewatch.console.routes.common import (
    PAGE,
    PageNumber,
    Text,
    cursor,
    cut,
    one_page,
    or_none,
    see,
    start_of,
)
from tidewatch.core.database import Connection, execute
from tidewatch.vault.catalogue import STATUSES
from tidewatch.vault.readback import Mode

DAYS = 90
_RECORDS = 20

Reader = Annotated[Person, Depends(Needs("backups.read"))]
Verifier = Annotated[Person, Depends(Needs("backups.verify"))]


def router(desk: Desk, page: Pages) -> APIRouter:
    routes = APIRouter()

    @routes.get("/backups")
    def backups(
        request: Request, person: Reader, source: Text = "", status: Text = "", after: Text = ""
    ) -> Response:
        with desk.look() as conn:
            at, last = cursor(after)
            values = {
                "source": or_none(source),
                "status": or_none(status),
                "at": at,
                "id": last,
                "page": PAGE + 1,
            }
            rows, more = cut(execute(conn, "console/backups", values).fetchall())
            chosen = or_none(source)
            shown = _heat(desk, page, conn, chosen) if at is None else None
            known = _sources(desk, page, conn)
        return page(
            request,
            "backups.html.j2",
            rows=rows,
            more=_after(rows) if more else None,
            heat=shown,
            sources=list(known),
            statuses=STATUSES,
            source=source,
            status=status,
            first_page=at is None,
        )

    @routes.get("/backups/{backup_id}")
    def backup(
        request: Request,
        person: Reader,
        backup_id: str,
        objects: PageNumber = 1,
        tables: PageNumber = 1,
        copies: PageNumber = 1,
    ) -> Response:
        checks.settle(desk, or_none(backup_id) or "")
        with desk.look() as conn:
            row = _backup(conn, backup_id)
            ident = {"backup_id": row["backup_id"]}
            about = {"source": row["source"], **ident}
            return page(
                request,
                "backup.html.j2",
                backup=row,
                objects=one_page(conn, "console/backup_objects", objects, ident),
                objects_page=objects,
                tables=one_page(conn, "console/backup_tables", tables, ident),
                tables_page=tables,
                copies=one_page(conn, "console/backup_copies", copies, ident),
                copies_page=copies,
                regions=execute(conn, "console/backup_regions", ident).fetchall(),
                checks=execute(conn, "console/backup_checks", ident).fetchall(),
                tests=execute(conn, "console/backup_tests", about).fetchall(),
                holds=execute(
                    conn, "console/backup_holds", {**about, "snapshot_at": row["snapshot_at"]}
                ).fetchall(),
                judgements=execute(
                    conn, "console/subject_judgements", {"subject": row["backup_id"]}
                ).fetchall(),
                findings=execute(conn, "console/findings", _findings_about(row["backup_id"])).fetchall(),
                records=execute(conn, "console/records", _records_about(row["backup_id"])).fetchall(),
            )

    @routes.post("/backups/{backup_id}/verify")
    def verify(request: Request, person: Verifier, form: SignedForm, backup_id: str) -> Response:
        with desk.look() as conn:
            row = _backup(conn, backup_id)
        mode: Mode = "full" if form.text("mode") == "full" else "checksum"
        begun = checks.begin(desk, row["backup_id"], mode, by=person.name)
        return see(
            Address(request).url("backups", row["backup_id"], said="verifying" if begun else "busy")
            + "#checks"
        )

    return routes


def _backup(conn: Connection, backup_id: str) -> dict[str, Any]:
    row = execute(conn, "console/backup", {"backup_id": backup_id.replace("\0", "")}).fetchone()
    if row is None:
        raise HTTPException(404)
    return row


def _sources(desk: Desk, page: Pages, conn: Connection) -> dict[str, Any]:
    """Name -> day of its first backup: those of the configuration first, then those that were once there."""
    known = {r["source"]: page.shown.day(r["since"]) for r in execute(conn, "console/sources")}
    return {name: known.get(name) for name in dict.fromkeys([*desk.sources(), *known])}


def _heat(desk: Desk, page: Pages, conn: Connection, source: str | None) -> dict[str, Any]:
    days = heat.days_until(page.shown.day(desk.now()), DAYS)
    regions = [r.name for r in desk.regions_file().regions]
    since = start_of(days[0], desk.zone)
    rows = execute(conn, "console/heat", {"since": since, "regions": regions}).fetchall()
    sources = _sources(desk, page, conn)
    chosen = {s: d for s, d in sources.items() if source in (None, s)}
    return {
        "days": days,
        "months": heat.months(days),
        "rows": heat.heat_map(
            ({**row, "day": page.shown.day(row["started_at"])} for row in rows), days, chosen, regions
        ),
        "regions": regions,
    }


def _after(rows: list[dict[str, Any]]) -> str:
    return f"{rows[-1]['started_at'].isoformat()}~{rows[-1]['backup_id']}"


def _records_about(subject: str) -> dict[str, Any]:
    return {
        "before": None, "kind": None, "subject": subject, "since": None, "until": None, "page": _RECORDS,
    }  # fmt: skip


def _findings_about(subject: str) -> dict[str, Any]:
    return {"open": None, "source": None, "subject": subject, "page": PAGE, "skip": 0}
