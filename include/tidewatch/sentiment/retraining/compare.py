"""Measure a run's challenger, and the champion beside it, on every set of held-out posts, and keep what came
of it: figures of each, paired tests, a sample of the posts on which the two differ."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psycopg.types.json import Jsonb

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.database import Connection, execute
from tidewatch.core.progress import Progress
from tidewatch.sentiment import LABELS, registry
from tidewatch.sentiment.evaluate import paired
from tidewatch.sentiment.labels.training import TrainingSet
from tidewatch.sentiment.model import Model
from tidewatch.sentiment.retraining import measure, runs
from tidewatch.sentiment.retraining.measure import Answers
from tidewatch.sentiment.retraining.runs import Retraining
from tidewatch.sentiment.retraining.settings import RetrainingFile
from tidewatch.sentiment.retraining.splitting import Split

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray[Any, Any]


def compare(
    conn: Connection,
    run: Retraining,
    frozen: TrainingSet,
    split: Split,
    plan: RetrainingFile,
    *,
    directory: Path,
    timer: Callable[[], float],
    progress: Progress,
) -> None:
    """Measure, and write all of it in the caller's transaction, in place of what an attempt before has left.

    Raises NotFound, IntegrityError and ConfigError for a version whose file cannot be used.
    """
    places = measure.union(of.indices for of in split.sets.values())
    posts = frozen.table.take(places)
    truth = posts["label"].to_numpy()
    models = {
        role: Model.load(registry.model_file(conn, version, directory))
        for role, version in (("champion", run.champion), ("challenger", run.challenger))
        if version is not None
    }
    conn.commit()  # measuring takes a while
    said = {role: measure.ask(model, posts["text"]) for role, model in models.items()}
    progress(f"{len(places)} held-out posts scored by {' and '.join(said)}")
    speed = measure.speed(
        models["challenger"], posts["text"].to_pylist(), posts=plan.limits.speed_posts,
        repeats=plan.limits.speed_repeats, timer=timer,
    )  # fmt: skip
    evaluations = _evaluations(run, split, places, said, truth)
    execute(conn, "sentiment/retraining/forget_measured", {"run_id": run.run_id})
    for row in evaluations:
        execute(conn, "sentiment/retraining/add_evaluation", row)
    if "champion" in said:
        _compare(conn, run, split, places, said, truth)
        _differences(conn, run, posts, said, truth, plan.approval.shown)
    runs.note(conn, run.run_id, measured=speed)


def summary(conn: Connection, run: Retraining) -> dict[str, Any]:
    """Names and numbers: versions, gates, speed, and for each set the figures of both and the paired test."""
    found = execute(conn, "sentiment/retraining/evaluations", {"run_id": run.run_id}).fetchall()
    tests = {
        row["set_name"]: row
        for row in execute(conn, "sentiment/retraining/comparisons", {"run_id": run.run_id})
    }
    headlines = {(row["set_name"], row["role"]): measure.headline(row["figures"]) for row in found}
    sets = [
        {
            "set": row["set_name"],
            "kind": row["kind"],
            "n": row["n"],
            "challenger": headlines[row["set_name"], "challenger"],
            "champion": headlines.get((row["set_name"], "champion")),
            **{k: v for k, v in tests.get(row["set_name"], {}).items() if k not in ("set_name", "n")},
        }
        for row in found
        if row["role"] == "challenger"
    ]
    return {
        "run_id": run.run_id,
        "state": run.state,
        "started_at": run.started_at,
        "started_by": run.started_by,
        "challenger": run.challenger,
        "champion": run.champion,
        "digest": run.digest,
        "split": run.split,
        "chosen": (run.search or {}).get("chosen"),
        "speed": run.measured,
        "gates": {
            name: {"passed": of["passed"], "critical": of["critical"], "warnings": of["warnings"]}
            for name, of in (run.gates or {}).items()
        },
        "sets": sets,
    }


def _evaluations(
    run: Retraining, split: Split, places: Array, said: Mapping[str, Answers], truth: Array
) -> list[dict[str, Any]]:
    """A row a role and set. `figures` is an Evaluation, and `ece_by_luck` of the same posts."""
    rows = []
    for name, of in split.sets.items():
        which = np.searchsorted(places, of.indices)
        for role, answers in said.items():
            own = answers.of(which)
            # Of its own for each set, the same whenever it is measured.
            seed = int(sha256_hex(f"{run.run_id}\n{name}".encode())[:8], 16)
            figures = measure.evaluation(own, truth[which]).as_dict()
            figures["ece_by_luck"] = measure.calibration_by_luck(own, seed=seed)
            rows.append(
                {
                    "run_id": run.run_id,
                    "role": role,
                    "set_name": name,
                    "kind": of.kind,
                    "n": len(which),
                    "figures": Jsonb(figures),
                }
            )
    return rows


def _compare(
    conn: Connection,
    run: Retraining,
    split: Split,
    places: Array,
    said: Mapping[str, Answers],
    truth: Array,
) -> None:
    for name, of in split.sets.items():
        which = np.searchsorted(places, of.indices)
        found = asdict(paired(said["champion"].labels[which], said["challenger"].labels[which], truth[which]))
        found["only_champion"] = found.pop("only_first")
        found["only_challenger"] = found.pop("only_second")
        execute(
            conn, "sentiment/retraining/add_comparison", {"run_id": run.run_id, "set_name": name, **found}
        )


def _differences(
    conn: Connection, run: Retraining, posts: "pa.Table", said: Mapping[str, Answers], truth: Array, most: int
) -> None:
    names = posts["text_sha256"].to_pylist()
    champion, challenger = said["champion"], said["challenger"]
    found = measure.differing(champion.labels, challenger.labels, truth, names, draw=run.run_id, most=most)
    for place, one in enumerate(found, start=1):
        execute(
            conn,
            "sentiment/retraining/add_difference",
            {
                "run_id": run.run_id,
                "place": place,
                "text_sha256": names[one.index],
                "truth": LABELS[one.truth],
                "champion_says": LABELS[one.champion_says],
                "challenger_says": LABELS[one.challenger_says],
                "champion_p": champion.chances[one.index].tolist(),
                "challenger_p": challenger.chances[one.index].tolist(),
            },
        )
