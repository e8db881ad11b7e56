"""`tidewatch evidence`: hand the ledger out, and pin it in the regions."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from tidewatch.cli.common import Json, print_json, print_line, say, settings, warehouse
from tidewatch.core.clock import utc_now
from tidewatch.core.connections import from_environment
from tidewatch.core.signing import KeyRing, SigningKey

app = typer.Typer(
    no_args_is_help=True,
    short_help="Anchor the ledger, export it for an audit.",
    help="The evidence: anchored in every region, exported for whoever checks it (docs/evidence.md).",
)


@app.command(short_help="Write the signed head into every region.")
def anchor(
    why: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why now.")] = "by hand",
    as_json: Json = False,
) -> int:
    """Sign the head of the ledger and write it into every region: once, locked, read back.

    The Dag `anchor_ledger` does so every day. Doing it again is harmless. Exit code 1 when a region does not
    have it; that is a finding until it has (`tidewatch findings list`).

    Example:

        tidewatch evidence anchor --reason "before the audit"
    """
    from tidewatch.backup.context import build_context
    from tidewatch.backup.probe import learn
    from tidewatch.evidence.anchoring import anchor as anchor_ledger

    context = build_context(settings(), from_environment, clock=utc_now, progress=say)
    with closing(context.connect()) as conn:
        learn(context, conn)
        conn.commit()
        done = anchor_ledger(conn, context.regions, context.signing_key, context.now(), why)
    if as_json:
        shown = done and {
            "seq": done.head.seq,
            "hash": done.head.hash,
            "places": [place.model_dump(mode="json") for place in done.places],
        }
        print_json(shown)
    elif done is None:
        print_line("The ledger has no record yet: there is nothing to anchor")
    else:
        print_line(f"Record {done.head.seq} {done.head.hash}")
        for place in done.places:
            said = f"locked until {place.retain_until:%Y-%m-%d}" if place.retain_until else place.error
            print_line(f"- {place.place.region}: {place.state}, {said}")
    return 0 if done is None or not done.missing else 1


@app.command(short_help="Write what an auditor needs into one file.")
def export(
    target: Annotated[Path, typer.Argument(metavar="DIR|ZIP", help="A name that is free, or a .zip.")],
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who takes it out, or asked for it.")],
    as_json: Json = False,
) -> int:
    """Export the ledger with the public keys and the stand-alone verifier; signed.

    The export is recorded (evidence.exported). Anchor first, so that the regions pin its last record.

    Example:

        tidewatch evidence export evidence-2026-11.zip --by "Li Wei"
    """
    from tidewatch.evidence.export import export as export_ledger

    here = settings()
    key, ring = SigningKey.load(here.signing_key_file), KeyRing.load(here.verify_key_file)
    with warehouse() as conn:
        done = export_ledger(conn, target, key, ring, by=by, now=utc_now())
    if as_json:
        print_json(
            {
                "target": str(done.target),
                "records": done.records,
                "seq": done.head.seq,
                "hash": done.head.hash,
                "manifest_sha256": done.manifest_sha256,
                "fingerprints": [k.fingerprint for k in ring.with_key(key.public).keys],
            }
        )
    else:
        print_line(f"{done.records} records, up to {done.head.seq} {done.head.hash}, are in {done.target}")
        print_line(f"SHA-256 of export.json: {done.manifest_sha256}")
        print_line(f"Signed by the key with the fingerprint {key.public.fingerprint}")
    return 0
