"""config/retention.yaml: what it says, and what is told of what it cannot say."""

from datetime import timedelta
from pathlib import Path

import pytest

from tidewatch.core.config import read_yaml
from tidewatch.core.errors import ConfigError
from tidewatch.core.retention import Days, RetentionFile
from tidewatch.core.settings import load_settings


def _read(tmp_path: Path, text: str) -> RetentionFile:
    (tmp_path / "retention.yaml").write_text(text, encoding="utf-8")
    return read_yaml(tmp_path / "retention.yaml", RetentionFile)


def test_what_a_source_says_goes_before_the_default_key_by_key(tmp_path: Path) -> None:
    file = _read(
        tmp_path,
        "default: {daily: {days: 35}, weekly: 8, yearly: 7}\n"
        "sources:\n  ops: {yearly: 0, monthly: 2, timezone: UTC, suspect_days: 5}\n",
    )
    other, ops = file.policy("media"), file.policy("ops")
    assert other.keep == {"daily": Days(days=35), "weekly": 8, "monthly": 0, "yearly": 7}
    assert (other.timezone, other.suspect) == ("Asia/Shanghai", timedelta(days=90))
    assert ops.keep == {"daily": Days(days=35), "weekly": 8, "monthly": 2, "yearly": 0}
    assert (ops.timezone, ops.suspect) == ("UTC", timedelta(days=5))
    assert str(ops) == "daily 35 d, weekly 8, monthly 2, suspect 5 d; UTC"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("default: {daily: -1}", "default.daily"),
        ("default: {daily: 3, hourly: 2}", "default.hourly"),
        ("default: {daily: {weeks: 2}}", "default.daily"),
        ("default: {yearly: 101}", "a hundred years"),
        ("default: {timezone: UTC}", "at least one generation"),
        ("default: {daily: 1}\nsources: {ops: {daily: 0}}", "sources.ops: at least one generation"),
        ("default: {daily: 1, timezone: Mars/Olympus}", "a time zone such as Asia/Shanghai"),
        ("sources: {}", "default"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_key(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        _read(tmp_path, text)
    assert told in f"{error.value.expected} {error.value.found}"


def test_the_rules_of_the_repository_are_those_that_the_documentation_shows() -> None:
    file = read_yaml(load_settings().project / "config" / "retention.yaml", RetentionFile)
    assert str(file.policy("ops")) == (
        "daily 35 d, weekly 8, monthly 13, yearly 7, suspect 90 d; Asia/Shanghai"
    )
    assert file.policy("airflow_metadata").keep["yearly"] == 0
