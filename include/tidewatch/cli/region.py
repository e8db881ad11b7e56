"""`tidewatch region`: what each region really does."""

from typing import Annotated

import typer

from tidewatch.cli.common import Json, print_json, print_table, regions, settings
from tidewatch.core.clock import utc_now
from tidewatch.core.connections import from_environment

app = typer.Typer(no_args_is_help=True, help="Regions: what each store honours, tried and not believed.")


@app.callback()
def _group() -> None:
    """Keep `probe` a sub-command although it is the only one."""


@app.command()
def probe(
    region: Annotated[
        list[str] | None, typer.Argument(help="Names from config/regions.yaml; none: all.")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Keep the answers in the catalogue and the ledger.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Try what a backup rests on: bucket, versioning, object lock, conditional writes, checksums, clock.

    Leaves at most one tiny locked object a day under PREFIX/probes/. Exit code 1 when something is missing
    that a backup needs.
    """
    from tidewatch.backup.context import build_context
    from tidewatch.backup.probe import probe as probe_region
    from tidewatch.backup.probe import record_probe

    reports = [probe_region(r, utc_now()) for r in regions(region or [])]
    if record:
        context = build_context(settings(), from_environment, clock=utc_now)
        for report in reports:
            record_probe(context, report)
    if as_json:
        print_json([report.to_json() for report in reports])
    else:
        print_table(
            ["region", "question", "answer", "detail"],
            [[r.region, a.question, a.answer, a.detail] for r in reports for a in r.answers],
        )
    return 0 if all(report.usable for report in reports) else 1
