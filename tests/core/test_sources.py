"""Sources say one thing each, and what contradicts itself is refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from tidewatch.core.errors import NotFound
from tidewatch.core.sources import SourcesFile

POSTGRES = {"type": "postgres", "name": "ops", "connection": "c", "data_class": "personal"}
FILES = {"type": "files", "name": "media", "path": "/srv/media", "data_class": "public"}


def sources(*values: dict[str, Any]) -> SourcesFile:
    return SourcesFile.model_validate({"sources": list(values)})


def test_a_source_needs_no_more_than_its_place_and_its_class() -> None:
    read = sources(POSTGRES, FILES)
    assert read.source("ops").regions is None
    gate = read.source("media").gate
    assert (gate.row_ratio_min, gate.history, gate.min_rows) == (0.8, 7, 20)


@pytest.mark.parametrize(
    "value",
    [
        FILES | {"connection": "c", "bucket": "bbb"},
        FILES | {"prefix": "p"},
        FILES | {"path": None},
        FILES | {"path": None, "bucket": "bbb"},
        FILES | {"path": None, "connection": "c", "prefix": "p"},
        FILES | {"regions": []},
        FILES | {"regions": ["a", "a"]},
        FILES | {"name": "Media Files"},
        FILES | {"data_class": ""},
        FILES | {"gate": {"row_ratio_min": 1.5}},
        FILES | {"gate": {"row_ratio_max": 0.9}},
        POSTGRES | {"path": "/srv"},
    ],
)
def test_a_source_that_contradicts_itself_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        sources(value)


def test_a_prefix_of_a_bucket_is_a_files_source() -> None:
    value = FILES | {"path": None, "connection": "c", "bucket": "bbb", "prefix": "p/"}
    assert sources(value).source("media").name == "media"


def test_two_sources_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="ops is there twice"):
        sources(POSTGRES, FILES, POSTGRES)


def test_an_unknown_source_names_the_known_ones() -> None:
    with pytest.raises(NotFound, match=r"Expected: one of ops, media. Found: opps"):
        sources(POSTGRES, FILES).source("opps")


@pytest.mark.parametrize("hours", [0, float("inf"), float("nan"), 1e12])
def test_an_age_that_is_no_length_of_time_is_refused(hours: float) -> None:
    with pytest.raises(ValidationError, match="max_age_hours"):
        sources(FILES | {"max_age_hours": hours})
