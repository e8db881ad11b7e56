"""*Restores*: what restore tests measured against their targets, what differed, and who signed."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from starlette.responses import Response

from tidewatch.access.roles import Person
from tidewatch.console.chart import Chart, Point, Series, draw
from tidewatch.console.desk import Desk
from tidewatch.console.forms import Needs, SignedForm
from tidewatch.console.page import Address, Pages
from tidewatch.console.routes.common import PageNumber, Text, one_page, or_none, see
from tidewatch.console.show import duration
from tidewatch.core.database import execute
from tidewatch.core.errors import ConfigError, TidewatchError
from tidewatch.restore.context import build_context
from tidewatch.restore.signoff import Decision, SignOffRefused, sign

Reader = Annotated[Person, Depends(Needs("restores.read"))]
Signer = Annotated[Person, Depends(Needs("restores.sign"))]
Months = Annotated[int, Query(ge=1, le=120)]


def router(desk: Desk, page: Pages) -> APIRouter:
    routes = APIRouter()

    @routes.get("/restores")
    def restores(
        request: Request, person: Reader, source: Text = "", months: Months = 12, number: PageNumber = 1
    ) -> Response:
        until = desk.now()
        since = until - timedelta(days=months * 30.5)
        with desk.look() as conn:
            tests = execute(conn, "console/tests", {"since": since, "source": or_none(source)}).fetchall()
            runs = one_page(conn, "console/restore_runs", number, {})
            sources = [row["source"] for row in execute(conn, "console/sources")]
        address = Address(request)
        charts = [
            (name, *(_chart(address, rows, what, since, until) for what in ("rto", "rpo")))
            for name, rows in _by_source(tests)
        ]
        return page(
            request,
            "restores.html.j2",
            charts=charts,
            runs=runs,
            number=number,
            sources=sources,
            source=source,
            months=months,
            tests=tests,
        )

    @routes.get("/restores/run")
    def one_run(request: Request, person: Reader, run: Text) -> Response:
        return _run_page(desk, page, request, run)

    @routes.post("/restores/sign")
    def sign_off(request: Request, person: Signer, form: SignedForm) -> Response:
        run_id, note = form.text("run", longest=400), form.text("note")
        decisions: dict[str, Decision] = {"signed": "signed", "refused": "refused"}
        decision = decisions.get(form.text("decision"))
        if decision is None:
            raise HTTPException(400)
        context = build_context(desk.settings, desk.resolver, clock=desk.clock)
        try:
            sign(
                context,
                run_id,
                decision=decision,
                by=person.name,
                note=note,
                via="console",
                now=desk.now(),
                report_sha256=form.text("report_sha256"),
            )
        except (SignOffRefused, ConfigError) as error:
            return _run_page(desk, page, request, run_id, note, error)
        return see(Address(request).url("restores", "run", run=run_id, said="signed") + "#sign")

    @routes.get("/restores/report.json")
    def document(person: Reader, run: Text) -> Response:
        with desk.look() as conn:
            row = execute(conn, "console/report_document", {"run_id": or_none(run)}).fetchone()
        if row is None:
            raise HTTPException(404)
        # The bytes that were hashed and signed, and nothing else.
        return Response(
            row["document"].encode(),
            media_type="application/json",
            headers={"Content-Disposition": 'attachment; filename="restore-report.json"'},
        )

    @routes.get("/restores/tests/{test_id}")
    def test(request: Request, person: Reader, test_id: str) -> Response:
        with desk.look() as conn:
            row = execute(conn, "console/restore_test", {"test_id": test_id.replace("\0", "")}).fetchone()
        if row is None:
            raise HTTPException(404)
        checks = row["checks"]
        return page(
            request,
            "restore_test.html.j2",
            test=row,
            differences=[c for c in checks if not c.get("ok")],
            passed=[c for c in checks if c.get("ok")],
        )

    return routes


def _run_page(
    desk: Desk,
    page: Pages,
    request: Request,
    run_id: str,
    note: str = "",
    error: TidewatchError | None = None,
) -> Response:
    ident = {"run_id": or_none(run_id)}
    with desk.look() as conn:
        tests = execute(conn, "console/restore_run", ident).fetchall()
        report = execute(conn, "console/restore_report", ident).fetchone()
    if not tests and report is None:
        raise HTTPException(404)
    return page(
        request,
        "restore_run.html.j2",
        409 if error else 200,
        run_id=run_id,
        tests=tests,
        report=report,
        note=note,
        error=error,
    )


def _by_source(tests: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    ordered = sorted(tests, key=lambda t: t["source"])  # stable: the oldest first within a source
    return [(name, list(rows)) for name, rows in groupby(ordered, key=lambda t: t["source"])]


def _chart(
    address: Address, tests: Sequence[dict[str, Any]], what: str, since: Any, until: Any
) -> Chart | None:
    measured = [t for t in tests if t[f"{what}_seconds"] is not None]
    if not measured:
        return None
    targets = [t[f"{what}_target"] for t in measured if t[f"{what}_target"] is not None]
    target = targets[-1] if targets else None
    regions = sorted({t["region"] for t in measured})
    series = [Series(r, [_point(address, t, what) for t in measured if t["region"] == r]) for r in regions]
    begin = max(since, min(t["started_at"] for t in measured) - timedelta(days=4))
    return draw(series, since=begin, until=until, target=target)


def _point(address: Address, test: dict[str, Any], what: str) -> Point:
    seconds, target = test[f"{what}_seconds"], test[f"{what}_target"]
    ok = test["status"] == "passed" and (target is None or seconds <= target)
    label = f"{test['started_at']:%Y-%m-%d} {test['region']} {test['status']} {duration(seconds)}"
    href = address.url("restores", "tests", test["test_id"])
    # Backups of different ages of one day would make a line of saw teeth.
    return Point(test["started_at"], seconds, ok, href, label, joined=test["choice"] == "latest")
