"""The steps of a backup between staging and commit, kept in the database so that a killed run goes on."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from tidewatch.backup.gate import GateVerdict
from tidewatch.core.database import Connection, execute
from tidewatch.vault.manifest import CopyEntry


@dataclass(frozen=True)
class Reached:
    """What is done already; None for what is not."""

    copies: list[CopyEntry] | None
    gate: GateVerdict | None
    manifest: bytes | None


def reached(conn: Connection, backup_id: str) -> Reached:
    """How far `backup_id` has come."""
    row = execute(conn, "backup/get_progress", {"backup_id": backup_id}).fetchone()
    if row is None:
        return Reached(None, None, None)
    copies = row["copies"]
    return Reached(
        None if copies is None else [CopyEntry.model_validate(c) for c in copies],
        None if row["gate"] is None else _gate(backup_id, row["gate"]),
        None if row["manifest"] is None else bytes(row["manifest"]),
    )


def put_copies(conn: Connection, backup_id: str, copies: Sequence[CopyEntry]) -> None:
    """Keep what each region proved."""
    values = Jsonb([c.model_dump(mode="json") for c in copies])
    execute(conn, "backup/put_copies", {"backup_id": backup_id, "copies": values})


def put_gate(conn: Connection, verdict: GateVerdict) -> None:
    """Keep what the gate said."""
    value = Jsonb(
        {
            "passed": verdict.passed,
            "failures": list(verdict.failures),
            "warnings": list(verdict.warnings),
            "docs": verdict.docs,
        }
    )
    execute(conn, "backup/put_gate", {"backup_id": verdict.backup_id, "gate": value})


def put_manifest(conn: Connection, backup_id: str, signed: bytes) -> None:
    """Keep the signed bytes; they are the only ones that will ever be sent for this backup."""
    execute(conn, "backup/put_manifest", {"backup_id": backup_id, "manifest": signed})


def forget(conn: Connection, backup_id: str) -> None:
    """The backup is committed: the catalogue and the regions have it all."""
    execute(conn, "backup/forget_progress", {"backup_id": backup_id})


def _gate(backup_id: str, value: dict[str, object]) -> GateVerdict:
    failures, warnings, docs = value["failures"], value["warnings"], value["docs"]
    return GateVerdict(
        backup_id,
        bool(value["passed"]),
        tuple(map(str, failures if isinstance(failures, list) else [])),
        tuple(map(str, warnings if isinstance(warnings, list) else [])),
        None if docs is None else str(docs),
    )
