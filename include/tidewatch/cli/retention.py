"""`tidewatch retention`: what is kept for how long, and the removal of what is not."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidewatch.cli.common import Json, moment, print_json, print_line, print_table, say, settings
from tidewatch.core.clock import utc_now
from tidewatch.core.connections import from_environment
from tidewatch.core.errors import NotFound, RegionError
from tidewatch.core.progress import human_bytes

if TYPE_CHECKING:
    from datetime import datetime

    from tidewatch.backup.context import BackupContext
    from tidewatch.backup.retention.plan import Decision

app = typer.Typer(
    no_args_is_help=True,
    short_help="For how long backups are kept.",
    help="Retention: which backups are kept for how long, and the removal of those that are not.",
)

Sources = Annotated[
    list[str] | None,
    typer.Option("--source", metavar="NAME", help="Only this source; may be given more than once."),
]


@app.command(short_help="What is kept and what may go, and why.")
def plan(
    source: Sources = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="As if it were then, e.g. 2027-01-01T00:00Z, and no backup came."),
    ] = None,
    kept: Annotated[bool, typer.Option("--kept/--no-kept", help="Also show what is kept.")] = True,
    as_json: Json = False,
) -> int:
    """Show every backup with what becomes of it, and every reason. Nothing is changed.

    The rules are those of config/retention.yaml. Attempts that failed or were abandoned are no backups:
    `tidewatch orphans` shows what they left.

    Examples:

        tidewatch retention plan --source ops

        tidewatch retention plan --at 2027-06-01T00:00Z --no-kept
    """
    return _show(_context(), source, moment(at), kept, as_json)


@app.command(short_help="Remove what is not wanted any more.")
def expire(
    source: Sources = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Really remove. Without it, the same as `plan`.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Extend the locks of what is kept, and remove what is not.

    The Dag `expire_backups` does so every day. Never removed: the newest good backup of a source, the newest
    good copy in a region, what a legal hold covers, what is locked, and objects that a kept backup refers to.
    What is removed is in the ledger (backup.expired, removal.done), and the catalogue keeps its row. Exit
    code 1 when a region did not do its part; the next run goes on.

    Examples:

        tidewatch retention expire

        tidewatch retention expire --source media --yes
    """
    context = _context()
    if not yes:
        code = _show(context, source, None, False, as_json)
        if not as_json:
            print_line("Nothing was removed. With --yes it is.")
        return code
    from tidewatch.backup.retention.expire import extend_locks, mark
    from tidewatch.backup.retention.protect import protect
    from tidewatch.backup.retention.remove import remove

    chosen = _chosen(context, source)
    held = protect(context)
    locked = [extend_locks(context, name) for name in chosen]
    marked = [mark(context, name) for name in chosen]
    problems = {h.region: h.problem for h in held if h.problem}
    for each in locked:
        problems |= each.problems
    removed = []
    for region in context.regions:
        try:
            removed.append(remove(context, region))
        except RegionError as error:  # the others are not kept waiting for it
            problems[region.name] = f"{error.what} ({error.found})"
    if as_json:
        print_json(
            {
                "sources": [
                    {"source": m.source, "expired": m.expired, "kept": m.kept, "left": m.left} for m in marked
                ],
                "locks_extended": sum(k.locks for k in locked),
                "regions": [r.as_dict() for r in removed],
                "problems": problems,
            }
        )
    else:
        for m in marked:
            print_line(f"{m.source}: {len(m.expired)} expired, {m.kept} kept, {len(m.left)} left for later")
            for backup_id in m.expired:
                print_line(f"- {backup_id}")
        for r in removed:
            print_line(
                f"{r.region}: {r.keys} versions removed ({human_bytes(r.bytes)}), {r.finished} backups gone, "
                f"{r.waiting} of which something is kept, {r.locked} versions locked, {r.refused} refused"
            )
        for name, problem in problems.items():
            print_line(f"- {name}, done later: {problem}")
    return 0 if not problems and all(r.ok for r in removed) else 1


def _context() -> "BackupContext":
    from tidewatch.backup.context import build_context

    return build_context(settings(), from_environment, clock=utc_now, progress=say)


def _chosen(context: "BackupContext", names: list[str] | None) -> list[str]:
    from tidewatch.backup.retention.expire import sources_of

    known = sources_of(context)
    for name in names or []:
        if name not in known:
            raise NotFound(
                f"There is no backup of {name}",
                expected=", ".join(known) or "a source that was backed up",
                found=name,
                do="`tidewatch backup list` shows what there is",
            )
    return names or known


def _show(
    context: "BackupContext", names: list[str] | None, at: "datetime | None", kept: bool, as_json: bool
) -> int:
    from tidewatch.backup.retention.expire import policy_of, preview

    chosen = _chosen(context, names)
    plans = {name: preview(context, name, at) for name in chosen}
    if as_json:
        print_json([_as_json(d, name) for name in chosen for d in plans[name] if kept or not d.keep])
        return 0
    for name in chosen:
        decisions = plans[name]
        going = sum(not d.keep for d in decisions)
        print_line(f"{name}: {len(decisions) - going} kept, {going} to remove ({policy_of(context, name)})")
        _table([d for d in decisions if kept or not d.keep])
    return 0


def _table(decisions: "Sequence[Decision]") -> None:
    if not decisions:
        return
    print_table(
        ["backup", "status", "snapshot", "what", "why", "locked until"],
        [
            [
                d.backup.backup_id,
                d.backup.status,
                d.backup.snapshot_at,
                "kept" if d.keep else "REMOVE",
                "; ".join(d.reasons),
                d.backup.locked_until,
            ]
            for d in decisions
        ],
    )


def _as_json(decision: "Decision", source: str) -> dict[str, Any]:
    backup = decision.backup
    return {
        "backup_id": backup.backup_id,
        "source": source,
        "status": backup.status,
        "snapshot_at": backup.snapshot_at,
        "keep": decision.keep,
        "reasons": list(decision.reasons),
        "generations": list(decision.generations),
        "needed_until": decision.until,
        "locked_until": backup.locked_until,
        "verified_in": sorted(backup.verified_in),
    }
