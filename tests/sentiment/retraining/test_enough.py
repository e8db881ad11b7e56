"""Not enough labels is an answer with numbers: what a test would need to mean anything."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retrain_rig import replace_part
from scipy.stats import binomtest

from tidewatch.core.errors import ConfigError
from tidewatch.core.settings import load_settings
from tidewatch.sentiment.evaluate import paired, share
from tidewatch.sentiment.retraining.enough import for_difference, for_floor, missing
from tidewatch.sentiment.retraining.settings import RetrainingFile
from tidewatch.sentiment.retraining.splitting import Set, Split

PLAN = RetrainingFile()


def split(held: tuple[int, int, int], train: tuple[int, int, int] = (100, 100, 100)) -> Split:
    labels = np.repeat(np.array([0, 1, 2, 0, 1, 2], np.int8), [*held, *train])
    n = sum(held)
    places = np.arange(n)
    sets: dict[str, Any] = {"frozen": Set("frozen", places)} if n else {}
    return Split(
        train=np.arange(n, len(labels)), held_out=places, sets=sets, labels=labels,
        platforms=(None,) * len(labels), groups=np.arange(len(labels)), frozen_at=None, counts={},  # type: ignore[arg-type]
    )  # fmt: skip


def test_22_of_22_and_196_at_an_observed_90_percent_are_the_least_that_show_85() -> None:
    assert for_floor(0.85, 1.0) == 22 and share(22, 22).low >= 0.85 > share(21, 21).low
    assert for_floor(0.85, 0.9) == 196 and share(177, 196).low >= 0.85 > share(175, 195).low


@settings(max_examples=60, deadline=None)
@given(st.floats(0.3, 0.95), st.floats(0.01, 0.5))
def test_the_floor_is_reached_with_so_many_and_not_with_one_less(floor: float, above: float) -> None:
    expected = min(floor + above, 0.999)
    n = for_floor(floor, expected)
    hits = expected * n
    # Wilson's bound of a whole number of posts, rounded either way, lies around it.
    assert share(min(int(np.ceil(hits)), n), n).low >= floor - 1e-9
    assert n == 1 or share(int(np.floor(expected * (n - 1))), n - 1).low < floor + 1e-9


@pytest.mark.parametrize(("margin", "discordance"), [(0.05, 0.15), (0.1, 0.2)])
def test_mcnemars_test_sees_the_margin_as_often_as_promised(margin: float, discordance: float) -> None:
    n, random, times = (
        for_difference(margin, discordance=discordance, power=0.8),
        np.random.default_rng(1),
        1500,
    )
    both = np.array([1 - discordance, (discordance - margin) / 2, (discordance + margin) / 2])
    drawn = random.multinomial(n, both, size=times)
    seen = np.mean([binomtest(int(c), int(b + c)).pvalue < 0.05 for _, b, c in drawn])
    # The exact test is a little more careful than the normal one of the formula.
    assert 0.74 <= seen <= 0.84


def test_the_worked_numbers_of_the_documentation() -> None:
    assert for_difference(0.03, discordance=0.1, power=0.8) == 870
    first, second, truth = np.zeros(870, int), np.zeros(870, int), np.zeros(870, int)
    first[:57], second[57:88] = 1, 1  # 57 only right by the second, 31 only by the first: 3 percent
    assert paired(first, second, truth).p_value < 0.05


def test_enough_is_nothing_missing() -> None:
    assert missing(split((300, 300, 300)), PLAN) is None


def test_what_is_missing_is_told_for_each_class_with_how_many_labels_it_takes() -> None:
    found = missing(split((300, 100, 196), (100, 40, 100)), PLAN, champion=False)
    assert found == {
        "test": {"neutral": {"have": 100, "needed": 196, "missing": 96, "to_label": 480}},
        "train": {"neutral": {"have": 40, "needed": 100, "missing": 60, "to_label": 75}},
    }


def test_without_a_champion_no_difference_has_to_be_seen() -> None:
    held = split((200, 200, 200))
    assert missing(held, PLAN, champion=False) is None
    assert missing(held, PLAN) == {"paired": {"have": 600, "needed": 870, "missing": 270, "to_label": 1350}}


def test_nothing_held_out_and_a_class_without_any_label_are_answers_too() -> None:
    found = missing(split((0, 0, 0), (0, 0, 0)), PLAN)
    assert found is not None and set(found) == {"test", "train", "paired"}
    assert {name: of["have"] for name, of in found["test"].items()} == {
        "negative": 0,
        "neutral": 0,
        "positive": 0,
    }


def test_a_plan_that_no_number_of_labels_can_satisfy_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match=r"limits\.recall, which is 0\.85"):
        missing(split((1, 1, 1)), replace_part(PLAN, "enough", expected_recall=0.85))
    with pytest.raises(ConfigError, match=r"limits\.margin, which is 0\.1"):
        missing(split((1, 1, 1)), replace_part(PLAN, "limits", margin=0.1))


def test_the_table_of_the_documentation_is_what_is_computed() -> None:
    page = (load_settings().project / "docs" / "retraining-data.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) % \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    assert len(rows) == 4
    for found, *needed in rows:
        assert [for_floor(floor, int(found) / 100) for floor in (0.85, 0.8)] == [int(n) for n in needed]
