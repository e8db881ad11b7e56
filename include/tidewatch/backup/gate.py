"""The backup gate's view of a staged backup: four small tables, one question each.

    tables    one row a table (of this backup, or of the last good ones and gone now)
    objects   one row an object in the vault
    copies    one row a region of the plan
    summary   one row for the whole

config/gates/backup.yaml says what must hold; docs/gates.md how to change it. Medians are over the last
`history` good backups, counted back to the newest one that a person accepted: what a person called right is
the new measure.
"""

import fnmatch
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tidewatch.core.errors import GateFailed
from tidewatch.core.sources import GateBand
from tidewatch.vault.catalogue import Backup
from tidewatch.vault.manifest import GateResult, Manifest

if TYPE_CHECKING:
    import pandas as pd

GATE = "backup"
# What age, zstd and tar add to an object however small it is, generously.
_OVERHEAD = 4096


@dataclass(frozen=True)
class GateVerdict:
    """What the gate said; `docs` is the page to look at."""

    backup_id: str
    passed: bool
    failures: tuple[str, ...]
    warnings: tuple[str, ...]
    docs: str | None

    @property
    def result(self) -> GateResult:
        """As the manifest carries it."""
        return GateResult(
            passed=self.passed, gate=GATE, failures=list(self.failures), warnings=list(self.warnings)
        )

    def raise_if_failed(self) -> None:
        """Raises GateFailed naming each expectation with its limit and what was observed."""
        if self.passed:
            return
        raise GateFailed(
            f"The gate refused backup {self.backup_id}: it is kept as suspect, not sealed",
            expected="every critical expectation of config/gates/backup.yaml",
            found="; ".join(self.failures[:5])
            + (f"; and {len(self.failures) - 5} more" if len(self.failures) > 5 else ""),
            do=(f"open {self.docs}; " if self.docs else "")
            + f"then `tidewatch backup accept {self.backup_id}` "
            f"or `tidewatch backup reject {self.backup_id}`",
        )


def parameters(band: GateBand) -> dict[str, Any]:
    """The values of the gate's `$NAMES`."""
    return {
        "ROW_RATIO_MIN": band.row_ratio_min,
        "ROW_RATIO_MAX": band.row_ratio_max,
        "SNAPSHOT_AGE_MAX": band.snapshot_age_max_seconds,
    }


def yardstick(history: Sequence[Backup], band: GateBand) -> list[Manifest]:
    """The manifests to compare with, newest first: good backups back to the newest accepted one."""
    chosen: list[Manifest] = []
    for backup in history[: band.history]:
        chosen.append(backup.manifest)
        if backup.status == "accepted":
            break
    return chosen


def frames(
    draft: Manifest,
    history: Sequence[Manifest],
    band: GateBand,
    *,
    required: Mapping[str, bool],
    now: datetime,
    allow_empty: bool = False,
) -> "dict[str, pd.DataFrame]":
    """The batches `tables`, `expected`, `objects`, `copies` and `summary` of `draft`, whose copies are those
    proved so far.

    `required`: region of the plan -> whether it is required. `allow_empty`: the source may hold nothing.
    """
    import pandas as pd

    tables = pd.DataFrame(
        _tables(draft, history, band),
        columns=[
            "schema",
            "table",
            "rows",
            "sha256",
            "present",
            "judged",
            "median_rows",
            "row_ratio",
        ],
    ).astype({"present": bool, "judged": bool, "rows": "Int64", "median_rows": float, "row_ratio": float})
    objects = pd.DataFrame(
        [
            (
                o.name,
                o.role,
                o.backup_id == draft.backup_id,
                o.plain_size,
                o.plain_sha256,
                o.cipher_size,
                o.cipher_sha256,
            )
            for o in draft.objects
        ],
        columns=["name", "role", "own", "plain_size", "plain_sha256", "cipher_size", "cipher_sha256"],
    )
    if draft.source_type == "files":
        # Objects of earlier backups are named alike; their keys tell them apart.
        objects["name"] = [o.key for o in draft.objects]
    states = {c.region: c for c in draft.copies}
    copies = pd.DataFrame(
        [
            (
                name,
                must,
                name in states and states[name].state == "verified",
                states[name].error if name in states else "not tried",
            )
            for name, must in required.items()
        ],
        columns=["region", "required", "verified", "error"],
    ).astype({"required": bool, "verified": bool})
    summary = pd.DataFrame([_summary(draft, history, tables, now)])
    summary["empty"] &= not allow_empty
    expected = pd.DataFrame(_expected(draft, band), columns=["pattern", "present"]).astype({"present": bool})
    return {
        "tables": tables,
        "expected": expected,
        "objects": objects,
        "copies": copies,
        "summary": summary,
    }


def _expected(draft: Manifest, band: GateBand) -> Iterable[tuple[str, bool]]:
    """What the configuration says must be there, and whether it is."""
    there = (
        [t.label for t in draft.database.tables] if draft.database else [f.path for f in draft.files or []]
    )
    for pattern in band.must_have:
        yield pattern, bool(fnmatch.filter(there, pattern))


def _tables(draft: Manifest, history: Sequence[Manifest], band: GateBand) -> Iterable[tuple[Any, ...]]:
    before: dict[tuple[str, str], list[int]] = {}
    for manifest in history:
        for old in manifest.database.tables if manifest.database else []:
            before.setdefault((old.schema_name, old.name), []).append(old.rows)
    present = {(t.schema_name, t.name): t for t in (draft.database.tables if draft.database else [])}
    for key, table in present.items():
        # A materialized view is derived: its tables are judged, not it.
        judged = table.kind != "matview" and not _matches(table.label, band.volatile)
        median, ratio = _ratio(table.rows, before.get(key, []), band.min_rows)
        yield (*key, table.rows, table.sha256, True, judged and ratio is not None, median, ratio)
    # What the newest good backup had; a table that was dropped before that is history.
    newest = history[0].database if history else None
    for old in newest.tables if newest else []:
        key = (old.schema_name, old.name)
        if key not in present and not _matches(old.label, band.may_vanish):
            median, _ = _ratio(0, before[key], 0)
            yield (*key, 0, None, False, False, median, None)


def _ratio(count: int, before: Sequence[int], least: int) -> tuple[float | None, float | None]:
    """Median of `before`, and `count` divided by it; no ratio for a median below `least` or of 0."""
    if not before:
        return None, None
    median = float(statistics.median(before))
    return median, count / median if median >= max(least, 1) else None


def _matches(label: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(label, pattern) for pattern in patterns)


def _summary(
    draft: Manifest, history: Sequence[Manifest], tables: "pd.DataFrame", now: datetime
) -> dict[str, Any]:
    totals = draft.totals
    counts = [m.totals.files for m in history if m.totals.files is not None]
    median, ratio = _ratio(totals.files or 0, counts, 1)
    content = totals.tables if draft.database is not None else totals.files
    stored = totals.cipher_size - min(totals.cipher_size, _OVERHEAD * len(draft.objects))
    return {
        "source": draft.source,
        "snapshot_at": draft.snapshot_at.isoformat(),
        "snapshot_age_seconds": (now - draft.snapshot_at).total_seconds(),
        "tables": totals.tables or 0,
        "missing_tables": int((~tables["present"]).sum()),
        "rows": totals.rows or 0,
        "files": totals.files or 0,
        "median_files": median,
        "files_ratio": ratio if draft.files is not None else None,
        "empty": not draft.objects and not content,
        "plain_size": totals.plain_size,
        "cipher_size": totals.cipher_size,
        # The fixed part of an envelope is not held against a small source.
        "stored_ratio": max(stored, 1) / max(totals.plain_size, 1),
    }
