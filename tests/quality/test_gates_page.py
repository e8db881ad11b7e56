"""docs/gates.md: its example is run, its list is complete."""

import re
from pathlib import Path
from typing import Any

import pytest

from tidewatch.core.database import Connection
from tidewatch.core.settings import load_settings
from tidewatch.quality.vocabulary import KINDS

PAGE = (load_settings().project / "docs" / "gates.md").read_text(encoding="utf-8")


def block(language: str, number: int = 0) -> str:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)[number]


def test_the_example_of_the_page_does_what_the_page_says(
    warehouse: str, conn: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    (config / "gates").mkdir(parents=True)
    (config / "gates" / "comments.yaml").write_text(block("yaml"), encoding="utf-8")
    monkeypatch.setenv("TIDEWATCH_CONFIG_DIR", str(config))
    monkeypatch.setenv("TIDEWATCH_HOME", str(tmp_path / "home"))
    names: dict[str, Any] = {"dsn": warehouse}
    exec(compile(block("python"), "docs/gates.md", "exec"), names)  # noqa: S102 - our own page
    judgement = names["judgement"]
    assert judgement.passed
    assert (judgement.staged, judgement.published, judgement.quarantined) == (3, 2, 1)
    assert names["to_publish"]["id"].tolist() == [1, 2]
    assert [f.column for f in judgement.warnings] == ["stars"]
    assert (tmp_path / "home" / "data_docs" / "index.html").is_file()

    conn.execute("create schema staging")
    conn.execute(
        "create table staging.comments as select 'shop' as platform, 1 as id, 'ok'::text as text, 3 as stars"
    )
    conn.commit()
    exec(compile(block("python", 1), "docs/gates.md", "exec"), names)  # noqa: S102 - our own page
    with pytest.raises(Exception, match="refused"):
        names["judge"](
            names["gate"],
            {"comments": names["batch"]},
            where=names["Where"]("d", "r", "s"),
            conn=conn,
            now=names["datetime"].now(names["UTC"]),
            gx_dir=None,
            docs_dir=None,
            params={"FEWEST": 3},
        ).raise_if_failed()
    assert len(conn.execute(block("sql")).fetchall()) == 2


@pytest.mark.parametrize("name", KINDS)
def test_every_expectation_stands_on_the_page_with_its_arguments(name: str) -> None:
    line = re.search(rf"^\| `{name}` \| (.*) \|$", PAGE, flags=re.MULTILINE)
    assert line is not None, f"docs/gates.md does not list {name}"
    shown = set(re.findall(r"`(\w+)`", line[1]))
    assert shown == set(KINDS[name].arguments) - {"mostly", "strict_min", "strict_max"}
