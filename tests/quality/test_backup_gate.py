"""config/gates/backup.yaml: which backups are good, degraded, suspect."""

from typing import Any

import pandas as pd
import pytest

from tidewatch.core.settings import load_settings
from tidewatch.quality.gate import load_gate
from tidewatch.quality.judgement import Judgement

from .conftest import Judge

GATE = load_gate(load_settings().config_dir / "gates" / "backup.yaml")
BAND: dict[str, Any] = {"ROW_RATIO_MIN": 0.8, "ROW_RATIO_MAX": None, "SNAPSHOT_AGE_MAX": 21600}
HEX = "0123456789abcdef" * 4


def good() -> dict[str, pd.DataFrame]:
    """A sound database backup: three tables (one small and unjudged), two objects, three regions."""
    tables = pd.DataFrame(
        [
            ("public", "comments", 1000, HEX, True, True, 990.0, 1.01),
            ("public", "incidents", 3, HEX, True, False, 4.0, None),
            ("public", "posts", 500, HEX, True, True, 500.0, 1.0),
        ],
        columns=["schema", "table", "rows", "sha256", "present", "judged", "median_rows", "row_ratio"],
    ).astype({"rows": "Int64", "row_ratio": float})
    objects = pd.DataFrame(
        [
            ("dump.pgc.zst.age", "dump", 9000, HEX, 3000, HEX),
            ("roles.sql.zst.age", "roles", 90, HEX, 300, HEX),
        ],
        columns=["name", "role", "plain_size", "plain_sha256", "cipher_size", "cipher_sha256"],
    )
    copies = pd.DataFrame({"region": ["e", "n", "s"], "required": [True] * 3, "verified": [True] * 3})
    summary = pd.DataFrame(
        [
            {
                "source": "ops",
                "missing_tables": 0,
                "files_ratio": None,
                "empty": False,
                "stored_ratio": 0.3,
                "snapshot_age_seconds": 40.0,
            }
        ]
    )
    expected = pd.DataFrame({"pattern": ["public.posts"], "present": [True]})
    return {
        "tables": tables,
        "expected": expected,
        "objects": objects,
        "copies": copies,
        "summary": summary,
    }


def names(judgement: Judgement) -> list[str]:
    return [
        f"{f.batch}.{f.column} {f.expectation.removeprefix('expect_column_')}" for f in judgement.critical
    ]


def test_a_sound_backup_passes(judge_here: Judge) -> None:
    judgement = judge_here(GATE, good(), params=BAND)
    assert judgement.passed, names(judgement)
    assert judgement.warnings == []


@pytest.mark.parametrize(
    ("batch", "row", "column", "value", "failure"),
    [
        ("expected", 0, "present", False, "expected.present values_to_be_in_set"),
        ("tables", 0, "row_ratio", 0.7, "tables.row_ratio values_to_be_between"),
        ("tables", 0, "sha256", None, "tables.sha256 values_to_not_be_null"),
        ("tables", 0, "sha256", HEX.upper(), "tables.sha256 values_to_match_regex"),
        ("tables", 0, "table", "posts", "tables.schema, table expect_compound_columns_to_be_unique"),
        ("objects", 0, "cipher_size", 0, "objects.cipher_size values_to_be_between"),
        ("objects", 1, "cipher_sha256", None, "objects.cipher_sha256 values_to_not_be_null"),
        ("objects", 1, "plain_sha256", HEX[:-1], "objects.plain_sha256 values_to_match_regex"),
        ("objects", 1, "name", "dump.pgc.zst.age", "objects.name values_to_be_unique"),
        ("summary", 0, "snapshot_age_seconds", 21601.0, "summary.snapshot_age_seconds values_to_be_between"),
        ("summary", 0, "stored_ratio", 0.0, "summary.stored_ratio values_to_be_between"),
        ("summary", 0, "stored_ratio", 9.0, "summary.stored_ratio values_to_be_between"),
        ("summary", 0, "files_ratio", 0.5, "summary.files_ratio values_to_be_between"),
        ("summary", 0, "empty", True, "summary.empty values_to_be_in_set"),
    ],
)
def test_what_makes_a_backup_suspect(
    judge_here: Judge, batch: str, row: int, column: str, value: Any, failure: str
) -> None:
    frames = good()
    frames[batch][column] = frames[batch][column].astype(object)
    frames[batch].loc[row, column] = value
    judgement = judge_here(GATE, frames, params=BAND)
    assert names(judgement) == [failure]


def test_a_table_that_lost_30_percent_is_named_with_its_ratio_and_the_limit(judge_here: Judge) -> None:
    frames = good()
    frames["tables"].loc[0, "row_ratio"] = 0.7
    (failure,) = judge_here(GATE, frames, params=BAND).critical
    assert failure.rows == ("public.comments (row_ratio = 0.7)",)
    assert "greater than or equal to 0.8" in failure.limit
    assert failure.note_en
    assert failure.note_zh


def test_a_missing_table_is_suspect_and_named(judge_here: Judge) -> None:
    frames = good()
    gone = {"schema": "public", "table": "contacts", "rows": 0, "present": False, "judged": False}
    frames["tables"] = pd.concat([frames["tables"], pd.DataFrame([gone])], ignore_index=True)
    frames["summary"]["missing_tables"] = 1
    judgement = judge_here(GATE, frames, params=BAND)
    assert [f.rows for f in judgement.critical] == [
        ("public.contacts (present = false)",),
        ("ops (missing_tables = 1)",),
    ]


def test_an_unjudged_table_may_shrink(judge_here: Judge) -> None:
    frames = good()
    frames["tables"].loc[1, "row_ratio"] = 0.1
    assert judge_here(GATE, frames, params=BAND).passed


def test_a_missing_copy_is_a_warning_not_a_suspicion(judge_here: Judge) -> None:
    frames = good()
    frames["copies"].loc[1, "verified"] = False
    judgement = judge_here(GATE, frames, params=BAND)
    assert judgement.passed
    assert [f.rows for f in judgement.warnings] == [("n (verified = false)",)]


def test_a_copy_that_is_not_required_may_be_missing(judge_here: Judge) -> None:
    frames = good()
    frames["copies"].loc[1, ["required", "verified"]] = [False, False]
    assert judge_here(GATE, frames, params=BAND).warnings == []


def test_an_upper_limit_counts_where_the_source_sets_one(judge_here: Judge) -> None:
    frames = good()
    frames["tables"].loc[0, "row_ratio"] = 3.0
    assert judge_here(GATE, frames, params=BAND).passed
    assert not judge_here(GATE, frames, params={**BAND, "ROW_RATIO_MAX": 2.0}).passed


def test_a_files_source_without_tables_passes(judge_here: Judge) -> None:
    frames = good()
    frames["tables"] = frames["tables"].iloc[:0]
    frames["summary"]["files_ratio"] = 1.0
    assert judge_here(GATE, frames, params=BAND).passed


def test_a_first_backup_without_history_passes(judge_here: Judge) -> None:
    frames = good()
    frames["tables"] = frames["tables"].assign(row_ratio=float("nan"), median_rows=float("nan"), judged=False)
    assert judge_here(GATE, frames, params=BAND).passed
