"""*Model*: what the champion is worth, on what it rests, what came before it, and each retraining."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.responses import Response

from tidewatch.access.roles import Person
from tidewatch.console import diagrams, floor
from tidewatch.console.desk import Desk
from tidewatch.console.forms import Needs, SignedForm
from tidewatch.console.page import Address, Pages
from tidewatch.console.routes.common import PageNumber, Text, one_page, or_none, see
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import Busy, ConfigError, TidewatchError
from tidewatch.sentiment import LABELS
from tidewatch.sentiment import shadow as shadows
from tidewatch.sentiment.evaluate import recorded
from tidewatch.sentiment.labels.listing import totals
from tidewatch.sentiment.labels.queue import waiting
from tidewatch.sentiment.labels.votes import SEED, agreement
from tidewatch.sentiment.registry import champion, get, versions
from tidewatch.sentiment.retraining.decide import Answer, NotToBeAnswered, decide
from tidewatch.sentiment.retraining.settings import Limits

Reader = Annotated[Person, Depends(Needs("model.read"))]
Decider = Annotated[Person, Depends(Needs("model.decide"))]

_FROZEN = "frozen"
_SHADES = 5


def router(desk: Desk, page: Pages) -> APIRouter:
    routes = APIRouter()

    @routes.get("/model")
    def model(request: Request, person: Reader, number: PageNumber = 1, before: PageNumber = 1) -> Response:
        limits, queue = desk.retraining_file().limits, desk.labels_file().queue
        with desk.look() as conn:
            present = champion(conn)
            version = get(conn, present.version) if present else None
            measured, sets = _measured(conn, present.version) if present else (None, [])
            shown = {
                "drifts": execute(conn, "console/model_drifts", {"run_id": None}).fetchall(),
                "totals": totals(conn),
                "waiting": waiting(conn, settings=queue),
                "agreement": agreement(conn, seed=SEED, sample_only=True),
                "runs": one_page(conn, "console/model_retrainings", number, {}),
                "champions": one_page(conn, "console/model_champions", before, {}),
                "versions": [(one, recorded(one.metrics)) for one in reversed(versions(conn))],
                "shadow": _shadow(conn, present.version) if present else None,
            }
        held_out = recorded(version.metrics) if version else None
        figures = next((s["figures"] for s in sets if s["set_name"] == _FROZEN), held_out)
        return page(
            request,
            "model.html.j2",
            champion=present,
            version=version,
            measured=measured,
            sets=sets,
            judged=judged(figures, limits),
            limits=limits,
            least=floor.least(limits.recall),
            number=number,
            before=before,
            verdict=floor.verdict,
            **shown,
        )

    @routes.get("/model/retraining")
    def retraining(request: Request, person: Reader, run: Text) -> Response:
        return _retraining(desk, page, request, person, run)

    @routes.post("/model/decide")
    def decision(request: Request, person: Decider, form: SignedForm) -> Response:
        run_id, note, said = form.text("run", longest=400), form.text("note"), form.text("decision")
        answers: dict[str, Answer] = {"approved": "approved", "rejected": "rejected"}
        if said not in answers:
            raise HTTPException(400)
        try:
            with desk.connect() as conn:
                decide(
                    conn,
                    run_id,
                    decision=answers[said],
                    by=person.name,
                    note=note,
                    via="console",
                    now=desk.now(),
                )
        except (NotToBeAnswered, ConfigError, Busy) as error:
            return _retraining(desk, page, request, person, run_id, note, error)
        return see(Address(request).url("model", "retraining", run=run_id, said="decided"))

    return routes


def _shadow(conn: Connection, champion_version: int) -> dict[str, Any] | None:
    """The version beside the champion, and on how many texts the two were compared and differ."""
    beside = shadows.shadow(conn)
    if beside is None:
        return None
    texts, differing = shadows.differing(shadows.counts(conn, beside), champion_version)
    return {"version": beside.version, "since": beside.since, "texts": texts, "differing": differing}


def judged(figures: Mapping[str, Any] | None, limits: Limits) -> dict[str, Any] | None:
    """An evaluation made ready for the page: each class against the floors, the confusion in shares of the
    true label, the diagram."""
    if not figures:
        return None
    classes = [
        {
            "label": one["label"],
            "f1": one["f1"],
            "shares": [
                {
                    "of": name,
                    "share": one[name],
                    "verdict": floor.verdict(one[name], at),
                    "needed": floor.needed(one[name]["value"], at) if one[name] else None,
                }
                for name, at in (("recall", limits.recall), ("precision", limits.precision))
            ],
        }
        for one in figures["classes"]
    ]
    return {
        "figures": figures,
        "classes": classes,
        "confusion": _confusion(figures["confusion"]),
        "diagram": diagrams.reliability(figures["reliability"]),
        "calibration": _calibration(figures, limits.calibration),
        "without": figures.get("emoticons_removed"),
    }


def _calibration(figures: Mapping[str, Any], limit: float) -> str:
    """passed, failed, or too_few: more than the limit, but not more than so few posts give by luck."""
    if figures["ece"] <= limit:
        return "passed"
    return "too_few" if figures["ece"] <= figures.get("ece_by_luck", 0.0) else "failed"


def _confusion(rows: Sequence[Sequence[int]]) -> list[tuple[str, list[tuple[int, float | None, int]]]]:
    """By true label: (posts, share of the label's posts, how dark) for each label given."""
    shown = []
    for name, row in zip(LABELS, rows, strict=True):
        n = sum(row)
        cells = [(count, count / n if n else None, round(_SHADES * count / n) if n else 0) for count in row]
        shown.append((name, cells))
    return shown


def _measured(conn: Connection, version: int) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The newest run that measured a version, and its figures on each set."""
    run = execute(conn, "console/model_measured", {"version": version}).fetchone()
    if run is None:
        return None, []
    return run, execute(conn, "console/model_evaluations", run).fetchall()


def _retraining(
    desk: Desk,
    page: Pages,
    request: Request,
    person: Person,
    run_id: str,
    note: str = "",
    error: TidewatchError | None = None,
) -> Response:
    limits, ident = desk.retraining_file().limits, {"run_id": or_none(run_id)}
    with desk.look() as conn:
        row = execute(conn, "console/model_retraining", ident).fetchone()
        if row is None:
            raise HTTPException(404)
        figures = execute(conn, "console/model_evaluations", {**ident, "role": None}).fetchall()
        compared = {c["set_name"]: c for c in execute(conn, "console/model_comparisons", ident)}
        drifts = execute(conn, "console/model_drifts", ident).fetchall()
        judgements = execute(conn, "console/model_judgements", ident).fetchall()
        unmet = execute(conn, "console/model_unmet", ident).fetchall()
        differences = None
        if person.may("model.posts"):
            differences = execute(conn, "console/model_differences", ident).fetchall()
    return page(
        request,
        "retraining.html.j2",
        409 if error else 200,
        run=row,
        lacking=_lacking(row["missing"] or {}),
        note=note,
        error=error,
        sets=_side_by_side(figures, compared, limits),
        judged={f["role"]: judged(f["figures"], limits) for f in figures if f["set_name"] == _FROZEN},
        drifts=drifts,
        judgements=judgements,
        unmet=unmet,
        differences=differences,
        labels=LABELS,
        limits=limits,
        least=floor.least(limits.recall),
    )


def _lacking(missing: Mapping[str, Any]) -> list[tuple[str, str | None, Mapping[str, Any]]]:
    """(what it is for, label or None for all together, numbers), as `enough.missing` says it."""
    rows: list[tuple[str, str | None, Mapping[str, Any]]] = []
    for part, found in missing.items():
        rows += (
            [(part, None, found)] if "needed" in found else [(part, name, one) for name, one in found.items()]
        )
    return rows


def _side_by_side(
    figures: Sequence[dict[str, Any]], compared: Mapping[str, dict[str, Any]], limits: Limits
) -> list[dict[str, Any]]:
    """One row a set: figures of both, and where both were measured the paired test with its drawing."""
    found: dict[str, dict[str, Any]] = {}
    for one in figures:
        row = found.setdefault(
            one["set_name"], {"kind": one["kind"], "n": one["n"], "set_name": one["set_name"]}
        )
        row[one["role"]] = one["figures"]
    rows = [
        {"champion": None, "challenger": None, "test": compared.get(name), **row}
        for name, row in found.items()
    ]
    drawn = iter(diagrams.spans([r["test"] for r in rows if r["test"]], margin=limits.margin))
    return [{**row, "span": next(drawn) if row["test"] else None} for row in rows]
