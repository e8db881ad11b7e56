"""Figures of a model: what they should be by hand, and what they rest on."""

import json

import numpy as np
import pyarrow as pa
import pytest
from posts import posts

from tidewatch.core.errors import ConfigError
from tidewatch.sentiment import LABELS
from tidewatch.sentiment.calibrate import blend, softmax
from tidewatch.sentiment.evaluate import checked, evaluate, figures, paired, share
from tidewatch.sentiment.model import Model


def sure(labels: list[int], chance: float = 0.8) -> np.ndarray:
    """Probabilities with `chance` for the label and the rest for the others."""
    chances = np.full((len(labels), 3), (1 - chance) / 2)
    chances[np.arange(len(labels)), labels] = chance
    return chances


def test_the_figures_of_ten_posts_are_those_counted_by_hand() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
    given = [0, 0, 0, 1, 1, 2, 2, 2, 2, 0]
    found = figures(np.array(given), sure(given), truth)
    assert (found.n, found.accuracy.value) == (10, 0.7)
    assert found.confusion == ((3, 1, 0), (0, 1, 1), (1, 0, 3))
    assert [one.recall.value for one in found.classes if one.recall] == [0.75, 0.5, 0.75]
    assert [one.precision.value for one in found.classes if one.precision] == [0.75, 0.5, 0.75]
    assert found.macro_f1 == pytest.approx((0.75 + 0.5 + 0.75) / 3)
    assert found.ece == pytest.approx(0.8 - 0.7)
    assert found.log_loss == pytest.approx(-(7 * np.log(0.8) + 3 * np.log(0.1)) / 10)
    assert [(one.n, one.accuracy) for one in found.reliability] == [(10, 0.7)]


def test_a_class_that_does_not_occur_has_no_share_and_is_not_in_the_mean() -> None:
    found = figures(np.array([0, 2, 2]), sure([0, 2, 2]), np.array([0, 0, 2]))
    assert found.classes[1].recall is None and found.classes[1].precision is None
    assert found.macro_f1 == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_intervals_are_wilsons() -> None:
    perfect = share(22, 22)  # the least that shows 85 %
    assert perfect.low == pytest.approx(0.8513, abs=1e-4) and perfect.high == 1
    assert share(21, 21).low < 0.85
    assert share(177, 196).low > 0.85 > share(175, 196).low


def test_two_models_that_differ_by_luck_are_not_told_apart_and_a_better_one_is() -> None:
    truth = np.zeros(1000, int)
    first, luckier, better = truth.copy(), truth.copy(), truth.copy()
    first[:100], luckier[5:104], better[:50] = 1, 1, 1
    luck, gain = paired(first, luckier, truth), paired(first, better, truth)
    assert (luck.only_first, luck.only_second) == (4, 5) and luck.p_value == 1
    assert luck.low < 0 < luck.high
    assert (
        gain.difference == pytest.approx(0.05) and gain.p_value < 1e-9 and 0.03 < gain.low < gain.high < 0.07
    )
    assert paired(first, first, truth).p_value == 1


def test_an_evaluation_tells_what_is_left_without_emoticons(model: Model) -> None:
    texts, labels = posts(200, seed=11)
    only = ["[鼓掌]" * 3 if label == 2 else "[怒]" * 3 for label in labels]
    whole = evaluate(model, pa.array(texts), labels)
    assert whole.emoticons_removed is not None and whole.emoticons_removed.n == whole.n == 200
    told = evaluate(model, only, labels)
    assert told.emoticons_removed is not None
    assert told.accuracy.value > told.emoticons_removed.accuracy.value
    assert evaluate(model, texts, labels, emoticons=False).emoticons_removed is None


def test_an_evaluation_is_json_and_holds_no_text(model: Model) -> None:
    texts, labels = posts(60, seed=12)
    found = evaluate(model, texts, labels).as_dict()
    assert json.loads(json.dumps(found)) == found
    assert not any(text[:4] in json.dumps(found, ensure_ascii=False) for text in texts)


@pytest.mark.parametrize("labels", [[], [3], [-1], ["negative"], [0.0], [[0]]])
def test_what_is_no_label_is_refused(labels: list[int]) -> None:
    with pytest.raises(ConfigError, match=", ".join(LABELS)):
        checked(labels)


def test_calibration_finds_the_probabilities_and_the_classifier_that_knows() -> None:
    random = np.random.default_rng(5)
    truth_scores = random.normal(size=(6000, 3))
    labels = np.array([random.choice(3, p=row) for row in softmax(truth_scores)])
    noise = random.normal(size=(6000, 3))
    mixed = blend(np.stack([truth_scores * 4, noise], axis=1), labels, np.ones(6000))
    assert np.allclose(mixed.factors[0], 0.25, atol=0.03) and np.allclose(mixed.factors[1], 0, atol=0.1)
    chances = mixed.apply(np.stack([truth_scores * 4, noise], axis=1))
    assert figures(chances.argmax(axis=1), chances, labels).ece < 0.02


def test_what_a_model_says_of_itself_holds_on_other_posts(model: Model) -> None:
    texts, labels = posts(400, seed=13)
    said = model.header["metrics"]["held_out"]
    found = evaluate(model, texts, labels)
    assert abs(said["accuracy"]["value"] - found.accuracy.value) < 0.05
    assert abs(said["log_loss"] - found.log_loss) < 0.15
