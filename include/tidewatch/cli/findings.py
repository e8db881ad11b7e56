"""`tidewatch findings`: what is not as it must be."""

from dataclasses import asdict
from typing import Annotated

import typer

from tidewatch.cli.common import Json, print_json, print_line, print_table, warehouse
from tidewatch.core.clock import utc_now
from tidewatch.core.errors import NotFound

app = typer.Typer(
    no_args_is_help=True,
    short_help="What is not as it must be.",
    help="Findings: opened and closed by records of the ledger.",
)


@app.command(name="list", short_help="The open ones.")
def list_findings(
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="Only of this kind, e.g. ledger.not_anchored.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Show the open findings, the oldest first. Exit code 1 when there is one.

    Example:

        tidewatch findings list
    """
    from tidewatch.evidence.findings import open_findings

    with warehouse() as conn:
        found = open_findings(conn, kind=kind)
    if as_json:
        print_json([asdict(each) for each in found])
    elif found:
        print_table(
            ["key", "severity", "since", "last seen", "times", "what"],
            [[f.key, f.severity, f.opened_at, f.last_seen_at, f.times_seen, f.said_en] for f in found],
        )
    else:
        print_line("No open findings")
    return 1 if found else 0


@app.command(short_help="Close one by a person's word.")
def close(
    key: Annotated[str, typer.Argument(metavar="KEY", help="As `tidewatch findings list` shows it.")],
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who says that it is gone.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, in a sentence.")],
) -> int:
    """Close a finding that nothing else will close. Most close by themselves once a later check passes.

    What is found again is opened again. A finding of a restore test is closed by a later test that passes,
    and by hand only once its source or region is no longer in config/.

    Example:

        tidewatch findings close ledger.not_anchored/cn-west --by "Li Wei" --reason "region given up"
    """
    from tidewatch.core.settings import load_settings
    from tidewatch.evidence.by_hand import close_by_hand

    with warehouse() as conn:
        closed = close_by_hand(conn, load_settings(), key, by=by, why=reason, now=utc_now())
    if closed is None:
        raise NotFound(
            f"There is no open finding {key!r}",
            expected="the key of one that is open",
            found="none",
            do="copy the key from `tidewatch findings list`",
        )
    print_line(f"Closed {closed.key}, open since {closed.opened_at:%Y-%m-%d %H:%M}Z")
    return 0
