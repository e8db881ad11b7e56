"""The versions of the model, and which one is the champion.

A version is never changed: its bytes, what it was made from, how it was measured. The champion is the version
that scores; whoever is promoted lies on top of the one before, and a rollback brings that one back. Each step
is one transaction with a record in the ledger, so a reader sees the old champion or the new one, whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from psycopg.types.json import Jsonb

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import Busy, ConfigError, IntegrityError, NotFound
from tidewatch.core.files import replace_file
from tidewatch.core.redaction import redact
from tidewatch.evidence import ledger, schemas

MODEL_NAME = "sentiment"
LARGEST = 20 * 2**20
"""Bytes of a model file at most."""


@dataclass(frozen=True)
class Version:
    """One version as the registry has it, without its bytes. `size` in bytes; `run` has dag_id and run_id."""

    version: int
    model_sha256: str
    size: int
    dataset_sha256: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, Any]
    compared_with: int | None
    run: Mapping[str, Any] | None
    registered_at: datetime
    registered_by: str
    champion: bool


@dataclass(frozen=True)
class Champion:
    """The version that scores since `since` (UTC); `place` counts changes of the champion."""

    place: int
    version: int
    model_sha256: str
    since: datetime
    below: int | None
    by: str
    why: str
    ledger_seq: int


def register(
    conn: Connection,
    model: bytes,
    *,
    dataset_sha256: str,
    parameters: Mapping[str, Any],
    metrics: Mapping[str, Any],
    compared_with: int | None,
    run: Mapping[str, str] | None,
    by: str,
    now: datetime,
) -> Version:
    """Keep a model file as the next version; the same bytes again are the version they were.

    In the caller's transaction. Raises ConfigError for a file above 20 MiB or without a name in `by`,
    LedgerError, LedgerBusy.
    """
    if not 0 < len(model) <= LARGEST:
        raise ConfigError(
            "The model file is not one that the registry keeps",
            expected=f"1 to {LARGEST} bytes",
            found=f"{len(model)} bytes",
            do="train it with fewer features",
        )
    digest, moment, who = sha256_hex(model), require_utc(now), require_name(by)
    with ledger.transaction(conn):
        # The head of the ledger is the lock under which versions are numbered.
        ledger.lock_head(conn, "The model could not be registered")
        known = _versions(conn, model_sha256=digest)
        if known:
            return known[0]
        row = execute(conn, "sentiment/next_version").fetchone()
        assert row is not None  # noqa: S101 - an aggregate
        body = schemas.ModelRegistered.model_validate(
            {
                "model": MODEL_NAME,
                "version": row["version"],
                "model_sha256": digest,
                "dataset_sha256": dataset_sha256,
                "compared_with": compared_with,
                "run": dict(run) if run else None,
                "by": who,
            }
        )
        record = ledger.append(conn, kind=body.KIND, subject=MODEL_NAME, body=body, now=moment)
        values = {
            "version": row["version"],
            "model_sha256": digest,
            "content": model,
            "dataset_sha256": dataset_sha256,
            "parameters": Jsonb(dict(parameters)),
            "metrics": Jsonb(dict(metrics)),
            "compared_with": compared_with,
            "run": Jsonb(dict(run)) if run else None,
            "registered_at": moment,
            "registered_by": who,
            "ledger_seq": record.seq,
        }
        execute(conn, "sentiment/model_add", values)
        return get(conn, row["version"])


def get(conn: Connection, version: int) -> Version:
    """Raises NotFound."""
    found = _versions(conn, version=version)
    if not found:
        raise _unknown(f"version {version}")
    return found[0]


def versions(conn: Connection) -> list[Version]:
    """All versions, the oldest first."""
    return _versions(conn)


def champion(conn: Connection) -> Champion | None:
    """The version that scores; None before the first was promoted."""
    row = execute(conn, "sentiment/champion").fetchone()
    return Champion(**row) if row else None


def content(conn: Connection, version: int) -> bytes:
    """The version's file. Raises NotFound, IntegrityError when it is not what the ledger knows of it."""
    known = get(conn, version)
    row = execute(conn, "sentiment/model_content", {"version": version}).fetchone()
    found, seq = (bytes(row["content"]), row["ledger_seq"]) if row else (b"", 0)
    recorded = next(ledger.records(conn, seq, schemas.ModelRegistered.KIND, MODEL_NAME), None)
    # Whoever can change the row can change its digest with it, but not the record.
    body = recorded.body if recorded and recorded.seq == seq else {}
    registered = body.get("model_sha256") if body.get("version") == version else None
    if not sha256_hex(found) == known.model_sha256 == registered:
        raise IntegrityError(
            f"Version {version} of the sentiment model is not what was registered",
            expected=f"SHA-256 {registered}" if registered else f"a record of it in the ledger at {seq}",
            found=f"SHA-256 {sha256_hex(found)}, called {known.model_sha256}",
            do="restore the table sentiment.models from a backup, and find out who can write to it",
        )
    return found


def model_file(conn: Connection, version: int, directory: Path) -> Path:
    """The version's file in `directory`, fetched unless it is there whole; its name is its SHA-256.

    Raises NotFound, IntegrityError when the registry holds other bytes than it registered.
    """
    known = get(conn, version)
    path = directory / f"{known.model_sha256}.model"
    if not path.is_file() or sha256_hex(path.read_bytes()) != known.model_sha256:
        kept = content(conn, version)
        directory.mkdir(parents=True, exist_ok=True)
        replace_file(path, kept)
    return path


def promote(
    conn: Connection, version: int, *, instead_of: int | None, by: str, why: str, now: datetime
) -> Champion:
    """Make a version the champion, on top of the one that it was compared with (None: there was none).

    Already the champion: nothing changes. In the caller's transaction. Raises NotFound, Busy when the
    champion is another one by now, ConfigError without a name or a reason, LedgerError, LedgerBusy.
    """
    moment, who, reason = require_utc(now), require_name(by), require_reason(why)
    with ledger.transaction(conn):
        ledger.lock_head(conn, "The model could not be promoted")
        chosen, current = get(conn, version), champion(conn)
        if current is not None and current.version == version:
            return current
        if (current.version if current else None) != instead_of:
            raise Busy(
                f"Version {version} of the sentiment model is not promoted",
                expected=_named(instead_of) + " as the champion, which it was compared with",
                found=_named(current.version if current else None),
                do="compare it with the present champion (retrain_model does), and decide again",
            )
        return _begin(conn, chosen, current, below=current.place if current else None, act="promoted",
                      by=who, why=reason, now=moment)  # fmt: skip


def rollback(
    conn: Connection, *, by: str, why: str, now: datetime, instead_of: int | None = None
) -> Champion:
    """Bring the former champion back; `instead_of` is the version that is to go, if the caller names it. In
    the caller's transaction.

    Raises NotFound when there is none below, Busy when another version than `instead_of` is the champion,
    ConfigError without a name or a reason, LedgerError, LedgerBusy.
    """
    moment, who, reason = require_utc(now), require_name(by), require_reason(why)
    with ledger.transaction(conn):
        ledger.lock_head(conn, "The model could not be rolled back")
        current = champion(conn)
        if instead_of is not None and (current is None or current.version != instead_of):
            raise Busy(
                "The sentiment model is not rolled back",
                expected=_named(instead_of) + " as the champion, which is to go",
                found=_named(current.version if current else None),
                do="look at `tidewatch models list`: somebody else may have changed the champion already",
            )
        row = execute(conn, "sentiment/champion_at", {"place": current.below if current else None}).fetchone()
        if row is None:
            raise NotFound(
                "There is no former model to go back to",
                expected="a champion that was promoted instead of another one",
                found=_named(current.version if current else None) + ", and none before it",
                do="promote a version by hand: `tidewatch models promote`",
            )
        former = Champion(**row)
        return _begin(conn, get(conn, former.version), current, below=former.below, act="rolled_back",
                      by=who, why=reason, now=moment)  # fmt: skip


# -- inside ------------------------------------------------------------------------------------------------


def _begin(
    conn: Connection,
    chosen: Version,
    current: Champion | None,
    *,
    below: int | None,
    act: str,
    by: str,
    why: str,
    now: datetime,
) -> Champion:
    body = schemas.ModelPromoted.model_validate(
        {
            "model": MODEL_NAME,
            "act": act,
            "version": chosen.version,
            "model_sha256": chosen.model_sha256,
            "before": current.version if current else None,
            "by": by,
            "why": why,
        }
    )
    execute(conn, "sentiment/champion_ends", {"now": now})
    # Nothing scores beside itself.
    execute(conn, "sentiment/shadow_ends", {"now": now, "version": chosen.version})
    record = ledger.append(conn, kind=body.KIND, subject=MODEL_NAME, body=body, now=now)
    values = {"version": chosen.version, "now": now, "below": below, "by": by, "why": why}
    execute(conn, "sentiment/champion_begins", {**values, "ledger_seq": record.seq})
    found = champion(conn)
    assert found is not None  # noqa: S101 - just written
    return found


def _versions(
    conn: Connection, *, version: int | None = None, model_sha256: str | None = None
) -> list[Version]:
    filters = {"version": version, "model_sha256": model_sha256}
    return [Version(**row) for row in execute(conn, "sentiment/models", filters)]


def _named(version: int | None) -> str:
    return f"version {version}" if version is not None else "no champion"


def _unknown(what: str) -> NotFound:
    return NotFound(
        f"The registry has no {what} of the sentiment model",
        expected="a version that `tidewatch models list` shows",
        found="none of that number",
        do="copy the number from the list",
    )


def require_name(by: str) -> str:
    """Who acts, fit for a record. Raises ConfigError."""
    return _said(by, "name of a person or a run", 200)


def require_reason(why: str) -> str:
    """Why, fit for a record. Raises ConfigError."""
    return _said(why, "reason, in a sentence", 2000)


def _said(text: str, what: str, longest: int) -> str:
    clean = redact(text.encode("utf-8", "replace").decode()).replace("\0", "\\0").strip()
    if not clean or len(clean) > longest:
        raise ConfigError(
            f"A change of the model needs the {what}",
            expected=f"1 to {longest} characters",
            found=f"{len(clean)} characters",
            do="say it: the ledger records it",
        )
    return clean
