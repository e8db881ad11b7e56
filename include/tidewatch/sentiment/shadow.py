"""A shadow: a version that scores the posts that the champion scores, so that one sees on new posts where the
two differ before anybody decides. Only the champion's labels are used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import ConfigError, NotFound
from tidewatch.evidence import ledger
from tidewatch.evidence.schemas import ModelShadowed
from tidewatch.sentiment import LABELS, registry
from tidewatch.sentiment.registry import MODEL_NAME, require_name, require_reason

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Shadow:
    """The version that scores beside the champion since `since` (UTC)."""

    place: int
    version: int
    model_sha256: str
    since: datetime
    by: str
    why: str
    ledger_seq: int


@dataclass(frozen=True)
class Pair:
    """So many texts of which a champion said one label, and the shadow one (the same or another)."""

    champion: int
    champion_says: str
    shadow_says: str
    texts: int


def shadow(conn: Connection) -> Shadow | None:
    """The version that scores beside the champion; None: there is none."""
    row = execute(conn, "sentiment/shadow").fetchone()
    return Shadow(**row) if row else None


def begin(conn: Connection, version: int, *, by: str, why: str, now: datetime) -> Shadow:
    """Let a version score beside the champion, in place of the one that does. It does so already: nothing
    changes.

    In the caller's transaction. Raises NotFound (no such version, no champion), ConfigError (it is the
    champion, or there is no name or reason), LedgerError, LedgerBusy.
    """
    moment, who, reason = require_utc(now), require_name(by), require_reason(why)
    with ledger.transaction(conn):
        ledger.lock_head(conn, "The shadow could not be changed")
        chosen, champion, present = registry.get(conn, version), registry.champion(conn), shadow(conn)
        if champion is None or champion.version == version:
            raise ConfigError(
                f"Version {version} cannot be the shadow",
                expected="a version beside another one that is the champion",
                found="no champion yet" if champion is None else "it is the champion",
                do="promote a first version, or name another one (`tidewatch models list`)",
            )
        if present is not None and present.version == version:
            return present
        if present is not None:
            _record(conn, present.version, present.model_sha256, "ended", who, reason, moment)
        execute(conn, "sentiment/shadow_ends", {"now": moment, "version": None})
        seq = _record(conn, version, chosen.model_sha256, "begun", who, reason, moment)
        values = {"version": version, "now": moment, "by": who, "why": reason, "ledger_seq": seq}
        execute(conn, "sentiment/shadow_begins", values)
        found = shadow(conn)
        assert found is not None  # noqa: S101 - just written
        return found


def end(conn: Connection, *, by: str, why: str, now: datetime) -> Shadow:
    """No version scores beside the champion any more; gives the one that did. What was counted is kept.

    In the caller's transaction. Raises NotFound when there is none, ConfigError, LedgerError, LedgerBusy.
    """
    moment, who, reason = require_utc(now), require_name(by), require_reason(why)
    with ledger.transaction(conn):
        ledger.lock_head(conn, "The shadow could not be changed")
        present = shadow(conn)
        if present is None:
            raise NotFound(
                "There is no shadow to end",
                expected="a version that scores beside the champion",
                found="none",
                do="nothing; `tidewatch models shadow VERSION` begins one",
            )
        execute(conn, "sentiment/shadow_ends", {"now": moment, "version": None})
        _record(conn, present.version, present.model_sha256, "ended", who, reason, moment)
        return present


def count(
    conn: Connection, beside: Shadow, champion: int, texts_sha256: Sequence[str], ours: "pa.Table",
    theirs: "pa.Table",
) -> int:  # fmt: skip
    """Keep what champion (`ours`) and shadow (`theirs`) say of the same n texts; how many were new.

    Tables as `Model.score` gives them. In the caller's transaction. Only hashes are kept.
    """
    values = {
        "place": beside.place,
        "champion": champion,
        "texts": list(texts_sha256),
        "champion_says": [LABELS[label] for label in ours["label"].to_pylist()],
        "shadow_says": [LABELS[label] for label in theirs["label"].to_pylist()],
    }
    return max(execute(conn, "sentiment/shadow_count", values).rowcount, 0)


def counts(conn: Connection, beside: Shadow) -> list[Pair]:
    """How often the champions of its time and this shadow said what."""
    return [Pair(**row) for row in execute(conn, "sentiment/shadow_counts", {"place": beside.place})]


def differing(pairs: Sequence[Pair], champion: int) -> tuple[int, int]:
    """Texts that both scored, and those that they label differently, beside this champion."""
    beside = [pair for pair in pairs if pair.champion == champion]
    return (
        sum(pair.texts for pair in beside),
        sum(pair.texts for pair in beside if pair.champion_says != pair.shadow_says),
    )


def _record(
    conn: Connection, version: int, model_sha256: str, act: str, by: str, why: str, now: datetime
) -> int:
    body = ModelShadowed.model_validate(
        {
            "model": MODEL_NAME,
            "act": act,
            "version": version,
            "model_sha256": model_sha256,
            "by": by,
            "why": why,
        }
    )
    return ledger.append(conn, kind=body.KIND, subject=MODEL_NAME, body=body, now=now).seq
