"""`tidewatch backup`: which backups there are, what is in one, whether its copies still hold."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from tidewatch.cli.common import (
    Json,
    print_json,
    print_line,
    print_table,
    regions,
    say,
    settings,
    warehouse,
)
from tidewatch.cli.common import show as show_cell
from tidewatch.cli.failures import complain
from tidewatch.core.clock import utc_now
from tidewatch.core.database import Connection
from tidewatch.core.errors import NotFound
from tidewatch.core.keysfile import read_keys_file
from tidewatch.core.progress import human_bytes
from tidewatch.core.signing import KeyRing
from tidewatch.evidence import ledger
from tidewatch.vault import catalogue
from tidewatch.vault.catalogue import Backup, Copy
from tidewatch.vault.verify import CopyReport, of_its_regions, verify_copy

app = typer.Typer(
    no_args_is_help=True,
    short_help="List, show, verify; decide on suspects.",
    help="Backups: which there are, what is in one, whether its copies still hold.",
)

_LATEST = "latest:"
_LATEST_OF: tuple[catalogue.Status, ...] = (*catalogue.GOOD, "suspect")

BackupId = Annotated[
    str,
    typer.Argument(
        metavar="BACKUP",
        help="As `tidewatch backup list` shows it; latest:SOURCE is the newest of a source that is good "
        "or waits for a decision.",
    ),
]


@app.command(name="list")
def list_backups(
    source: Annotated[str | None, typer.Option(metavar="NAME", help="Only this source.")] = None,
    number: Annotated[int, typer.Option("--number", "-n", metavar="N", min=1, help="At most so many.")] = 20,
    as_json: Json = False,
) -> int:
    """The newest backups, from the catalogue.

    Statuses: sealed (verified in every region), degraded (a region is lacking; `heal_copies` completes it),
    suspect (the gate refused it: accept or reject it), accepted, rejected, failed, abandoned; staging and
    staged while it is made. An expired one is removed from the regions, `tidewatch retention` says why; its
    row stays. The time in a name is when it began, UTC.

    Example:

        tidewatch backup list --source ops -n 5
    """
    with warehouse() as conn:
        rows = catalogue.list_backups(conn, source=source, n=number)
        verified = {
            row.backup_id: [] if row.expired_at else _verified(catalogue.copies(conn, row.backup_id))
            for row in rows
        }
    if as_json:
        print_json([{**_summary(row), "verified_in": verified[row.backup_id]} for row in rows])
        return 0
    if not rows:
        print_line(f"There is no backup of {source} yet." if source else "There is no backup yet.")
        return 0
    print_table(
        ["backup", "status", "contents", "read", "stored anew", "verified in"],
        [
            [
                row.backup_id,
                f"{row.status}, expired {row.expired_at:%Y-%m-%d}" if row.expired_at else row.status,
                _contents(row),
                human_bytes(row.totals.plain_size),
                human_bytes(row.totals.new_cipher_size),
                " ".join(verified[row.backup_id]) or "-",
            ]
            for row in rows
        ],
    )
    return 0


@app.command()
def show(backup_id: BackupId, as_json: Json = False) -> int:
    """Everything about one backup.

    Objects, tables, copies with their locks, the gate's word, as the catalogue knows them; `--json` adds the
    whole manifest with every file. `verify` asks the regions themselves.

    Example:

        tidewatch backup show latest:ops
    """
    with warehouse() as conn:
        backup = catalogue.get(conn, _resolve(backup_id, conn))
        copies = catalogue.copies(conn, backup.backup_id)
        keys = _keys(conn, backup)
    if as_json:
        print_json(
            {
                **_summary(backup),
                **keys,
                "manifest": backup.manifest.to_json() if backup.document else None,
                "copies": [asdict(c) for c in copies],
            }
        )
        return 0
    for name, value in _summary(backup).items():
        print_line(f"{name:>18}: {show_cell(value)}")
    print_line(f"{'opened by':>18}: {_openers(keys['encrypted_to'])}")
    print_line(f"{'signed by':>18}: {show_cell(keys['signed_by'])}")
    _show_contents(backup)
    print_table(
        ["region", "object", "state", "lock", "retain until", "read back", "problem"],
        [
            [
                c.region,
                _name(c.object_key),
                c.state,
                c.lock_mode,
                c.retain_until,
                c.read_back_at,
                c.error,
            ]
            for c in copies
        ],
        title="Copies",
    )
    return 0


@app.command()
def verify(
    backup_id: BackupId,
    region: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this region; may be given more than once."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Trust the checksums that the store recorded; download nothing.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Read every copy back from its region.

    Each object is downloaded, hashed, and compared with the signed manifest that lies beside it; so is its
    lock. The warehouse is not needed, except for `latest:`. Exit code 1 when a copy is missing or differs, or
    a region does not answer. Nothing is changed; the Dag `heal_copies` repairs.

    Examples:

        tidewatch backup verify latest:ops

        tidewatch backup verify latest:media --region cn-east --quick
    """
    key = KeyRing.load(settings().verify_key_file)
    chosen = regions(region or [])
    resolved = _resolve(backup_id)
    reports = [
        verify_copy(r, resolved, key, now=utc_now(), mode="checksum" if quick else "full", progress=say)
        for r in chosen
    ]
    if all(r.manifest is None for r in reports):
        with warehouse() as conn:
            # Nobody shows a manifest: is there such a backup at all, and still?
            _require_kept(catalogue.get(conn, resolved))
    if not region:
        reports = of_its_regions(reports)
    if as_json:
        print_json([{"backup_id": resolved, **_report(report)} for report in reports])
    else:
        print_table(
            ["region", "verdict", "objects", "what is wrong"],
            [
                [r.region, "verified" if r.ok else "NOT VERIFIED", len(r.objects), r.wrong or "-"]
                for r in reports
            ],
            title=resolved,
        )
    return 0 if all(report.ok for report in reports) else 1


def _require_kept(backup: Backup) -> None:
    if backup.expired_at is not None:
        raise NotFound(
            f"Backup {backup.backup_id} is expired",
            expected="a backup that is kept",
            found=f"removed from the regions since {backup.expired_at:%Y-%m-%d}",
            do=f"`tidewatch ledger list --subject {backup.backup_id}`: its record backup.expired says why",
        )


Who = Annotated[
    str, typer.Option("--by", metavar="NAME", help="Who decides: a person whom an auditor can ask.")
]
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, in a sentence.")]


@app.command()
def accept(backup_id: BackupId, by: Who, reason: Why) -> int:
    """Count a suspect backup as good.

    For changes that were meant: the backup becomes the measure of the next ones. The decision is signed with
    this installation's key, kept beside the backup in the regions and in the ledger, and never undone.

    Example:

        tidewatch backup accept latest:ops --by "Li Wei" --reason "old posts were archived"
    """
    return _decide(backup_id, accept=True, by=by, reason=reason)


@app.command()
def reject(backup_id: BackupId, by: Who, reason: Why) -> int:
    """Do not count a suspect backup as good.

    It stays where it is until its lock ends. The decision is signed with this installation's key, kept
    beside the backup in the regions and in the ledger, and never undone.

    Example:

        tidewatch backup reject latest:ops --by "Li Wei" --reason "rows were lost"
    """
    return _decide(backup_id, accept=False, by=by, reason=reason)


def _decide(backup_id: str, *, accept: bool, by: str, reason: str) -> int:
    from tidewatch.backup.context import build_context
    from tidewatch.backup.decide import decide
    from tidewatch.core.connections import from_environment

    context = build_context(settings(), from_environment, clock=utc_now, progress=complain)
    resolved = _resolve(backup_id)
    decide(context, resolved, accept=accept, by=by, reason=reason)
    print_line(f"{resolved} is now {'accepted' if accept else 'rejected'}; the decision is in the ledger.")
    return 0


def _resolve(backup_id: str, conn: Connection | None = None) -> str:
    """`latest:SOURCE` -> the newest backup of it that is good or waits for a decision. The warehouse is asked
    for that only."""
    if not backup_id.startswith(_LATEST):
        return backup_id
    if conn is None:
        with warehouse() as own:
            return _resolve(backup_id, own)
    source = backup_id.removeprefix(_LATEST)
    newest = catalogue.list_backups(conn, source=source, statuses=_LATEST_OF)
    found = [row for row in newest if row.expired_at is None]
    if not found:
        raise NotFound(
            f"There is no backup of {source!r}",
            expected="a source that was backed up at least once",
            found=source or "no name",
            do="`tidewatch backup list` shows what there is",
        )
    return found[0].backup_id


def _summary(backup: Backup) -> dict[str, Any]:
    run = backup.run
    return {
        "backup_id": backup.backup_id,
        "source": backup.source,
        "status": backup.status,
        "data_class": backup.data_class,
        "started_at": backup.started_at,
        "snapshot_at": backup.snapshot_at,
        "ended_at": backup.ended_at,
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "bytes_in": backup.totals.plain_size,
        "bytes_stored": backup.totals.cipher_size,
        "bytes_new": backup.totals.new_cipher_size,
        "tables": backup.totals.tables,
        "rows": backup.totals.rows,
        "files": backup.totals.files,
        "error": backup.error,
        "decided_by": backup.decided_by,
        "decision_reason": backup.decision_reason,
        "kept_as": list(backup.generations),
        "keep_until": backup.keep_until,
        "expired_at": backup.expired_at,
    }


def _keys(conn: Connection, backup: Backup) -> dict[str, Any]:
    """Key ids of those whose identities open it, and of the key that signed its manifest, as far as the
    ledger knows."""
    record = next(ledger.records(conn, kind="backup.committed", subject=backup.backup_id), None)
    return {
        "encrypted_to": (backup.document or {}).get("encryption", {}).get("key_ids", []),
        "signed_by": record.body["signing_key_id"] if record else None,
    }


def _openers(key_ids: list[str]) -> str:
    """Any one of them does; with who holds it, where config/keys.yaml says so."""
    known = read_keys_file(settings().config_dir)
    named = [(k, known.get(k)) for k in key_ids]
    return " or ".join(f"{k} ({e.holder})" if e else k for k, e in named) or "-"


def _show_contents(backup: Backup) -> None:
    if backup.document is None:
        return
    manifest = backup.manifest
    print_table(
        ["object", "role", "bytes in", "stored", "SHA-256 of what is stored"],
        [
            [o.name, o.role, human_bytes(o.plain_size), human_bytes(o.cipher_size), o.cipher_sha256]
            for o in manifest.objects
        ],
        title="Objects",
    )
    if manifest.database:
        print_table(
            ["table", "kind", "rows", "fingerprint"],
            [[t.label, t.kind, t.rows, t.sha256] for t in manifest.database.tables],
            title="Tables",
        )
    if manifest.gate and not manifest.gate.passed:
        print("The gate refused it:")
        for failure in manifest.gate.failures:
            print_line(f"- {failure}")
    if manifest.files:
        print(f"{len(manifest.files)} files; `--json` lists them.")


def _contents(backup: Backup) -> str:
    totals = backup.totals
    if totals.files is not None:
        return f"{totals.files} files"
    return "-" if totals.rows is None else f"{totals.rows} rows"


def _verified(copies: list[Copy]) -> list[str]:
    return sorted(
        region
        for region in {c.region for c in copies}
        if all(c.state == "verified" for c in copies if c.region == region)
    )


def _report(report: CopyReport) -> dict[str, Any]:
    return {
        "region": report.region,
        "verified": report.ok,
        "objects": [a.model_dump(mode="json") for a in report.objects],
        "problem": report.wrong or None,
    }


def _name(key: str) -> str:
    return key.rpartition("/")[2]
