"""A version beside the champion: it scores, it is counted, it has no say."""

import csv
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tidewatch.core.config import read_yaml
from tidewatch.core.database import Connection, connect, execute
from tidewatch.core.errors import ConfigError, NotFound
from tidewatch.evidence import ledger
from tidewatch.sentiment import registry, shadow
from tidewatch.sentiment.labels.mapping import LabelsFile
from tidewatch.sentiment.labels.offering import OfferReport, offer_file
from tidewatch.sentiment.model import Model
from tidewatch.sentiment.train import train

sys.path.insert(0, str(Path(__file__).parent.parent / "sentiment"))

from posts import posts

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
CONFIG = read_yaml(Path(__file__).parents[2] / "config" / "labels.yaml", LabelsFile)
SAID = {"by": "li.wei", "why": "a month beside the champion"}


@pytest.fixture(scope="module")
def models() -> tuple[Model, Model]:
    """The second has learned negative and positive the wrong way round."""
    texts, labels = posts(200, seed=1)
    return train(texts, labels, seed=1, bits=10), train(texts, 2 - labels, seed=1, bits=10)


@pytest.fixture
def conn(warehouse: str, models: tuple[Model, Model]) -> Any:
    """Version 1 is the champion, version 2 is registered."""
    with connect(warehouse, application_name="tests") as conn:
        for model in models:
            registry.register(
                conn, model.to_bytes(), dataset_sha256="a" * 64, parameters={}, metrics={},
                compared_with=None, run=None, by="tests", now=NOW,
            )  # fmt: skip
        registry.promote(conn, 1, instead_of=None, by="tests", why="the first", now=NOW)
        yield conn


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "posts.csv"
    with path.open("w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["text"])
        rows.writerows([text] for text in posts(40, seed=2)[0])
    return path


def offered(conn: Connection, file: Path, **more: Any) -> OfferReport:
    return offer_file(conn, file, CONFIG, mapping="default", most=10, now=NOW, **more)


def scores(conn: Connection) -> list[Any]:
    return conn.execute("select p_negative from sentiment.scores order by post_id").fetchall()


def test_both_score_the_same_posts_once_and_only_the_champion_has_a_say(conn: Connection, file: Path) -> None:
    alone = offered(conn, file)
    assert (alone.shadow, alone.differing) == (None, None)
    before = scores(conn)
    shadow.begin(conn, 2, **SAID, now=NOW)
    both = offered(conn, file)
    assert both.shadow == 2 and both.version == 1 and both.differing is not None
    assert 0 < both.differing <= both.texts
    assert scores(conn) == before, "the queue is the champion's"
    present = shadow.shadow(conn)
    assert present is not None
    pairs = shadow.counts(conn, present)
    assert shadow.differing(pairs, 1) == (both.texts, both.differing)
    offered(conn, file)
    assert shadow.counts(conn, present) == pairs, "the same posts again count once"
    assert offered(conn, file, dry_run=True).differing == both.differing
    assert shadow.differing(pairs, 7) == (0, 0), "another champion was not compared"


def test_a_dry_run_counts_nothing(conn: Connection, file: Path) -> None:
    present = shadow.begin(conn, 2, **SAID, now=NOW)
    assert offered(conn, file, dry_run=True).shadow == 2
    assert shadow.counts(conn, present) == []


def test_one_version_at_a_time_each_change_recorded(conn: Connection) -> None:
    first = shadow.begin(conn, 2, **SAID, now=NOW)
    assert shadow.begin(conn, 2, **SAID, now=NOW + timedelta(days=1)) == first
    registry.register(
        conn, b"three", dataset_sha256="a" * 64, parameters={}, metrics={}, compared_with=None, run=None,
        by="tests", now=NOW,
    )  # fmt: skip
    shadow.begin(conn, 3, **SAID, now=NOW + timedelta(days=2))
    assert shadow.end(conn, **SAID, now=NOW + timedelta(days=3)).version == 3
    assert shadow.shadow(conn) is None
    acts = [
        (r.body["act"], r.body["version"])
        for r in ledger.records(conn, kind="model.shadowed", subject="sentiment")
    ]
    assert acts == [("begun", 2), ("ended", 2), ("begun", 3), ("ended", 3)]
    with pytest.raises(NotFound, match="no shadow to end"):
        shadow.end(conn, **SAID, now=NOW)


def test_a_shadow_that_becomes_the_champion_is_none_any_more(conn: Connection, file: Path) -> None:
    shadow.begin(conn, 2, **SAID, now=NOW)
    registry.promote(conn, 2, instead_of=1, by="tests", why="better", now=NOW)
    assert shadow.shadow(conn) is None and offered(conn, file).shadow is None
    registry.rollback(conn, by="tests", why="worse", now=NOW)
    assert shadow.shadow(conn) is None, "promoting has ended it"
    assert shadow.begin(conn, 2, **SAID, now=NOW).version == 2


def test_what_cannot_be_a_shadow_is_refused_in_words(conn: Connection) -> None:
    with pytest.raises(ConfigError, match="cannot be the shadow"):
        shadow.begin(conn, 1, **SAID, now=NOW)
    with pytest.raises(NotFound):
        shadow.begin(conn, 9, **SAID, now=NOW)
    with pytest.raises(ConfigError, match="name"):
        shadow.begin(conn, 2, by=" ", why="why", now=NOW)
    execute(conn, "sentiment/champion_ends", {"now": NOW})
    with pytest.raises(ConfigError, match="no champion yet"):
        shadow.begin(conn, 2, **SAID, now=NOW)
