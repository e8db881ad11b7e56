"""Gates, batches and a judge for the tests of this directory."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tidewatch.core.database import Connection, connect
from tidewatch.quality.gate import Gate
from tidewatch.quality.judgement import Judgement, Where
from tidewatch.quality.run import judge

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
Judge = Callable[..., Judgement]


@pytest.fixture
def conn(warehouse: str) -> Iterator[Connection]:
    """A connection to a migrated database; what a test leaves open is rolled back."""
    with connect(warehouse, application_name="tests") as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The directory of the data docs."""
    return tmp_path / "docs"


@pytest.fixture
def judge_here(conn: Connection, site: Path, tmp_path: Path) -> Judge:
    """`judge` with this test's connection and directories; anything can be overridden."""

    def run(
        gate: Gate, batches: dict[str, Any], *, subject: str = "s-1", run_id: str = "r-1", **rest: Any
    ) -> Judgement:
        settings: dict[str, Any] = {
            "where": Where("a_dag", run_id, subject),
            "conn": conn,
            "now": NOW,
            "gx_dir": tmp_path / "gx",
            "docs_dir": site,
        }
        return judge(gate, batches, **(settings | rest))

    return run


def one_batch(*expectations: dict[str, Any], **batch: Any) -> Gate:
    """A gate `g` with one batch `rows`."""
    return Gate.model_validate(
        {
            "gate": "g",
            "description": "a test",
            "batches": {"rows": {"expectations": list(expectations), **batch}},
        }
    )
