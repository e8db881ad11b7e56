"""`tidewatch ledger`: does the evidence hold together?"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tidewatch.cli.common import Json, print_json, settings, warehouse
from tidewatch.core.regions import Region
from tidewatch.core.signing import VerifyKey
from tidewatch.evidence import ledger
from tidewatch.evidence.anchor import SignedHead, verify_head
from tidewatch.evidence.record import Head, Record, entry_text
from tidewatch.evidence.verify import verify as verify_ledger
from tidewatch.vault import catalogue
from tidewatch.vault.manifest import open_manifest

app = typer.Typer(no_args_is_help=True, help="The evidence ledger: append-only, gapless, hash-chained.")


@app.command()
def verify(
    region: Annotated[
        str | None,
        typer.Option(help="Compare also with the signed head in the newest manifest of this region."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Recompute every hash and link of the ledger. Exit code 1 when something was changed, cut or inserted.

    With --region the chain must also still contain the head that the newest backup's manifest carries there:
    only a head kept elsewhere shows that the end of the chain was cut or rewritten.
    """
    expect, anchor = _anchor(region) if region else (None, None)
    with warehouse() as conn:
        report = verify_ledger(conn, expect=expect)
    if as_json:
        print_json({**asdict(report), "anchor": anchor})
    else:
        state = "intact" if report.ok else "BROKEN"
        print(f"The ledger is {state}: {report.records} records, head {report.head.seq} {report.head.hash}")
        if anchor:
            print(f"Anchored by {anchor}")
        for problem in report.problems:
            print(f"- {problem}")
    return 0 if report.ok else 1


def _anchor(region_name: str) -> tuple[Head | None, str | None]:
    """The head in the newest manifest of the region, checked with our public key."""
    from tidewatch.cli.common import regions

    key = VerifyKey.load(settings().verify_key_file)
    (region,) = regions([region_name])
    with warehouse() as conn:
        newest = catalogue.list_backups(conn, statuses=catalogue.GOOD, n=1)
    if not newest:
        return None, None
    return _head_in(region, newest[0].source, newest[0].backup_id, key)


def _head_in(region: Region, source: str, backup_id: str, key: VerifyKey) -> tuple[Head | None, str]:
    from tidewatch.vault.layout import BackupPath

    path = BackupPath(region.config.prefix, source, backup_id)
    manifest = open_manifest(region.store.read(path.manifest_key), key)
    where = f"manifest of {backup_id} in {region.name}"
    if manifest.ledger_head is None:
        return None, f"{where}, which carries no head"
    signed = SignedHead.model_validate(manifest.ledger_head)
    verify_head(signed, key)
    return Head(signed.seq, signed.hash), where


@app.command(name="list")
def list_records(
    kind: Annotated[
        str | None, typer.Option(help="Only records of this kind, e.g. backup.committed.")
    ] = None,
    subject: Annotated[str | None, typer.Option(help="Only records about this subject.")] = None,
    since: Annotated[int, typer.Option(help="Begin with this seq.")] = 1,
    output: Annotated[Path | None, typer.Option(help="Write to this file instead.")] = None,
) -> int:
    """Print the records as JSON lines, each exactly the text that was hashed."""
    with warehouse() as conn:
        lines = (_entry(record) for record in ledger.records(conn, since, kind, subject))
        if output is None:
            for line in lines:
                print(line)
        else:
            with output.open("w", encoding="utf-8") as file:
                file.writelines(line + "\n" for line in lines)
    return 0


def _entry(record: Record) -> str:
    return entry_text(record.seq, record.at, record.kind, record.subject, record.body, record.prev)
