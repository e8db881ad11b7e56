"""What a gate said of a run: who was judged, what failed, how many rows go on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from tidewatch.core.errors import GateFailed
from tidewatch.quality.predicates import Mask

_SHOWN = 5


@dataclass(frozen=True)
class Where:
    """The run that is judged; `subject` is what it made, e.g. a backup id."""

    dag_id: str
    run_id: str
    subject: str


@dataclass(frozen=True)
class Failure:
    """One expectation that did not hold."""

    batch: str
    expectation: str
    column: str | None
    severity: Literal["critical", "warning"]
    limit: str
    observed: str
    rows: tuple[str, ...] = ()
    """Keys of the first bad rows."""
    note_zh: str = ""
    note_en: str = ""

    @property
    def name(self) -> str:
        """`batch.column expectation_type`."""
        return f"{self.batch}{'.' + self.column if self.column else ''} {self.expectation}"

    def __str__(self) -> str:
        rows = f": {'; '.join(self.rows)}" if self.rows else ""
        note = f" ({self.note_en})" if self.note_en else ""
        return f"{self.name}{note}: expected {self.limit}; observed {self.observed}{rows}"


@dataclass(frozen=True)
class Judgement:
    """`published` rows may be published if `passed`; staged = published + quarantined in any case."""

    gate: str
    gate_sha256: str
    where: Where
    passed: bool
    critical: list[Failure]
    warnings: list[Failure]
    expectations: int
    staged: int
    published: int
    quarantined: int
    docs: str | None
    """Path of the data docs page; None when it could not be written (the database has everything)."""
    refused: Mapping[str, Mask] = field(default_factory=dict, repr=False, compare=False)

    def keep(self, batch: str, frame: pd.DataFrame) -> pd.DataFrame:
        """`frame`, which was judged as `batch`, without its quarantined rows."""
        return frame.loc[~self.refused[batch]]

    def summary(self) -> dict[str, Any]:
        """Names, counts and texts as JSON values, without any row."""
        return {
            "gate": self.gate,
            "gate_sha256": self.gate_sha256,
            "subject": self.where.subject,
            "passed": self.passed,
            "critical": [str(f) for f in self.critical],
            "warnings": [str(f) for f in self.warnings],
            "expectations": self.expectations,
            "staged": self.staged,
            "published": self.published,
            "quarantined": self.quarantined,
            "docs": self.docs,
        }

    def raise_if_failed(self) -> None:
        """Raises GateFailed naming each critical expectation, what was observed, the limit, where to look."""
        if self.passed:
            return
        shown, more = self.critical[:_SHOWN], len(self.critical) - _SHOWN
        rest = [f"and {more} more"] if more > 0 else []
        raise GateFailed(
            f"Gate {self.gate} refused {self.where.subject}: {len(self.critical)} of {self.expectations} "
            "expectations failed: " + "; ".join([f.name for f in shown] + rest),
            expected="; ".join([f.limit for f in shown] + rest),
            found="; ".join(
                [f.observed + (f": {', '.join(f.rows)}" if f.rows else "") for f in shown] + rest
            ),
            do=self._where_to_look([f.note_en for f in shown if f.note_en]),
        )

    def _where_to_look(self, notes: list[str]) -> str:
        page = f"open {self.docs}, or " if self.docs else ""
        tables = (
            f"look into quality.results and quality.quarantine where gate = '{self.gate}' "
            f"and subject = '{self.where.subject}'"
        )
        hint = "; ".join(dict.fromkeys(notes)) + "; " if notes else ""
        return f"{hint}{page}{tables}; the last published state is untouched"
