"""`tidewatch region`: what each region really does."""

from typing import TYPE_CHECKING, Annotated

import typer

from tidewatch.cli.common import Json, print_json, print_line, print_table, regions, say, settings
from tidewatch.core.clock import utc_now
from tidewatch.core.connections import from_environment

if TYPE_CHECKING:
    from tidewatch.backup.asking import Answer
    from tidewatch.backup.probe import ProbeReport

app = typer.Typer(
    no_args_is_help=True,
    short_help="What each region honours, tried out.",
    help="Regions: what each store honours, tried and not believed.",
)


@app.callback()
def _group() -> None:
    """Keep `probe` a sub-command although it is the only one."""


@app.command()
def probe(
    region: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="REGION", help="Names from config/regions.yaml; none: all.", show_default=False
        ),
    ] = None,
    record: Annotated[
        bool,
        typer.Option(
            "--record", help="Keep the answers in catalogue and ledger; send a notice of what is lacking."
        ),
    ] = False,
    as_json: Json = False,
) -> int:
    """Try what a backup rests on.

    Asked are bucket, versioning, object lock, conditional writes, checksums and clock. Leaves at most one
    tiny locked object a day under PREFIX/probes/. Exit code 1 when something is lacking that a backup needs,
    or a region does not answer.

    Examples:

        tidewatch region probe

        tidewatch region probe cn-east --json
    """
    from tidewatch.backup.context import build_context
    from tidewatch.backup.probe import probe as probe_region
    from tidewatch.backup.probe import record_probe

    chosen = regions(region or [])
    context = build_context(settings(), from_environment, clock=utc_now) if record else None
    reports = []
    for each in chosen:
        say(f"{each.name}: asking")
        reports.append(probe_region(each, utc_now()))
    if as_json:
        print_json([report.to_json() for report in reports])
    else:
        _print(reports)
    if context:  # after printing: what was found out is not lost with the database
        for report in reports:
            record_probe(context, report)
    return 0 if all(report.usable for report in reports) else 1


def _print(reports: "list[ProbeReport]") -> None:
    print_table(
        ["region", "question", "answer", "", "detail"],
        [[r.region, a.question, a.answer, _mark(a), a.detail] for r in reports for a in r.answers],
    )
    for report in reports:
        lacking = ", ".join(report.lacking)
        print_line(f"{report.region}: " + (f"LACKS {lacking}" if lacking else "usable"))


def _mark(answer: "Answer") -> str:
    if answer.ok:
        return "ok"
    return "LACKING" if answer.required else "made up for"
