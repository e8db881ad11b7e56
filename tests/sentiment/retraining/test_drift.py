"""False alarms are as rare as promised for every n, and what has changed is found."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from retrain_rig import texts
from scipy.stats import chi2

from tidewatch.sentiment import LABELS
from tidewatch.sentiment.retraining.drift import Drift, _critical, _psi, drifts

SHARES = {
    "even": np.full(10, 0.1),
    "rare": np.array([0.9, 0.06, 0.02, 0.01, 0.006, 0.004]),
    "many": np.append(np.full(30, 0.4 / 30), 0.6),
}


def table(count: int, seed: int, **change: Any) -> pa.Table:
    """Made-up posts. `change`: `after` is appended to every text, `keep` filters labels, `platform` names
    the only one there is."""
    found = texts(count, seed)
    labels = np.array([LABELS.index(label) for _, label in found], np.int8)
    kept = np.isin(labels, change.get("keep", [0, 1, 2]))
    random = np.random.default_rng(seed + 10_000)
    names = np.where(random.random(count) < 0.7, "weibo", "shop") if "platform" not in change else None
    posts = [f"{text}{'[泪]' if random.random() < 0.3 else ''}{change.get('after', '')}" for text, _ in found]
    columns = {
        "text": posts,
        "label": labels,
        "platform": names if names is not None else [change["platform"]] * count,
    }
    return pa.table(columns).filter(pa.array(kept))


def drifted(before: pa.Table, recent: pa.Table) -> set[str]:
    return {one.feature for one in drifts(before, recent, dealings=4_000) if one.drifted}


@pytest.mark.parametrize("n", [100, 1_000, 100_000])
@pytest.mark.parametrize("shares", SHARES)
def test_without_drift_a_figure_is_beyond_the_critical_one_as_rarely_as_asked(shares: str, n: int) -> None:
    random, level, m, times = np.random.default_rng(n), 0.05, n // 2, 150
    beyond = 0
    one = random.multinomial(n, SHARES[shares], size=times)
    two = random.multinomial(m, SHARES[shares], size=times)
    for psi, total in zip(_psi(one, two), one + two, strict=True):
        beyond += bool(psi > _critical(total[total > 0], n, level, random, dealings=400))
    # 7.5 expected, and four standard deviations; of rare cells many figures are the same, and it is fewer.
    assert (0 if shares == "rare" else 1) <= beyond <= 18


def test_the_critical_figure_of_many_posts_is_that_of_the_chi_squared_distribution() -> None:
    n, m, level = 60_000, 20_000, 0.01
    total = (np.array([0.3, 0.25, 0.2, 0.15, 0.1]) * (n + m)).astype(np.int64)
    found = _critical(total, n, level, np.random.default_rng(1), dealings=40_000)
    assert found / (1 / n + 1 / m) == pytest.approx(chi2.ppf(1 - level, len(total) - 1), rel=0.03)


def test_posts_of_one_kind_raise_no_alarm_in_any_feature_more_often_than_promised() -> None:
    sides = [(table(150, 2 * n), table(100, 2 * n + 1)) for n in range(20)]
    found = [drifts(*side, false_alarms=0.1, dealings=2_000) for side in sides]
    assert sum(any(one.drifted for one in features) for features in found) <= 7  # 2 expected


@pytest.mark.parametrize(
    ("change", "feature"),
    [
        ({"after": "，还有很多话要说，说也说不完"}, "length"),
        ({"after": " and one more thing to say about the whole parcel"}, "script"),
        ({"after": "😀😀"}, "emoticons"),
        ({"after": "召回事件"}, "new_ngrams"),
        ({"keep": [0, 1]}, "label"),
        ({"platform": "weibo"}, "platform"),
    ],
)
def test_what_has_changed_is_found(change: dict[str, Any], feature: str) -> None:
    assert feature in drifted(table(400, 1), table(200, 2, **change))


def test_a_topic_that_comes_up_is_found_among_phrases() -> None:
    recent = table(200, 2)
    some = [text + ("新包装" if n % 4 == 0 else "") for n, text in enumerate(recent["text"].to_pylist())]
    recent = recent.set_column(0, "text", pa.array(some))
    assert "phrases" in drifted(table(600, 1), recent)


def test_the_same_tables_give_the_same_figures_and_say_how_many_posts_they_rest_on() -> None:
    before, recent = table(130, 1), table(60, 2)
    found = drifts(before, recent)
    assert found == drifts(before, recent)
    assert {one.feature: (one.n_before, one.n_recent) for one in found} == {
        name: {"new_ngrams": (65, 60), "phrases": (65, 30)}.get(name, (130, 60))
        for name in ("length", "emoticons", "new_ngrams", "phrases", "label", "platform")
    }  # all posts are in Chinese: there is no script to compare
    assert all(one.drifted == (one.statistic > one.critical) for one in found)


def test_of_very_many_posts_as_many_are_drawn_as_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidewatch.sentiment.retraining.drift.MOST", 80)
    found = {one.feature: one for one in drifts(table(300, 1), table(200, 2), dealings=400)}
    assert (found["label"].n_before, found["label"].n_recent) == (80, 80)


def test_of_few_posts_nothing_is_said_and_odd_ones_do_no_harm() -> None:
    assert drifts(table(49, 1), table(500, 2)) == []
    odd = pa.table({"text": ["", None, "\x00", "😀", " ", "۩" * 999] * 20})
    assert all(isinstance(one, Drift) for one in drifts(odd, odd))
    assert drifted(odd, odd) == set()
    assert drifts(pa.table({"text": [""] * 60}), pa.table({"text": [""] * 60})) == []
