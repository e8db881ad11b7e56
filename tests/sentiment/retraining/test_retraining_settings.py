"""config/retraining.yaml as it is shipped, and mistakes in it."""

from pathlib import Path

import pytest

from tidewatch.core.errors import ConfigError
from tidewatch.core.settings import load_settings
from tidewatch.sentiment.retraining.settings import RetrainingFile, load_retraining


def test_the_shipped_file_says_what_holds_without_it() -> None:
    assert load_retraining(load_settings().config_dir) == RetrainingFile()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("held_out: {share: 1.5}", "held_out.share"),
        ("search: {cost: []}", "search"),
        ("search: {cost: [1, 1]}", "search"),
        ("search: {trainings: 0}", "search.trainings"),
        ("limits: {recal: 0.5}", "limits.recal"),
        (
            "crises: [{name: a, begins: 2026-01-01T00:00:00, ends: 2026-01-02T00:00:00}]",
            "a time with its zone",
        ),
        (
            "crises: [{name: a, begins: 2026-01-02T00:00:00Z, ends: 2026-01-01T00:00:00Z}]",
            "`ends` is after `begins`",
        ),
        ("approval: {days: 0}", "approval.days"),
        ("crises: [{name: a, begins: 20260314, ends: 2026-03-21T00:00:00Z}]", "a time with its zone"),
        ("limits: {margin: 1.0e-200}", "limits.margin"),
        ("limits: {posts_per_second: .inf}", "limits.posts_per_second"),
    ],
)
def test_a_mistake_is_named_by_its_key(tmp_path: Path, text: str, key: str) -> None:
    (tmp_path / "retraining.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load_retraining(tmp_path)
    assert key in error.value.expected


def test_two_crises_need_two_names(tmp_path: Path) -> None:
    one = "{name: a, begins: 2026-01-01T00:00:00Z, ends: 2026-01-02T00:00:00Z}"
    (tmp_path / "retraining.yaml").write_text(f"crises: [{one}, {one}]")
    with pytest.raises(ConfigError, match="two crises have one name"):
        load_retraining(tmp_path)
