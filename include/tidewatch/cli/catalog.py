"""`tidewatch catalog`: the catalogue made again from a region."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tidewatch.cli.common import Json, print_json, print_line, print_table, say, settings
from tidewatch.core.clock import utc_now
from tidewatch.core.connections import from_environment
from tidewatch.core.signing import KeyRing

if TYPE_CHECKING:
    from tidewatch.backup.rebuild import Rebuilt
    from tidewatch.backup.recheck import Checked

app = typer.Typer(
    no_args_is_help=True,
    short_help="Make the catalogue again from a region.",
    help="The catalogue: a cache of what lies in the regions, made again from any one of them.",
)


@app.callback()
def _group() -> None:
    """Keep `rebuild` a sub-command although it is the only one."""


@app.command()
def rebuild(
    region: Annotated[str, typer.Option(metavar="NAME", help="The region whose manifests are read.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be entered; change nothing.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Afterwards read back every copy in every region that answers.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Enter every backup that one region holds.

    For the day the database is gone: after `tidewatch db migrate` on an empty one, this alone brings back
    the list of backups, their copies and the decisions on them. Every manifest must carry a signature of this
    installation; what cannot be trusted is named and left out. On a living catalogue only what is missing is
    added; run twice, it changes nothing. docs/regions.md says what no region can tell.

    Copies in other regions are entered as the manifests record them; without --check nobody asks those
    regions before the hourly healing does. Exit code 1 when a manifest was refused, is hidden, or contradicts
    the catalogue, or when --check finds a copy that is not whole.

    Examples:

        tidewatch catalog rebuild --region cn-north --dry-run

        tidewatch catalog rebuild --region cn-north --check
    """
    from tidewatch.backup.context import build_context
    from tidewatch.backup.rebuild import rebuild as rebuild_catalogue
    from tidewatch.backup.recheck import recheck

    key = KeyRing.load(settings().verify_key_file)
    context = build_context(settings(), from_environment, clock=utc_now, progress=say)
    done = rebuild_catalogue(context, region, key, dry_run=dry_run)
    checked = recheck(context) if check and not dry_run else []
    if as_json:
        print_json({**asdict(done), "ok": done.ok, "checked": [{**asdict(c), "ok": c.ok} for c in checked]})
    else:
        _print(done)
        _print_checked(checked)
    return 0 if done.ok and all(c.ok for c in checked) else 1


def _print(done: "Rebuilt") -> None:
    would = "would be " if done.dry_run else ""
    print_line(
        f"{done.region} holds {done.manifests} manifests: {done.adopted} {would}entered, {done.known} known "
        f"before, {sum(p.kind != 'hidden' for p in done.problems)} left out"
    )
    if done.decisions:
        print_line(f"{done.decisions} decisions of persons {would}entered")
    if done.copies:
        print_line(f"{done.copies} copies {would}added to backups that were known")
    if done.in_work:
        print_line(f"{done.in_work} manifests belong to runs still at work, which finish by themselves")
    if done.unfinished:
        print_line(f"{done.unfinished} folders have no manifest: attempts that did not get that far")
    if (lost := done.chain_before) is not None:
        print_line(
            f"The ledger of these backups is not this one. Its last signed head in {done.region}: record "
            f"{lost.seq} {lost.hash}, signed {lost.signed_at:%Y-%m-%d %H:%M}Z in "
            f"{lost.backup_id or 'an anchor of its own'}"
        )
    if done.problems:
        print_table(
            ["key", "", "what is wrong"],
            [[p.key, p.kind, p.text] for p in done.problems],
            title="Look at these",
        )


def _print_checked(checked: "list[Checked]") -> None:
    for report in checked:
        stopped = f"; not asked to the end: {report.stopped}" if report.stopped else ""
        print_line(f"{report.region}: {report.verified} copies whole, {report.failed} not{stopped}")
        for key, problem in report.problems:
            print_line(f"- {key}: {problem}")
