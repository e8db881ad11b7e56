"""The search for a challenger: within its budget, the same each time, and right about the seed corpus."""

from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retrain_rig import texts

from tidewatch.core.canonical import sha256_hex
from tidewatch.sentiment import LABELS
from tidewatch.sentiment.retraining import search as room
from tidewatch.sentiment.retraining.search import Parameters, folds_of, learn, search
from tidewatch.sentiment.retraining.settings import Search

SMALL = Search(trainings=5, folds=2, cost=(1.0,), foreign=(1.0, 0.0), balance=(0.0, 1.0), bits=12)


def table(people: list[tuple[str, str]], seeds: list[tuple[str, str]] | None = None) -> pa.Table:
    rows = [(*row, "console") for row in people] + [(*row, "seed") for row in seeds or []]
    rows.sort(key=lambda row: sha256_hex(row[0].encode()))
    return pa.table(
        {
            "text": pa.array([text for text, _, _ in rows], pa.string()),
            "label": pa.array([LABELS.index(label) for _, label, _ in rows], pa.int8()),
            "weight": pa.array(np.ones(len(rows)), pa.float32()),
            "text_sha256": pa.array([sha256_hex(text.encode()) for text, _, _ in rows], pa.string()),
            "origin": pa.array([origin for _, _, origin in rows], pa.string()),
        }
    )


def alone(of: pa.Table) -> Any:
    return np.arange(of.num_rows)


def turned(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Every label is the next one: what is learned from it is wrong."""
    return [(text, LABELS[(LABELS.index(label) + 1) % len(LABELS)]) for text, label in rows]


def test_the_same_labels_give_the_same_challenger_byte_for_byte() -> None:
    labels = table(texts(150, seed=3), texts(60, seed=4))
    found = [search(labels, alone(labels), SMALL) for _ in range(2)]
    assert found[0].as_dict() == found[1].as_dict()
    one, two = (learn(labels, f.chosen, SMALL, dataset_sha256="0" * 64).to_bytes() for f in found)
    assert one == two


def test_a_seed_corpus_that_says_the_contrary_is_left_out() -> None:
    labels = table(texts(150, seed=5), turned(texts(300, seed=6)))
    found = search(labels, alone(labels), SMALL)
    assert found.chosen.foreign == 0.0
    model = learn(labels, found.chosen, SMALL, dataset_sha256="0" * 64)
    assert sum(model.header["texts"].values()) == 150


def test_a_seed_corpus_that_helps_few_labels_is_kept() -> None:
    labels = table(texts(66, seed=7), texts(300, seed=8))
    assert search(labels, alone(labels), SMALL).chosen.foreign == 1.0


def test_what_cannot_be_learned_without_the_seed_corpus_is_passed_over_and_said() -> None:
    people = [row for row in texts(120, seed=9) if row[1] != "neutral"]
    labels = table(people, texts(120, seed=10))
    found = search(labels, alone(labels), SMALL)
    assert found.chosen.foreign == 1.0
    ((cost, foreign, why),) = found.as_dict()["failed"]
    assert (cost, foreign) == (1.0, 0.0) and "0 of neutral" in why


def test_rare_classes_are_given_more_room_where_that_costs_no_accuracy() -> None:
    random = np.random.default_rng(1)
    rows = texts(360, seed=11, wrong=0.3)
    rare = [row for row in rows if row[1] != "negative" or random.random() < 0.3]
    labels = table(rare)
    generous = SMALL.model_copy(update={"allowance": 1.0})
    strict = SMALL.model_copy(update={"allowance": 0.0})
    by_f1, by_accuracy = (search(labels, alone(labels), of) for of in (generous, strict))
    rows_of = by_f1.as_dict()
    assert not rows_of["failed"]
    best = {
        name: max(row[rows_of["fields"].index(name)] for row in rows_of["tried"])
        for name in ("accuracy", "macro_f1")
    }

    def scored(found: Any, name: str) -> float:
        fields, chosen = rows_of["fields"], found.chosen
        return next(
            float(r[fields.index(name)])
            for r in rows_of["tried"]
            if (r[0], r[1], r[2]) == (chosen.cost, chosen.foreign, chosen.balance)
        )

    assert scored(by_f1, "macro_f1") == best["macro_f1"]
    assert scored(by_accuracy, "accuracy") == best["accuracy"]


def test_a_budget_for_one_training_or_no_label_of_a_person_gives_the_usual_parameters() -> None:
    labels = table(texts(90, seed=12))
    usual = Parameters(1.0, 1.0, 0.0)
    assert search(labels, alone(labels), SMALL.model_copy(update={"trainings": 1})).chosen == usual
    foreign = table([], texts(90, seed=12))
    found = search(foreign, alone(foreign), SMALL)
    assert (found.chosen, found.trainings) == (usual, 0)


class _Nothing:
    """A model that knows nothing, at once."""

    header: ClassVar = {"leanings": [0.0, 0.0, 0.0]}

    def score(self, asked: Any) -> pa.Table:
        third = pa.array(np.full(len(asked), 1 / 3, np.float32))
        return pa.table(
            {"label": pa.array(np.zeros(len(asked), np.int8))} | {f"p_{n}": third for n in LABELS}
        )


@settings(deadline=None, max_examples=30)
@given(
    budget=st.integers(1, 40),
    folds=st.integers(2, 5),
    costs=st.integers(1, 4),
    foreign=st.integers(1, 3),
    people=st.integers(0, 30),
    seeds=st.integers(0, 10),
)
def test_no_search_takes_more_trainings_than_its_budget(
    budget: int, folds: int, costs: int, foreign: int, people: int, seeds: int
) -> None:
    plan = SMALL.model_copy(
        update={
            "trainings": budget,
            "folds": folds,
            "cost": tuple(float(n + 1) for n in range(costs)),
            "foreign": (1.0, 0.5, 0.0)[:foreign],
        }
    )
    labels = table(texts(people, seed=1), texts(seeds, seed=2))
    begun: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "train", lambda *_, **__: begun.append(1) or _Nothing())
        found = search(labels, alone(labels), plan)
    assert len(begun) <= budget - 1 and found.trainings <= budget - 1
    assert found.chosen.cost in plan.cost and found.chosen.foreign in plan.foreign


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(2, 6), st.randoms())
def test_near_duplicates_are_of_one_fold_whatever_the_order(
    groups: list[int], folds: int, random: Any
) -> None:
    names = [sha256_hex(str(n).encode()) for n in range(len(groups))]
    order = list(range(len(groups)))
    random.shuffle(order)

    def by_name(places: list[int]) -> dict[str, int]:
        rows = pa.table({"text_sha256": [names[p] for p in places]})
        found = folds_of(rows, np.array([groups[p] for p in places]), folds, seed=1)
        return {names[p]: int(f) for p, f in zip(places, found, strict=True)}

    straight = by_name(list(range(len(groups))))
    assert straight == by_name(order)
    assert set(straight.values()) <= set(range(folds))
    for group in set(groups):
        assert len({straight[names[p]] for p in range(len(groups)) if groups[p] == group}) == 1
