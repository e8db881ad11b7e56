"""`tidewatch restore`: a backup, a table of it or some of its files, back from the regions."""

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidewatch.cli.common import Json, print_json, print_line, say, settings
from tidewatch.core.clock import utc_now
from tidewatch.core.connections import from_environment
from tidewatch.core.progress import human_bytes

if TYPE_CHECKING:
    from tidewatch.restore.plan import Plan
    from tidewatch.restore.run import Done


def restore(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="As config/sources.yaml calls it.")],
    to: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="database:CONNECTION[/NAME], directory:PATH or bucket:CONNECTION/BUCKET[/PREFIX]; new or "
            "empty, and allowed by config/restore.yaml.",
        ),
    ],
    backup: Annotated[
        str | None, typer.Option(metavar="ID", help="This backup; otherwise the newest good one.")
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option(
            metavar="TIME",
            help="The newest good one whose snapshot is not later, such as 2026-11-22T16:00:00. UTC.",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"],
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only from here; otherwise from the first region that works."),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="SCHEMA.TABLE", help="Only this table; may be given more than once."),
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH", help="Only this file, or what is below it; may be given more than once."
        ),
    ] = None,
    confirm: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The name of the database, directory or bucket, where it is not scratch."
        ),
    ] = None,
    work_dir: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Where fetched objects lie meanwhile; <home>/restore by default."),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", min=1, max=64, help="Sessions that load a database.")
    ] = 2,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show everything, do nothing.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Bring back a backup, or part of it.

    The backup is chosen in a region, not in the catalogue, and every object is checked against its signed
    manifest before it is used: neither Airflow nor the warehouse is needed. A region that is down, or an
    object that is bad, is told and the next region asked. The private key is the file that
    TIDEWATCH_IDENTITY_FILE names.

    A database appears under its name when it is complete, a directory too; if anything fails, the target is
    as it was. Run again after an interruption: what was fetched is not fetched again.

    Examples:

        tidewatch restore ops --to database:tidewatch_restore/restored_ops --dry-run

        tidewatch restore ops --table ops.posts --at 2026-11-22 --to database:tidewatch_restore/restored_ops

        tidewatch restore media --path 2026/11 --region cn-north --to directory:/srv/again --confirm again
    """
    from tidewatch.restore.context import build_context
    from tidewatch.restore.run import Request, make_plan
    from tidewatch.restore.run import restore as do_restore

    context = build_context(settings(), from_environment, clock=utc_now, progress=say)
    plan = make_plan(
        context,
        Request(
            source=source,
            to=to,
            backup_id=backup,
            at=at.replace(tzinfo=UTC) if at is not None else None,
            region=region,
            tables=tuple(table or ()),
            paths=tuple(path or ()),
            confirm=confirm,
            work_dir=work_dir,
            jobs=jobs,
            dry_run=dry_run,
            by=getpass.getuser(),
        ),
    )
    if dry_run:
        _show_plan(plan, as_json)
        return 0
    _show_done(do_restore(context, plan), plan, as_json)
    return 0


def _show_plan(plan: "Plan", as_json: bool) -> None:
    from tidewatch.restore.plan import describe

    if as_json:
        print_json(plan.as_dict())
        return
    for what, value in describe(plan):
        print_line(f"{what:>15}: {value}")
    word = "" if plan.permission.scratch else f" It takes --confirm {plan.where.name}."
    print_line(f"Nothing was done.{word} Without --dry-run it is.")


def _show_done(done: "Done", plan: "Plan", as_json: bool) -> None:
    if as_json:
        print_json(done.as_dict())
        return
    for remark in done.remarks:
        print_line(f"- {remark}")
    phases = ", ".join(f"{name} {value:.1f} s" for name, value in done.seconds.items() if name != "all")
    print_line(
        f"{done.backup_id} from {', '.join(done.regions)} is now {done.target}: "
        f"{human_bytes(plan.stored_bytes)} fetched, every object as its manifest says, "
        f"{done.seconds['all']:.1f} s ({phases})"
    )
    if done.recorded is not None:
        print_line(f"Record {done.recorded} of the ledger (restore.done)")
