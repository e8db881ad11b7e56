"""The gate over a challenger that was measured: four small tables, of numbers alone.

    overall      one row: the frozen set, the speed, whether the comparison is a fair one
    classes      one row a class, on the frozen set
    sets         one row a set of held-out posts
    comparisons  one row a set, with the champion; none for the first model

config/gates/model.yaml says what must hold, config/retraining.yaml the limits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import GateFailed
from tidewatch.core.settings import Settings
from tidewatch.evidence import ledger, schemas
from tidewatch.sentiment.retraining.runs import Retraining
from tidewatch.sentiment.retraining.settings import RetrainingFile
from tidewatch.vault.manifest import RunRef

if TYPE_CHECKING:
    import pandas as pd

    from tidewatch.quality.judgement import Failure, Judgement

GATE = "model"
_SETS = ["set", "kind", "n", "accuracy", "on_emoticons", "ece", "calibration_beyond_luck"]
_COMPARISONS = ["set", "kind", "n", "difference", "low", "high", "p_value", "shown_worse"]


@dataclass(frozen=True)
class ModelVerdict:
    """What the gate said of a challenger; `docs` is the page to look at."""

    run_id: str
    state: Literal["refused", "awaiting"]
    critical: tuple[str, ...]
    warnings: tuple[str, ...]
    docs: str | None

    def raise_if_failed(self) -> None:
        """Raises GateFailed naming what did not hold."""
        if self.state == "refused":
            raise refusal(self.run_id, GATE, self.critical, self.docs)


def refusal(run_id: str, gate: str, critical: Sequence[str], docs: str | None) -> GateFailed:
    """What is raised when a gate of retraining has refused."""
    more = len(critical) - 5
    return GateFailed(
        f"The gate {gate} refused the retraining {run_id}",
        expected=f"every critical expectation of config/gates/{gate}.yaml",
        found="; ".join(critical[:5]) + (f"; and {more} more" if more > 0 else ""),
        do=(f"open {docs}, or " if docs else "")
        + "look at the console page Model; the champion stays in use",
    )


def judge(
    conn: Connection, run: Retraining, ref: RunRef, plan: RetrainingFile, settings: Settings, now: datetime
) -> "Judgement":
    """Judge what was measured in a run, and keep the judgement and its record, in the caller's transaction.
    Judging again replaces the judgement."""
    # pandas and Great Expectations: seconds that nothing else of retraining needs.
    from tidewatch.quality.run import Where, load_gate
    from tidewatch.quality.run import judge as run_gate

    limits = plan.limits
    evaluations = execute(conn, "sentiment/retraining/evaluations", {"run_id": run.run_id}).fetchall()
    comparisons = execute(conn, "sentiment/retraining/comparisons", {"run_id": run.run_id}).fetchall()
    judgement = run_gate(
        load_gate(settings.config_dir / "gates" / f"{GATE}.yaml"),
        frames(run, evaluations, comparisons, plan, fair=_fair(conn, run.champion)),
        where=Where(ref.dag_id, run.run_id, run.run_id),
        conn=conn,
        now=now,
        gx_dir=settings.gx_dir,
        docs_dir=settings.data_docs_dir,
        params={
            "ACCURACY": limits.accuracy,
            "RECALL": limits.recall,
            "PRECISION": limits.precision,
            "CALIBRATION": limits.calibration,
            "WITHOUT_EMOTICONS": limits.without_emoticons,
            "POSTS_PER_SECOND": limits.posts_per_second,
            "LOWEST": -limits.margin,
        },
    )
    body = record(judgement, run.run_id, ref, now)
    ledger.append(conn, kind=body.KIND, subject=run.run_id, body=body, now=now)
    return judgement


def frames(
    run: Retraining,
    evaluations: Sequence[dict[str, Any]],
    comparisons: Sequence[dict[str, Any]],
    plan: RetrainingFile,
    *,
    fair: bool,
) -> "dict[str, pd.DataFrame]":
    """The batches, of rows as the tables evaluations and comparisons have them."""
    import pandas as pd

    own = [row for row in evaluations if row["role"] == "challenger"]
    kinds = {row["set_name"]: row["kind"] for row in own}
    frozen = [row for row in own if row["kind"] == "frozen"]
    overall = pd.DataFrame(
        [
            (
                row["set_name"],
                row["figures"]["accuracy"]["low"],
                (run.measured or {})["posts_per_second"],
                run.challenger != run.champion,
                fair,
            )
            for row in frozen
        ],
        columns=["set", "accuracy_low", "posts_per_second", "is_new", "fair"],
    ).astype({"accuracy_low": float, "posts_per_second": float, "is_new": bool, "fair": bool})
    classes = pd.DataFrame(
        [_class(one) for row in frozen for one in row["figures"]["classes"]],
        columns=["label", "n", "recall_low", "precision_low"],
    ).astype({"recall_low": float, "precision_low": float})
    sets = pd.DataFrame([_set(row) for row in own], columns=_SETS)
    compared = pd.DataFrame(
        [_comparison(row, kinds[row["set_name"]], plan) for row in comparisons], columns=_COMPARISONS
    )
    numbers = ["difference", "low", "high", "p_value"]
    return {
        "overall": overall,
        "classes": classes,
        "sets": sets.astype(dict.fromkeys(_SETS[3:], float)),
        "comparisons": compared.astype({"shown_worse": bool} | dict.fromkeys(numbers, float)),
    }


def record(judgement: "Judgement", subject: str, ref: RunRef, now: datetime) -> schemas.GateJudged:
    """The body of its record gate.judged."""

    def finding(failure: "Failure") -> schemas.Finding:
        return schemas.Finding(
            expectation=failure.name, batch=failure.batch, observed=failure.observed, limit=failure.limit
        )

    return schemas.GateJudged(
        gate=judgement.gate,
        subject=subject,
        dag_id=ref.dag_id,
        run_id=ref.run_id,
        passed=judgement.passed,
        evaluated=judgement.expectations,
        critical=[finding(f) for f in judgement.critical],
        warnings=[finding(f) for f in judgement.warnings],
        staged=judgement.staged,
        published=judgement.published,
        quarantined=judgement.quarantined,
        judged_at=now,
    )


def _fair(conn: Connection, champion: int | None) -> bool:
    """Whether the champion cannot have been trained on what it is measured with."""
    if champion is None:
        return True
    row = execute(conn, "sentiment/retraining/trained_with_held_out", {"version": champion}).fetchone()
    return bool(row and row["by_retraining"])


def _class(one: dict[str, Any]) -> tuple[Any, ...]:
    recall, precision = one["recall"], one["precision"]
    return (
        one["label"],
        recall["n"] if recall else 0,
        recall["low"] if recall else None,
        precision["low"] if precision else None,
    )


def _set(row: dict[str, Any]) -> tuple[Any, ...]:
    figures = row["figures"]
    bare = figures["emoticons_removed"]["accuracy"]["value"]
    accuracy, ece = figures["accuracy"]["value"], figures["ece"]
    beyond = ece if ece > figures["ece_by_luck"] else 0.0
    return row["set_name"], row["kind"], row["n"], accuracy, accuracy - bare, ece, beyond


def _comparison(row: dict[str, Any], kind: str, plan: RetrainingFile) -> tuple[Any, ...]:
    by_itself = kind != "platform" or row["n"] >= plan.enough.platform
    shown = by_itself and row["high"] < 0 and row["difference"] < -plan.limits.margin
    return (
        row["set_name"], kind, row["n"], row["difference"], row["low"], row["high"], row["p_value"], shown,
    )  # fmt: skip
