"""`tidewatch report`: what a month can show, for whoever audits it."""

from pathlib import Path
from typing import Annotated

import typer

from tidewatch.cli.common import Json, print_json, print_line, say, settings, warehouse_session
from tidewatch.core import connections
from tidewatch.core.clock import utc_now
from tidewatch.core.regions import open_regions
from tidewatch.evidence.report import make as making
from tidewatch.evidence.report import store

app = typer.Typer(
    no_args_is_help=True,
    short_help="Reports for those who audit.",
    help="Reports: kept as versions, their digests recorded in the ledger.",
)


@app.callback()
def _group() -> None:
    """Keeps `compliance` a command of its own while it is the only one."""


@app.command(short_help="Make the compliance report of a month.")
def compliance(
    month: Annotated[
        str, typer.Option("--month", metavar="YYYY-MM", help="The month, by the clock of config/report.yaml.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Copy the files into this directory, too."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Make the compliance report of a month: HTML and PDF in Chinese and English, CSV, JSON.

    A day of a source without a backup becomes a finding. The files are kept under the state directory, and
    their SHA-256 are recorded in the ledger. The same facts give the same report, byte by byte; when facts
    have changed since, a new version is made and the old one stays.

    Exit code 1 when something is missing: a day without its backup, a source never tried, a region from
    which nothing was restored.

    Example:

        tidewatch report compliance --month 2026-11 --out /srv/audit/2026-11
    """
    context = making.build_context(
        settings(),
        warehouse_session,
        lambda file: open_regions(file, connections.from_environment, strict=False),
        clock=utc_now,
        progress=say,
    )
    made = making.make(context, month)
    if out is not None:
        store.hand_out(out, made.files)
    making.copy_to_regions(context, made)
    if as_json:
        print_json(made.as_dict())
    else:
        print_line(
            f"Compliance report of {made.month}, version {made.number} "
            f"({'made now' if made.new else 'as before'}): {made.directory}"
        )
        print_line(f"{len(made.facts.backups)} backups; {made.missing} days of sources without one")
        for gap in made.gaps:
            print_line(f"- {gap.said_en}")
        print_line(f"SHA-256 of the facts: {made.facts_sha256}")
    return 1 if made.gaps else 0
