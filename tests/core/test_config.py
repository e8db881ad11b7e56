"""A mistake in a YAML file is told with its place, what was expected and what was found."""

import traceback
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from tidewatch.core.config import ProjectPath, Strict, expand_path, read_yaml
from tidewatch.core.errors import ConfigError
from tidewatch.core.regions import RegionsFile
from tidewatch.core.settings import load_settings
from tidewatch.core.sources import FilesSource, PostgresSource, SourcesFile

PROJECT = Path(__file__).resolve().parents[2]


class Red(Strict):
    kind: Literal["red"]
    name: str = "r"
    depth: int = 1


class Blue(Strict):
    kind: Literal["blue"]
    url: str = ""
    limits: dict[str, int] = Field(default_factory=dict)


class Paint(Strict):
    version: str = "1"
    mode: Literal["COMPLIANCE", "GOVERNANCE"] = "COMPLIANCE"
    colours: list[Annotated[Red | Blue, Field(discriminator="kind")]] = Field(default_factory=list)
    folder: ProjectPath | None = None


def problem(tmp_path: Path, text: str, model: type[Strict] = Paint) -> ConfigError:
    file = tmp_path / "paint.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_yaml(file, model)
    assert str(file) in str(caught.value)
    return caught.value


def test_a_good_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("colours: [{kind: red, depth: 3}]", encoding="utf-8")
    assert read_yaml(tmp_path / "p.yaml", Paint).colours == [Red(kind="red", depth=3)]


def test_a_key_is_named_the_way_the_file_shows_it(tmp_path: Path) -> None:
    error = problem(tmp_path, "colours:\n- {kind: blue}\n- {kind: red, name: sky, depth: deep}\n")
    assert error.found == "colours[1] (sky).depth: 'deep'"
    assert error.expected.startswith("colours[1] (sky).depth: input should be a valid integer")


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    error = problem(tmp_path, "mode: compliance\ncolours:\n- {kind: red, depht: 3}\n- {name: x}\n")
    assert "3 problems" in error.what
    assert "mode: 'compliance' (did you mean COMPLIANCE?)" in error.found
    assert "colours[0].depht: a key that is not known (did you mean depth?)" in error.found
    assert "colours[1] (x).kind: nothing" in error.found


def test_an_unknown_kind_names_the_kinds_there_are(tmp_path: Path) -> None:
    error = problem(tmp_path, "colours: [{kind: rad}]")
    assert error.expected == "colours[0].kind: one of 'red', 'blue'"
    assert error.found == "colours[0].kind: 'rad' (did you mean red?)"


def test_a_key_of_another_kind_is_not_suggested(tmp_path: Path) -> None:
    assert "known: depth, kind, name" in problem(tmp_path, "colours: [{kind: red, limits: {}}]").found


def test_a_value_in_a_mapping_is_named_by_its_key(tmp_path: Path) -> None:
    assert (
        problem(tmp_path, "colours: [{kind: blue, limits: {a: 1, b: x}}]").found == "colours[0].limits.b: 'x'"
    )


@pytest.mark.parametrize("value", ["1.0", "2026", "no", "2026-11-22"])
def test_a_value_that_yaml_reads_as_something_else_than_text_asks_for_quotes(
    tmp_path: Path, value: str
) -> None:
    assert "put quotes around it" in problem(tmp_path, f"version: {value}").expected


def test_a_missing_value_is_named(tmp_path: Path) -> None:
    error = problem(tmp_path, "sources: [{type: postgres, name: ops, connection: c}]", SourcesFile)
    assert error.expected == "sources[0] (ops).data_class: a value"
    assert error.found == "sources[0] (ops).data_class: nothing"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n"])
def test_an_empty_file_says_which_keys_belong_into_it(tmp_path: Path, text: str) -> None:
    assert problem(tmp_path, text).expected == "the keys version, mode, colours, folder"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("mode: a: b", "mapping values are not allowed here at line 1, column 8"),
        ("colours:\n\t- x", "found character '\\t' that cannot start any token at line 2, column 1"),
        ("mode: A\nmode: B\n", "the key 'mode' stands here twice at line 2, column 1"),
        ("version: {{ version }}", "a key is not plain text (text with braces needs quotes) at line 1"),
        ("version: 2026-99-99", "a value YAML refuses: month must be in 1..12"),
        ("a: 1\n---\nb: 2\n", "but found another document at line 2"),
        ("version: !!python/object:os.system x", "could not determine a constructor for the tag"),
        ("version: a\x07b", "special characters are not allowed"),
    ],
)
def test_what_is_not_yaml_is_told_with_its_line(tmp_path: Path, text: str, found: str) -> None:
    assert found in problem(tmp_path, text).found


def test_a_list_where_a_mapping_belongs_is_told(tmp_path: Path) -> None:
    error = problem(tmp_path, "- a\n- b\n")
    assert error.found == "(whole file): a list of 2"


def test_merge_keys_work_and_may_be_overridden(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "colours:\n- &base {kind: red, depth: 3}\n- {<<: *base, depth: 4}\n", encoding="utf-8"
    )
    colours = read_yaml(tmp_path / "p.yaml", Paint).colours
    assert [c.depth for c in colours if isinstance(c, Red)] == [3, 4]


def test_a_missing_file_says_what_to_create(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file.*create paint.yaml") as caught:
        read_yaml(tmp_path / "paint.yaml", Paint)
    assert "TIDEWATCH_CONFIG_DIR" in caught.value.do


def test_a_file_that_is_not_utf8_says_so(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes("mode: 观潮".encode("gbk"))
    with pytest.raises(ConfigError, match=r"Expected: text in UTF-8. Found: byte 7"):
        read_yaml(tmp_path / "p.yaml", Paint)


def test_a_value_that_may_be_secret_is_never_shown(tmp_path: Path) -> None:
    text = (
        "colours:\n"
        "- {kind: blue, url: [dingtalk://t0ken/], limits: {hook_url: abcd1234}}\n"
        "- {kind: red, depth: slack://s3cret/b}\n"
    )
    error = problem(tmp_path, text)
    shown = "".join(traceback.format_exception(error))
    assert "t0ken" not in shown
    assert "s3cret" not in shown
    assert "abcd1234" not in shown


# -- paths -------------------------------------------------------------------------------------------------


def test_home_and_project_are_replaced_in_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIDEWATCH_HOME", str(tmp_path / "state"))
    assert expand_path("${TIDEWATCH_HOME}/media") == f"{tmp_path}/state/media"
    assert expand_path("${TIDEWATCH_PROJECT}/x") == f"{PROJECT}/x"
    assert expand_path("data/media") == f"{PROJECT}/data/media"
    assert expand_path("/srv/a $b/c") == "/srv/a $b/c"


@pytest.mark.parametrize(
    "text", ["${HOME}/x", "${AWS_SECRET_ACCESS_KEY}", "${TIDEWATCH_HOME", "~/media", " ", "", "a\0b"]
)
def test_nothing_else_is_expanded(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-value")
    with pytest.raises(ValueError, match=r"replaced|empty|expanded") as caught:
        expand_path(text)
    assert "hidden-value" not in str(caught.value)


def test_a_value_from_the_environment_is_not_expanded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEWATCH_HOME", "/srv/${HOME}")
    assert expand_path("${TIDEWATCH_HOME}/a") == "/srv/${HOME}/a"


def test_only_fields_that_are_paths_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEWATCH_HOME", "/srv/state")
    (tmp_path / "p.yaml").write_text(
        'folder: ${TIDEWATCH_HOME}/a\nversion: "${TIDEWATCH_HOME}"\n', encoding="utf-8"
    )
    paint = read_yaml(tmp_path / "p.yaml", Paint)
    assert (paint.folder, paint.version) == ("/srv/state/a", "${TIDEWATCH_HOME}")


def test_an_unknown_variable_in_a_path_is_told_with_its_key(tmp_path: Path) -> None:
    error = problem(tmp_path, "folder: ${HOME}/x")
    assert "folder: only ${TIDEWATCH_HOME} and ${TIDEWATCH_PROJECT} are replaced" in error.expected


# -- the files of the repository ---------------------------------------------------------------------------


def test_the_demo_configuration_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEWATCH_HOME", "/srv/state")
    config = load_settings().config_dir
    sources = read_yaml(config / "sources.yaml", SourcesFile)
    regions = read_yaml(config / "regions.yaml", RegionsFile)
    assert [s.name for s in sources.sources] == ["ops", "airflow_metadata", "tidewatch_warehouse", "media"]
    assert [r.name for r in regions.regions] == ["cn-east", "cn-north", "cn-south"]
    assert {s.data_class for s in sources.sources} <= set(regions.residency)
    media = sources.source("media")
    assert isinstance(media, FilesSource)
    assert media.path == "/srv/state/media"


def test_airflow_tables_that_shrink_by_themselves_are_not_judged_by_ratio() -> None:
    from fnmatch import fnmatch

    metadata = read_yaml(load_settings().config_dir / "sources.yaml", SourcesFile).source("airflow_metadata")
    assert isinstance(metadata, PostgresSource)

    def judged(table: str) -> bool:
        return not any(fnmatch(f"public.{table}", p) for p in metadata.gate.volatile)

    # what `airflow db clean` empties, as Airflow itself lists it
    cleaned = [t for t in _tables_that_db_clean_empties() if judged(t)]
    assert cleaned == []
    assert judged("dag_tag")
    assert judged("connection")
    assert judged("variable")


def _tables_that_db_clean_empties() -> list[str]:
    import subprocess
    import sys

    # In a process of its own: importing Airflow starts more than a list of names should.
    code = "from airflow.utils.db_cleanup import config_dict; print('NAMES', *sorted(config_dict))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("NAMES ")]
    return line.split()[1:]


@pytest.mark.parametrize("deep", ["[", "- "])
def test_a_file_nested_deeper_than_can_be_read_is_refused_as_such(tmp_path: Path, deep: str) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text(deep * 5000)
    with pytest.raises(ConfigError, match="deeper than can be read"):
        read_yaml(file, SourcesFile)
