"""`tidewatch holds`: what must not be removed until somebody lifts the hold."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidewatch.cli.common import Json, moment, print_json, print_line, print_table, say, settings, warehouse
from tidewatch.core.clock import utc_now
from tidewatch.core.connections import from_environment

if TYPE_CHECKING:
    from tidewatch.backup.context import BackupContext
    from tidewatch.backup.retention.holds import Hold, Placed
    from tidewatch.backup.retention.protect import Protection

app = typer.Typer(
    no_args_is_help=True,
    short_help="Legal holds: place, list, lift.",
    help="Legal holds: what must not be removed until somebody lifts the hold.",
)

By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who acts: a person whom an auditor can ask.")]
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, in a sentence.")]


@app.command(short_help="Hold one backup, or all of a span of time.")
def place(
    source: Annotated[str, typer.Option(metavar="NAME", help="The source whose backups are held.")],
    holder: Annotated[
        str, typer.Option(metavar="NAME", help="Whose hold it is: a department, an authority.")
    ],
    reason: Why,
    by: By,
    backup: Annotated[
        str | None, typer.Option(metavar="BACKUP", help="Only this one; without it, all of the span.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Snapshots from here on; default: the first.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Snapshots before this; default: also those still to come."),
    ] = None,
    as_json: Json = False,
) -> int:
    """From now on nothing that the hold covers is removed, whatever config/retention.yaml says.

    It is recorded in the ledger, and every region is asked to protect the objects: by the legal hold of S3
    where the store keeps what it promises, else by a longer lock. The same hold again changes nothing. Exit
    code 1 when a region could not be asked: `expire_backups` asks again daily, and so does `apply`.

    Examples:

        tidewatch holds place --source ops --from 2026-01-01T00:00+08:00 --until 2026-04-01T00:00+08:00
        --holder "Legal" --reason "case 2026-17" --by "Li Wei"
    """
    from tidewatch.backup.retention import holds

    placed = holds.place(
        _context(),
        source=source,
        holder=holder,
        reason=reason,
        by=by,
        backup_id=backup,
        span_from=moment(since),
        span_until=moment(until),
    )
    return _say(placed, f"{placed.hold.hold_id} holds {placed.backups} backups of {source}.", as_json)


@app.command(short_help="End a hold.")
def lift(
    hold_id: Annotated[str, typer.Argument(metavar="HOLD", help="As `tidewatch holds list` shows it.")],
    reason: Why,
    by: By,
    as_json: Json = False,
) -> int:
    """What it covered is kept for as long as generations and locks say. The ledger keeps the record.

    Example:

        tidewatch holds lift hold-20261122T080000Z-1a2b3c4d --reason "settled" --by "Li Wei"
    """
    from tidewatch.backup.retention import holds

    lifted = holds.lift(_context(), hold_id, by=by, reason=reason)
    return _say(lifted, f"{hold_id} is lifted.", as_json)


@app.command(short_help="Say that every hold stands again.")
def confirm(reason: Why, by: By) -> int:
    """Holds are not in the regions. After `tidewatch catalog rebuild` of a lost database nothing expires
    until they are placed again and somebody says so here, also when there were none.

    Example:

        tidewatch holds confirm --reason "as in Legal's list of 2026-11" --by "Li Wei"
    """
    from tidewatch.backup.retention import holds

    in_force = holds.confirm(_context(), by=by, reason=reason)
    print_line(f"{in_force} holds are in force.")
    return 0


@app.command(name="apply", short_help="Have every region protect what is held.")
def apply_holds(as_json: Json = False) -> int:
    """What `expire_backups` does daily: protects what is held in every region, and releases what is not.

    Example:

        tidewatch holds apply
    """
    from tidewatch.backup.retention.protect import protect

    answers = protect(_context())
    if as_json:
        print_json([a.as_dict() for a in answers])
    else:
        _print_regions(answers)
    return 0 if all(a.problem is None for a in answers) else 1


@app.command(name="list")
def list_holds(
    source: Annotated[str | None, typer.Option(metavar="NAME", help="Only this source.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were lifted.")] = False,
    as_json: Json = False,
) -> int:
    """The holds in force, the oldest first.

    Example:

        tidewatch holds list --all
    """
    from tidewatch.backup.retention.facts import holds

    with warehouse() as conn:
        found = holds(conn, source=source, lifted=everything)
    if as_json:
        print_json([asdict(h) for h in found])
    elif not found:
        print_line("There is no hold." if everything else "There is no hold in force.")
    else:
        print_table(
            ["hold", "covers", "holder", "reason", "placed", "by", "lifted"],
            [
                [h.hold_id, _covers(h), h.holder, h.reason, h.placed_at, h.placed_by, _lifted(h)]
                for h in found
            ],
        )
    return 0


def _context() -> "BackupContext":
    from tidewatch.backup.context import build_context

    return build_context(settings(), from_environment, clock=utc_now, progress=say)


def _covers(hold: "Hold") -> str:
    if hold.backup_id is not None:
        return hold.backup_id
    since = f"{hold.span_from:%Y-%m-%d %H:%MZ}" if hold.span_from else "the first"
    until = f"{hold.span_until:%Y-%m-%d %H:%MZ}" if hold.span_until else "those to come"
    return f"{hold.source}, {since} to {until}"


def _lifted(hold: "Hold") -> str | None:
    if hold.lifted_at is None:
        return None
    return f"{hold.lifted_at:%Y-%m-%d} by {hold.lifted_by}: {hold.lift_reason}"


def _say(placed: "Placed", sentence: str, as_json: bool) -> int:
    if as_json:
        value: dict[str, Any] = {"hold": asdict(placed.hold), "backups": placed.backups}
        print_json({**value, "regions": [r.as_dict() for r in placed.regions]})
    else:
        print_line(sentence)
        _print_regions(placed.regions)
    return 0 if all(r.problem is None for r in placed.regions) else 1


def _print_regions(answers: "list[Protection] | tuple[Protection, ...]") -> None:
    for each in answers:
        if each.problem:
            print_line(f"- {each.region}: not done yet, it is tried again daily: {each.problem}")
        elif each.means == "legal_hold":
            print_line(f"- {each.region}: {each.objects} object versions under the store's legal hold")
        elif each.means == "retention":
            end = f"{each.until:%Y-%m-%d}" if each.until else "-"
            print_line(
                f"- {each.region}: {each.objects} object versions locked until {end}, extended in time"
            )
        else:
            print_line(f"- {each.region}: nothing is held ({each.released} released)")
