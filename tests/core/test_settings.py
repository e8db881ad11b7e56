"""Settings come from TIDEWATCH_ variables, and every path is absolute."""

from pathlib import Path

import pytest

from tidewatch.core.errors import ConfigError
from tidewatch.core.settings import load_settings

PROJECT = Path(__file__).resolve().parents[2]


def test_everything_is_derived_from_the_checkout() -> None:
    settings = load_settings()
    assert settings.project == PROJECT
    assert settings.home == PROJECT / ".tidewatch"
    assert settings.sql_dir == PROJECT / "sql"
    assert settings.signing_key_file == PROJECT / ".tidewatch/keys/signing.pem"
    assert settings.pg_bin_dir is None


def test_what_is_given_moves_what_is_derived_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEWATCH_HOME", "/srv/tidewatch")
    monkeypatch.setenv("TIDEWATCH_RECIPIENTS_FILE", "/etc/recipients.txt")
    settings = load_settings()
    assert settings.gx_dir == Path("/srv/tidewatch/gx")
    assert settings.recipients_file == Path("/etc/recipients.txt")
    assert settings.config_dir == PROJECT / "config"


def test_a_relative_path_does_not_depend_on_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIDEWATCH_HOME", "state")
    monkeypatch.chdir(tmp_path)
    assert load_settings().home == PROJECT / "state"
    assert load_settings().data_docs_dir == PROJECT / "state/data_docs"


def test_an_empty_variable_counts_as_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEWATCH_HOME", "")
    monkeypatch.setenv("TIDEWATCH_PG_BIN_DIR", "")
    assert load_settings().home == PROJECT / ".tidewatch"
    assert load_settings().pg_bin_dir is None


def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEWATCH_HOME", "~nobody-of-this-name/state")
    with pytest.raises(ConfigError, match="TIDEWATCH_HOME begins with the home of a user who is not known"):
        load_settings()


def test_the_home_of_a_user_may_be_written_as_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEWATCH_HOME", "~/state")
    assert load_settings().home == Path.home() / "state"
