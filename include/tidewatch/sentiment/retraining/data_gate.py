"""The gate over the labels of a run, before anything is trained: six small tables, without any text.

    held_out   one row a post to measure with: texts in the training data that are near-duplicates of it
    overall    one row: how many there are
    classes    one row a class
    platforms  one row a platform of posts that people labelled
    agreement  one row: Krippendorff's alpha on the blind sample
    drift      one row a feature of recent posts against those before

config/gates/training_data.yaml says what must hold, config/retraining.yaml the limits.
"""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from tidewatch.core.database import Connection, execute, statement
from tidewatch.core.settings import Settings
from tidewatch.evidence import ledger
from tidewatch.sentiment import LABELS
from tidewatch.sentiment.labels.agreement import Agreement
from tidewatch.sentiment.labels.training import TrainingSet
from tidewatch.sentiment.labels.votes import agreement
from tidewatch.sentiment.retraining.drift import Drift, drifts
from tidewatch.sentiment.retraining.model_gate import record
from tidewatch.sentiment.retraining.settings import RetrainingFile
from tidewatch.sentiment.retraining.splitting import PEOPLE, Split
from tidewatch.text.near_duplicates import groups
from tidewatch.vault.manifest import RunRef

if TYPE_CHECKING:
    import pandas as pd

    from tidewatch.quality.judgement import Judgement

Array = np.ndarray[Any, Any]

GATE = "training_data"
_SEED = 1
"""Of the intervals of agreement and of the dealing of posts: the same labels, the same figures."""
_DRIFT = ["feature", "statistic", "critical", "n_before", "n_recent", "drifted", "refused"]


def judge(
    conn: Connection,
    frozen: TrainingSet,
    split: Split,
    *,
    run: RunRef,
    plan: RetrainingFile,
    settings: Settings,
    now: datetime,
) -> "Judgement":
    """Judge the frozen labels of a run and their split; keep the judgement, its record and what drifted
    (sentiment.drifts), in the caller's transaction. Judging again replaces the judgement."""
    # pandas and Great Expectations: seconds that nothing else of retraining needs.
    from tidewatch.quality.run import Where, load_gate
    from tidewatch.quality.run import judge as run_gate

    found = drifts(*before_and_recent(frozen, split, plan), false_alarms=plan.drift.false_alarms, seed=_SEED)
    _keep(conn, run.run_id, found)
    # What the sample says that a second person labelled blind: others have two labels because they are hard.
    agreed = agreement(conn, seed=_SEED, sample_only=True, up_to=frozen.up_to)
    judgement = run_gate(
        load_gate(settings.config_dir / "gates" / f"{GATE}.yaml"),
        frames(frozen, split, plan, agreed, found),
        where=Where(run.dag_id, run.run_id, run.run_id),
        conn=conn,
        now=now,
        gx_dir=settings.gx_dir,
        docs_dir=settings.data_docs_dir,
        params={"TRAIN_PER_CLASS": plan.enough.train_per_class, "PLATFORM": plan.enough.platform},
    )
    body = record(judgement, run.run_id, run, now)
    ledger.append(conn, kind=body.KIND, subject=run.run_id, body=body, now=now)
    return judgement


def before_and_recent(frozen: TrainingSet, split: Split, plan: RetrainingFile) -> tuple[Any, Any]:
    """Two tables (Arrow) of posts that people labelled and whose time is known: those of the days before the
    freeze that count as recent, and all before them. Of near-duplicates the first of each side."""
    since = split.frozen_at - timedelta(days=plan.held_out.recent_days)
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    posted, origins = frozen.table["posted_at"].to_pylist(), frozen.table["origin"].to_pylist()
    for place, (at, origin) in enumerate(zip(posted, origins, strict=True)):
        if origin in PEOPLE and at is not None and at <= split.frozen_at:
            sides[at > since].setdefault(int(split.groups[place]), place)
    before, recent = (frozen.table.take(np.array(list(side.values()), np.int64)) for side in sides)
    return before, recent


def frames(
    frozen: TrainingSet, split: Split, plan: RetrainingFile, agreed: Agreement, found: list[Drift]
) -> "dict[str, pd.DataFrame]":
    """The batches, by name."""
    import pandas as pd

    figure = agreed.nominal
    rows = frozen.table.num_rows
    return {
        "held_out": _held_out(frozen, split, plan),
        "overall": pd.DataFrame(
            {
                "rows": [rows],
                "train": [len(split.train)],
                "held_out": [len(split.held_out)],
                "largest_group_share": [split.counts["largest_group"] / max(rows, 1)],
            }
        ),
        "classes": _classes(frozen, split),
        "platforms": _platforms(frozen, split),
        "agreement": pd.DataFrame(
            {"alpha": [figure.value], "low": [figure.low], "high": [figure.high], "texts": [figure.texts]},
        ).astype({"alpha": float, "low": float, "high": float}),
        "drift": pd.DataFrame(
            [{**asdict(one), "refused": one.drifted and plan.drift.refuses} for one in found], columns=_DRIFT
        ).astype({"drifted": bool, "refused": bool}),
    }


def _held_out(frozen: TrainingSet, split: Split, plan: RetrainingFile) -> "pd.DataFrame":
    """Looked for anew among the texts that are used, whatever the split was made from."""
    import pandas as pd

    places = np.concatenate([split.train, split.held_out])
    together = groups(frozen.table["text"].take(places), threshold=plan.held_out.near_duplicates)
    alike = np.bincount(together[: len(split.train)], minlength=int(together.max(initial=-1)) + 1)
    return pd.DataFrame(
        {
            "text_sha256": frozen.table["text_sha256"].take(split.held_out).to_pylist(),
            "alike_in_training": alike[together[len(split.train) :]].astype(np.int64),
        }
    )


def _people(frozen: TrainingSet) -> Array:
    return np.array([origin in PEOPLE for origin in frozen.table["origin"].to_pylist()], bool)


def _classes(frozen: TrainingSet, split: Split) -> "pd.DataFrame":
    import pandas as pd

    def counted(labels: Array) -> Array:
        return np.bincount(labels, minlength=len(LABELS))

    people = counted(split.labels[_people(frozen)])
    return pd.DataFrame(
        {
            "label": LABELS,
            "train": counted(split.labels[split.train]),
            "held_out": counted(split.labels[split.held_out]),
            "share_of_people": people / max(int(people.sum()), 1),
        }
    )


def _platforms(frozen: TrainingSet, split: Split) -> "pd.DataFrame":
    import pandas as pd

    people = _people(frozen)
    names = sorted({name for name, own in zip(split.platforms, people, strict=True) if own and name})
    held = [split.platforms[place] for place in split.held_out.tolist()]
    trained = [split.platforms[place] for place in split.train.tolist()]
    return pd.DataFrame(
        [(name, trained.count(name), held.count(name)) for name in names],
        columns=["platform", "train", "held_out"],
    ).astype({"train": int, "held_out": int})


def _keep(conn: Connection, run_id: str, found: list[Drift]) -> None:
    execute(conn, "sentiment/retraining/drifts_forget", {"run_id": run_id})
    with conn.cursor() as cursor:
        cursor.executemany(
            statement("sentiment/retraining/drift_add"), [{"run_id": run_id, **asdict(one)} for one in found]
        )
