"""Legal holds: placed and lifted by people, with holder and reason. Console and command line call here.

A hold counts from the transaction that records it (vault.holds and the ledger): from then on nothing that it
covers is removed by us. What the regions do about it is `protect`; it is tried again daily until it is done.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime

from tidewatch.backup.context import BackupContext
from tidewatch.backup.retention.facts import facts_of, holds
from tidewatch.backup.retention.plan import Hold
from tidewatch.backup.retention.protect import Protection, protect
from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import ConfigError, IntegrityError, NotFound
from tidewatch.core.plain import shows
from tidewatch.evidence import ledger, schemas
from tidewatch.evidence.chains import NewChain, chain_before
from tidewatch.vault import catalogue

__all__ = ["Hold", "Placed", "confirm", "holds", "lift", "place", "unconfirmed"]

_HOLDER, _REASON = 200, 2000


@dataclass(frozen=True)
class Placed:
    """A hold that was placed or lifted, how many backups it covers now, and what protects them where."""

    hold: Hold
    backups: int
    regions: tuple[Protection, ...]


def place(
    ctx: BackupContext,
    *,
    source: str,
    holder: str,
    reason: str,
    by: str,
    backup_id: str | None = None,
    span_from: datetime | None = None,
    span_until: datetime | None = None,
) -> Placed:
    """Hold one backup, or all of the source whose snapshots lie in the span, those to come included.

    `holder`: whose hold it is (a department, an authority), `by`: the person who places it. The same hold
    again changes nothing. Raises ConfigError (nobody, no reason, an empty span), NotFound (no such source or
    backup), IntegrityError (that backup is expired: its removal has begun).
    """
    holder, reason, by = (
        _given("holder", holder, _HOLDER),
        _given("reason", reason, _REASON),
        _given("by", by),
    )
    span_from, span_until = (require_utc(t) if t else None for t in (span_from, span_until))
    _require_span(backup_id, span_from, span_until)
    now = ctx.now()
    values = {
        "source": source,
        "backup_id": backup_id,
        "span_from": span_from,
        "span_until": span_until,
        "holder": holder,
        "reason": reason,
    }
    with ctx.connect() as conn:
        execute(conn, "retention/guard_holds")
        same = execute(conn, "retention/same_hold", values).fetchone()
        if same is None:
            _require_something(ctx, conn, source, backup_id)
            hold_id = f"hold-{require_utc(now):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
            execute(
                conn,
                "retention/place_hold",
                {**values, "hold_id": hold_id, "placed_at": now, "placed_by": by},
            )
            hold = _get(conn, hold_id)
            body = schemas.HoldPlaced.model_validate(
                {
                    **values,
                    "hold_id": hold_id,
                    "placed_by": by,
                    "placed_at": now,
                    "backups": _covered(ctx, conn, hold),
                }
            )
            ledger.append(conn, kind=body.KIND, subject=hold_id, body=body, now=now)
        else:
            hold = _get(conn, same["hold_id"])
        covered = _covered(ctx, conn, hold)
    return Placed(hold, covered, tuple(protect(ctx)))


def lift(ctx: BackupContext, hold_id: str, *, by: str, reason: str) -> Placed:
    """End a hold. The same word again changes nothing. Raises NotFound, ConfigError, IntegrityError (it was
    lifted by somebody else)."""
    by, reason = _given("by", by), _given("reason", reason, _REASON)
    now = ctx.now()
    with ctx.connect() as conn:
        execute(conn, "retention/guard_holds")
        hold = _get(conn, hold_id)
        if hold.lifted_at is None:
            execute(conn, "retention/lift_hold", {"hold_id": hold_id, "by": by, "reason": reason, "now": now})
            hold = _get(conn, hold_id)
            body = schemas.HoldLifted.model_validate(
                {
                    "hold_id": hold_id,
                    "source": hold.source,
                    "holder": hold.holder,
                    "lifted_by": by,
                    "reason": reason,
                    "lifted_at": hold.lifted_at,
                }
            )
            ledger.append(conn, kind=body.KIND, subject=hold_id, body=body, now=now)
        elif (hold.lifted_by, hold.lift_reason) != (by, reason):
            raise IntegrityError(
                f"The hold {hold_id} is lifted already",
                expected="a hold in force",
                found=f"lifted by {hold.lifted_by} on {hold.lifted_at:%Y-%m-%d}",
                do="nothing; if it is wanted again, place a new one",
            )
    return Placed(hold, 0, tuple(protect(ctx)))


def confirm(ctx: BackupContext, *, by: str, reason: str) -> int:
    """Say that every legal hold stands again after the database was lost; how many are in force.

    Until somebody does, nothing expires. Without such a loss, and said again, it changes nothing. Raises
    ConfigError.
    """
    by, reason = _given("by", by), _given("reason", reason, _REASON)
    with ctx.connect() as conn:
        execute(conn, "retention/guard_holds")
        in_force = len(holds(conn))
        if (lost := unconfirmed(conn)) is not None:
            body = schemas.HoldsConfirmed.model_validate(
                {"chain_before": lost.seq, "holds": in_force, "by": by, "reason": reason}
            )
            ledger.append(conn, kind=body.KIND, subject="holds", body=body, now=ctx.now())
    return in_force


def unconfirmed(conn: Connection) -> NewChain | None:
    """The loss of a database after which nobody has confirmed the holds yet."""
    lost = chain_before(conn)
    if lost is None or any(r.seq > lost.seq for r in ledger.records(conn, kind=schemas.HoldsConfirmed.KIND)):
        return None
    return lost


def _given(name: str, value: str, longest: int = 200) -> str:
    value = value.strip()
    if not shows(value) or len(value) > longest:
        raise ConfigError(
            f"Of a legal hold, `{name}` is missing or too long",
            expected=f"1 to {longest} characters that can be seen",
            found=f"{len(value)}",
            do="say whose hold it is, why, and who places or lifts it",
        )
    return value


def _require_span(backup_id: str | None, since: datetime | None, until: datetime | None) -> None:
    if backup_id is not None and (since is not None or until is not None):
        raise ConfigError(
            "A hold covers one backup or a span of time",
            expected="a backup, or from and until",
            found="both",
            do="leave one out",
        )
    if since is not None and until is not None and until <= since:
        raise ConfigError(
            "A hold's span is empty",
            expected="an end after its beginning",
            found=f"{since:%Y-%m-%d %H:%M}Z to {until:%Y-%m-%d %H:%M}Z",
            do="exchange them, or leave the end out to cover what is still to come",
        )


def _require_something(ctx: BackupContext, conn: Connection, source: str, backup_id: str | None) -> None:
    if backup_id is None:
        known = {s.name for s in ctx.sources.sources}
        if source not in known and not catalogue.list_backups(conn, source=source, n=1):
            raise NotFound(
                f"There is no source {source}",
                expected=", ".join(sorted(known)),
                found=source,
                do="`tidewatch backup list` shows sources that are no longer configured too",
            )
        return
    row = catalogue.get(conn, backup_id)
    if row.source != source:
        raise NotFound(
            f"Backup {backup_id} is not one of {source}",
            expected=f"a backup of {source}",
            found=f"one of {row.source}",
            do="give the source that the id names",
        )
    if row.expired_at is not None or row.manifest_sha256 is None:
        raise IntegrityError(
            f"There is nothing to hold of {backup_id}",
            expected="a backup that is kept",
            found=f"its removal began on {row.expired_at:%Y-%m-%d}"
            if row.expired_at
            else f"status {row.status}",
            do="choose another backup: `tidewatch backup list`",
        )


def _get(conn: Connection, hold_id: str) -> Hold:
    found = next((h for h in holds(conn, lifted=True) if h.hold_id == hold_id), None)
    if found is None:
        raise NotFound(
            f"There is no hold {hold_id}",
            expected="the id of a hold",
            found=hold_id,
            do="`tidewatch holds list --all` shows all",
        )
    return found


def _covered(ctx: BackupContext, conn: Connection, hold: Hold) -> int:
    known = [f.known for f in facts_of(conn, hold.source, [r.name for r in ctx.regions])]
    return sum(hold.covers(k.backup_id, k.snapshot_at) for k in known)
