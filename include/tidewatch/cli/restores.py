"""`tidewatch restores`: restore tests, what they gave, and who signed."""

import getpass
import secrets
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidewatch.cli.common import Json, print_json, print_line, print_table, say, settings, warehouse
from tidewatch.core.clock import utc_now
from tidewatch.core.connections import from_environment
from tidewatch.core.errors import Busy, NotFound, TidewatchError

if TYPE_CHECKING:
    from tidewatch.restore.context import RestoreContext
    from tidewatch.restore.report import Report
    from tidewatch.restore.results import Row

app = typer.Typer(
    no_args_is_help=True,
    short_help="Restore tests: make, list, show, sign.",
    help="Restore tests: backups restored for real from each region, compared, timed and signed.",
)
_DAG = "cli"


@app.command(short_help="Restore backups for real, and compare.")
def test(
    source: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this source; may be given more than once."),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only from this region; may be given more than once."),
    ] = None,
    older: Annotated[
        bool | None,
        typer.Option(
            "--older/--no-older", help="Test an older backup, too; config/restore_tests.yaml otherwise."
        ),
    ] = None,
    run_id: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="ID", help="Repeat or go on with this run: the same backups, new attempts."
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Restore backups for real, as the Dag test_restores does every month.

    Each one goes into a scratch server, or a scratch directory, of its own that is removed afterwards, and is
    compared with what was backed up. Exit code 1 when a test did not pass. The report then waits for another
    person's `tidewatch restores sign`.

    Example:

        tidewatch restores test --source ops --region cn-north --no-older
    """
    from tidewatch.restore.drill import Selection, plan, run_test
    from tidewatch.restore.gate import judge_run
    from tidewatch.restore.report import make_report
    from tidewatch.restore.targets import load_targets
    from tidewatch.vault.manifest import RunRef

    context, file = _context(), load_targets(settings())
    run = RunRef(dag_id=_DAG, run_id=run_id or f"cli-{utc_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")
    selection = Selection(tuple(source or ()), tuple(region or ()))
    wanted = file.older if older is None else older
    for planned in plan(context, run.run_id, selection, older=wanted):
        try:
            run_test(context, planned, run, file)
        except Busy:
            raise
        except TidewatchError as error:
            say(f"{planned.label}: {error}")  # it is recorded, and stands in the report
    verdict = judge_run(context, run, selection)
    made = make_report(context, run, selection, started_by=getpass.getuser())
    _show_report(made, as_json)
    if not as_json:
        for failure in verdict.failures:
            print_line(f"- {failure}")
    return 0 if made.passed else 1


@app.command(name="list", short_help="Print restore tests, or the reports of runs.")
def list_tests(
    source: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this source.")] = None,
    runs: Annotated[bool, typer.Option("--runs", help="Reports of whole runs, and who signed them.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="At most so many.")] = 50,
    as_json: Json = False,
) -> int:
    """Print the newest restore tests, or with --runs the reports of whole runs."""
    from tidewatch.restore import results
    from tidewatch.restore.report import reports

    with warehouse() as conn:
        if runs:
            _list_runs(reports(conn, n=limit), as_json)
        else:
            _list_tests(results.recent(conn, source=source, n=limit), as_json)
    return 0


def _list_tests(rows: "list[Row]", as_json: bool) -> None:
    if as_json:
        print_json([asdict(row) | {"document": None, "problem": row.problem} for row in rows])
        return
    print_table(
        ["test", "status", "source", "region", "backup", "RTO s", "RPO s", "problem"],
        [
            (
                row.test_id,
                row.status,
                row.source,
                row.region,
                f"{row.backup_id} ({row.choice}, attempt {row.attempt})",
                _seconds(row.rto_seconds, row.rto_target),
                _seconds(row.rpo_seconds, row.rpo_target),
                row.problem,
            )
            for row in rows
        ],
    )


def _list_runs(found: "list[Report]", as_json: bool) -> None:
    if as_json:
        print_json([asdict(r) | {"document": None} for r in found])
        return
    print_table(
        ["run", "made", "passed", "attempts", "failed", "started by", "sign-off", "SHA-256 of the report"],
        [
            (
                r.run_id,
                r.made_at,
                "yes" if r.passed else "NO",
                r.tests,
                r.failed,
                r.started_by or "the schedule",
                _signed(r),
                r.sha256,
            )
            for r in found
        ],
    )


@app.command(short_help="Print one test, or the report of a run.")
def show(
    name: Annotated[str, typer.Argument(metavar="TEST|RUN", help="The id of a test, or of a run.")],
    as_json: Json = False,
) -> int:
    """Print one test with every check, or the report of a run.

    With --json the report is printed as the text whose SHA-256 is signed: `sha256sum` of it without the line
    break gives that digest.
    """
    from tidewatch.restore import results
    from tidewatch.restore.report import get_report

    with warehouse() as conn:
        try:
            row = results.get(conn, name)
        except NotFound:
            if name.startswith("rt-"):
                raise
            _show_report(get_report(conn, name), as_json)
            return 0
    if as_json:
        print_json(row.document or asdict(row))
    else:
        _show_test(row)
    return 0


@app.command()
def sign(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The id of the run, from `list --runs`.")],
    by: Annotated[str, typer.Option(metavar="NAME", help="Who signs; not the one who started the run.")],
    refuse: Annotated[
        bool, typer.Option("--refuse", help="Refuse the report instead; needs --note.")
    ] = False,
    note: Annotated[str, typer.Option(metavar="TEXT", help="What an auditor should read.")] = "",
    sha256: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="Sign only if the report still has this SHA-256.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Sign the report of a run, or refuse it.

    The ledger records who said what to which SHA-256, and its head is anchored in every region.

    Example:

        tidewatch restores sign scheduled__2026-12-01T05:00:00+08:00 --by li.na
    """
    from tidewatch.restore.signoff import sign as do_sign

    given = do_sign(
        _context(),
        run,
        decision="refused" if refuse else "signed",
        by=by,
        note=note,
        via="cli",
        now=utc_now(),
        report_sha256=sha256,
    )
    if as_json:
        print_json(asdict(given))
    else:
        print_line(
            f"The report of {run} is {given.decision} by {given.signed_by}, record {given.ledger_seq} "
            f"of the ledger, SHA-256 {given.report_sha256}"
        )
    return 0


def _show_test(row: "Row") -> None:
    print_line(f"{row.test_id}: {row.planned.label}, attempt {row.attempt} of run {row.run_id}: {row.status}")
    print_line(f"backup {row.backup_id}")
    phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in row.phases.items())
    print_line(f"RTO {_seconds(row.rto_seconds, row.rto_target)} s ({phases})")
    print_line(f"RPO {_seconds(row.rpo_seconds, row.rpo_target)} s")
    if row.error:
        print_line(row.error)
    rows = [
        ("ok" if c["ok"] else "DIFFERS", c["name"], c["where"], c["expected"], c["found"]) for c in row.checks
    ]
    print_table(["", "check", "where (the first)", "expected", "found"], rows)
    for remark in (row.document or {}).get("remarks", []):
        print_line(f"remark: {remark}")


def _show_report(made: "Report", as_json: bool) -> None:
    if as_json:
        print(made.document)
        return
    results: list[dict[str, Any]] = made.content["results"]
    print_table(
        ["test", "status", "source", "region", "choice", "RTO s", "RPO s", "problem"],
        [
            (
                r["test_id"],
                r["status"],
                r["source"],
                r["region"],
                f"{r['choice']}, attempt {r['attempt']}",
                _measured(r.get("rto")),
                _measured(r.get("rpo")),
                r.get("problem"),
            )
            for r in results
        ],
    )
    print_line(
        f"Run {made.run_id}: {'passed' if made.passed else 'NOT PASSED'}; {made.tests} attempts, "
        f"{made.failed} not passed; {_signed(made)}"
    )
    print_line(f"SHA-256 of the report: {made.sha256}")


def _measured(part: dict[str, Any] | None) -> str:
    return _seconds(part["seconds"], part["target"]) if part else "-"


def _seconds(measured: float | None, target: float | None) -> str:
    return "-" if measured is None else f"{measured:.1f} of {target:.0f}"


def _signed(made: "Report") -> str:
    if made.decision is None:
        return "waits to be signed"
    return f"{made.decision} by {made.signed_by}" if made.signed_by else made.decision


def _context() -> "RestoreContext":
    from tidewatch.restore.context import build_context

    return build_context(settings(), from_environment, clock=utc_now, progress=say)
