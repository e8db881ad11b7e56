"""`tidewatch orphans`: what unfinished attempts have left in the regions."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidewatch.cli.common import Json, print_json, print_line, print_table, say, settings
from tidewatch.core.clock import utc_now
from tidewatch.core.connections import from_environment
from tidewatch.core.progress import human_bytes

if TYPE_CHECKING:
    from tidewatch.backup.context import BackupContext
    from tidewatch.backup.orphans import Findings
    from tidewatch.backup.sweep import Swept
    from tidewatch.core.regions import Region

app = typer.Typer(
    no_args_is_help=True,
    short_help="What unfinished attempts left behind.",
    help="Orphans: objects of attempts that can never be completed, and of probes.",
)

Names = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Only this region; may be given more than once."),
]


@app.command(name="list", short_help="What could be removed, and what is kept.")
def list_orphans(region: Names = None, as_json: Json = False) -> int:
    """Show what could be removed, what is locked until when, and what is kept and why.

    Nothing is changed. Exit code 1 when something is in question, or lies under the prefix and is not ours.

    Example:

        tidewatch orphans list --region cn-east
    """
    context, chosen = _chosen(region)
    return _show(_find(context, chosen), as_json)


@app.command(short_help="Remove what can be removed.")
def remove(
    region: Names = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Really remove. Without it, the same as `list`.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Remove what attempts that can never be completed, and yesterday's probes, have left.

    The Dag `remove_orphans` does so every day. Locked versions stay until their lock ends. Nothing in
    question is removed: docs/regions.md says when. What is removed is in the ledger (orphans.removed). Exit
    code 1 when something is kept in question, was refused by the store, or is not ours.

    Examples:

        tidewatch orphans remove

        tidewatch orphans remove --region cn-east --yes
    """
    context, chosen = _chosen(region)
    if not yes:
        code = _show(_find(context, chosen), as_json)
        if not as_json:
            print_line("Nothing was removed. With --yes it is.")
        return code
    from tidewatch.backup.sweep import remove as sweep

    swept = [sweep(context, each) for each in chosen]
    if as_json:
        print_json([{**each.as_dict(), "kept": [asdict(k) for k in each.kept]} for each in swept])
    else:
        for each in swept:
            _print_swept(each)
    return 0 if all(each.ok for each in swept) else 1


def _chosen(names: list[str] | None) -> "tuple[BackupContext, list[Region]]":
    from tidewatch.backup.context import build_context

    context = build_context(settings(), from_environment, clock=utc_now, progress=say)
    return context, [context.region(n) for n in names] if names else list(context.regions)


def _find(context: "BackupContext", chosen: "list[Region]") -> "list[Findings]":
    from tidewatch.backup.orphans import find

    return [find(context, region) for region in chosen]


def _show(findings: "list[Findings]", as_json: bool) -> int:
    if as_json:
        print_json([_as_json(found) for found in findings])
    else:
        for found in findings:
            _print(found)
    return 0 if all(found.ok for found in findings) else 1


def _as_json(found: "Findings") -> dict[str, Any]:
    return {
        "region": found.region,
        "orphans": [asdict(o) for o in found.orphans],
        "uploads": [asdict(u) for u in found.uploads],
        "kept": [asdict(k) for k in found.kept],
        "young": found.young,
        "strays": found.strays,
        "stray_examples": found.stray_examples,
    }


def _print(found: "Findings") -> None:
    size = human_bytes(sum(o.size for o in found.removable))
    print_line(
        f"{found.region}: {len(found.removable)} versions to remove ({size}), {len(found.locked)} locked, "
        f"{len(found.uploads)} unfinished uploads to abort, {found.young} attempts too young to judge"
    )
    if found.orphans or found.uploads:
        print_table(
            ["key", "of", "bytes", "written", "locked until"],
            [[o.key, o.backup_id or "a probe", o.size, o.written_at, o.locked_until] for o in found.orphans]
            + [[u.key, "an unfinished upload", None, u.begun_at, None] for u in found.uploads],
        )
    _print_kept([(k.what, k.why) for k in found.kept])
    for key in found.stray_examples:
        print_line(f"- not ours, left alone: {key}")


def _print_swept(swept: "Swept") -> None:
    print_line(
        f"{swept.region}: {swept.keys} versions removed ({human_bytes(swept.bytes)}), {swept.uploads} "
        f"uploads aborted, {swept.locked} locked, {swept.refused} refused by the store, {swept.strays} "
        "not ours"
    )
    if swept.locked_until:
        print_line(f"The first of the locked ones can be taken after {swept.locked_until:%Y-%m-%d %H:%M}Z")
    _print_kept([(k.what, k.why) for k in swept.kept])


def _print_kept(kept: list[tuple[str, str]]) -> None:
    for what, why in kept:
        print_line(f"- kept: {what}: {why}")
