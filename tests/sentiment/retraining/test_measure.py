"""What is measured of a challenger besides its figures."""

import numpy as np
import pytest

from tidewatch.sentiment.evaluate import figures
from tidewatch.sentiment.retraining.measure import Answers, calibration_by_luck, differing, speed, union


def said(own: np.ndarray) -> Answers:
    """Answers of a model that says class 0 with these probabilities."""
    chances = np.stack([own, (1 - own) / 2, (1 - own) / 2], axis=1)
    labels = np.zeros(len(own), np.int8)
    return Answers(labels, chances, labels, chances)


@pytest.mark.parametrize("n", [60, 1000])
def test_a_calibrated_model_stays_below_luck_as_often_as_promised(n: int) -> None:
    random = np.random.default_rng(n)
    beyond = 0
    for trial in range(100):
        own = random.uniform(0.4, 1.0, n)
        answers = said(own)
        truth = np.where(random.random(n) < own, 0, 1).astype(np.int8)
        ece = figures(answers.labels, answers.chances, truth).ece
        beyond += ece > calibration_by_luck(answers, seed=trial)
    assert 1 <= beyond <= 13, "5 % of 100 are 5; 14 or more by luck once in 2,000 times"


def test_a_model_that_is_too_sure_is_beyond_luck() -> None:
    random = np.random.default_rng(1)
    own = random.uniform(0.7, 1.0, 600)
    truth = np.where(random.random(600) < own - 0.15, 0, 1).astype(np.int8)
    answers = said(own)
    assert figures(answers.labels, answers.chances, truth).ece > calibration_by_luck(answers, seed=1)
    assert calibration_by_luck(answers, seed=1) == calibration_by_luck(answers, seed=1)


def test_speed_is_the_median_and_the_first_call_does_not_count() -> None:
    asked: list[int] = []

    class Scorer:
        def score(self, texts: object, *, emoticons: bool = True) -> None:
            asked.append(len(texts))  # type: ignore[arg-type]

    times = iter([0.0, 1.0, 10.0, 30.0, 40.0, 42.0])  # 1, 20 and 2 seconds
    found = speed(Scorer(), ["a", "b", "c"], posts=7, repeats=3, timer=lambda: next(times))  # type: ignore[arg-type]
    assert asked == [3, 7, 7, 7]
    assert found == {"posts_per_second": 3.5, "slowest": 0.3, "posts": 7, "repeats": 3}  # 7 / 2, 7 / 20


def test_the_sample_of_differences_is_drawn_once_and_shows_first_where_one_of_the_two_is_right() -> None:
    random = np.random.default_rng(3)
    champion, challenger, truth = (random.integers(0, 3, 300) for _ in range(3))
    names = [f"{n:064x}" for n in range(300)]
    found = differing(champion, challenger, truth, names, draw="r1", most=50)
    assert found == differing(champion, challenger, truth, names, draw="r1", most=50)
    assert found != differing(champion, challenger, truth, names, draw="r2", most=50)
    assert len(found) == 50 and len({one.index for one in found}) == 50
    assert all(one.champion_says != one.challenger_says for one in found)
    assert all(one.truth in (one.champion_says, one.challenger_says) for one in found)
    every = differing(champion, challenger, truth, names, draw="r1", most=300)
    assert len(every) == (champion != challenger).sum() and every[:50] == found


def test_sets_share_posts_and_each_is_scored_once() -> None:
    assert union([np.array([3, 1]), np.array([1, 2])]).tolist() == [1, 2, 3]
    assert union([]).tolist() == []
