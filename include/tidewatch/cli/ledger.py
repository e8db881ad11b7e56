"""`tidewatch ledger`: does the evidence hold together?"""

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from tidewatch.backup.anchors import Anchor, newest_anchor
from tidewatch.cli.common import Json, print_json, print_line, regions, settings, warehouse
from tidewatch.core.signing import KeyRing
from tidewatch.evidence.chains import NewChain, chain_before
from tidewatch.evidence.export import entries
from tidewatch.evidence.verify import LedgerReport
from tidewatch.evidence.verify import verify as verify_ledger

app = typer.Typer(
    no_args_is_help=True,
    short_help="The evidence: verify it, print it.",
    help="The evidence ledger: append-only, gapless, hash-chained.",
)


@app.command()
def verify(
    region: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Compare with the newest signed head in this region, too."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Recompute every hash and link.

    Exit code 1 when a record was altered, cut or inserted.

    With --region the chain must also contain the newest head that anchors and manifests in that region
    carry: only a head kept elsewhere shows that the end of the chain was cut or rewritten. Exit code 1, too,
    when there is nothing to compare with: no anchor and no manifest yet, one whose signature does not fit, a
    region that does not answer. Heads of a chain that was lost with its database (docs/ledger.md) are named,
    not compared.

    Example:

        tidewatch ledger verify --region cn-north
    """
    with warehouse() as conn:
        chain = chain_before(conn)
    anchor, lacking = _anchor(region, chain) if region else (None, [])
    with warehouse() as conn:
        report = verify_ledger(conn, expect=anchor.head if anchor else None)
    ok = report.ok and not lacking
    if as_json:
        problems = [*report.problems, *lacking]
        print_json(
            {
                **asdict(report),
                "ok": ok,
                "problems": problems,
                "anchor": anchor and asdict(anchor),
                "chain_before": chain and chain.before.model_dump(mode="json"),
            }
        )
    else:
        _print(report, anchor, lacking)
        if chain:
            print_line(chain.sentence)
            if region and not anchor and not lacking:
                print_line(
                    f"Nothing in {region} carries a head of this chain yet: run `tidewatch evidence anchor`"
                )
    return 0 if ok else 1


def _print(report: LedgerReport, anchor: Anchor | None, lacking: list[str]) -> None:
    state = "intact" if report.ok else "BROKEN"
    print_line(f"The ledger is {state}: {report.records} records, head {report.head.seq} {report.head.hash}")
    for problem in report.problems:
        print_line(f"- {problem}")
    if anchor:
        print_line(f"Compared with record {anchor.head.seq}, signed in {anchor.carrier} in {anchor.region}")
    elif lacking:
        print("NOT COMPARED with a head kept elsewhere:")
    else:
        print("Checked in itself only; --region NAME compares with a head kept elsewhere.")
    for problem in lacking:
        print_line(f"- {problem}")


def _anchor(name: str, chain: NewChain | None) -> tuple[Anchor | None, list[str]]:
    """Asked before the ledger is read: the chain may grow in between, and must not shrink."""
    key = KeyRing.load(settings().verify_key_file)
    (region,) = regions([name])
    return newest_anchor(region, key, chain)


@app.command(name="list")
def list_records(
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="Only records of this kind, e.g. backup.committed.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only records about this subject, e.g. a backup's id.")
    ] = None,
    since: Annotated[int, typer.Option(metavar="SEQ", min=1, help="Begin with this record.")] = 1,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write to this file, replacing it whole, instead of printing."),
    ] = None,
) -> int:
    """Print the records, one JSON text a line.

    Each line is exactly the text that was hashed (UTF-8), so that `sha256sum` of a line without its line
    break is the record's hash. docs/ledger.md shows how to check the chain without Tidewatch.

    Examples:

        tidewatch ledger list --kind backup.committed

        tidewatch ledger list --output evidence.jsonl
    """
    with warehouse() as conn:
        lines = entries(conn, since, kind, subject)
        if output is None:
            if isinstance(sys.stdout, TextIOWrapper):
                sys.stdout.reconfigure(encoding="utf-8")  # what was hashed, whatever the terminal speaks
            for line in lines:
                print(line)
        else:
            _write(output, lines)
    return 0


def _write(target: Path, lines: Iterator[str]) -> None:
    """Whole or not at all: an export that stops half-way leaves what was there before."""
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
