"""What was ever held out is never trained on, nothing is on both sides, and a run keeps its split."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from retrain_rig import NOW, PLAN, give, replace_part, texts

from tidewatch.core.database import Connection, connect
from tidewatch.sentiment.labels.deletion import Ref, delete
from tidewatch.sentiment.labels.posts import Post
from tidewatch.sentiment.labels.store import Given, append_labels
from tidewatch.sentiment.labels.training import TrainingSet, freeze, training_set
from tidewatch.sentiment.retraining.settings import Crisis, RetrainingFile
from tidewatch.sentiment.retraining.splitting import Split, split


@pytest.fixture
def conn(warehouse: str) -> Iterator[Connection]:
    with connect(warehouse, application_name="tests") as conn:
        yield conn


def drawn(conn: Connection, run_id: str, plan: RetrainingFile = PLAN, now: datetime = NOW) -> Split:
    found = split(conn, training_set(conn, now=now), settings=plan, run_id=run_id, now=now)
    conn.commit()
    return found


def hashes(conn: Connection, places: Any, now: datetime = NOW) -> set[str]:
    return set(training_set(conn, now=now).table["text_sha256"].take(places).to_pylist())


def same(one: Split, two: Split) -> bool:
    return (
        one.counts == two.counts
        and np.array_equal(one.train, two.train)
        and {n: s.indices.tolist() for n, s in one.sets.items()}
        == {n: s.indices.tolist() for n, s in two.sets.items()}
    )


def trained(conn: Connection, run_id: str, frozen: TrainingSet) -> None:
    """As if a challenger had come of the run."""
    conn.execute(
        "insert into sentiment.models values (1, repeat('a', 64), '', repeat('b', 64), '{}', '{}', null,"
        " null, %s, 'x', 1)", (NOW,),
    )  # fmt: skip
    conn.execute(
        "insert into sentiment.retrainings (run_id, dag_id, started_at, state, digest, challenger, ended_at)"
        " values (%s, 'retrain_model', %s, 'rejected', %s, 1, %s)", (run_id, NOW, frozen.digest, NOW),
    )  # fmt: skip
    conn.commit()


def test_a_share_of_what_people_labelled_is_held_out_and_nothing_of_it_is_trained_on(
    conn: Connection,
) -> None:
    give(conn, texts(80, seed=5), source="seed", annotator="seed:corpus")
    give(conn, texts(500, seed=1))
    found = drawn(conn, "r1")
    assert not set(found.train.tolist()) & set(found.held_out.tolist())
    assert 70 <= len(found.held_out) <= 130  # 0.2 of 500, four standard deviations
    origins = training_set(conn, now=NOW).table["origin"]
    assert set(origins.take(found.held_out).to_pylist()) == {"import"}
    assert origins.take(found.train).to_pylist().count("seed") == 80
    assert found.sets["frozen"].indices.tolist() == found.held_out.tolist()
    assert found.counts["train"]["n"] + found.counts["held_out"]["n"] == 580
    stored = conn.execute("select text_sha256 from sentiment.held_out").fetchall()
    assert {r["text_sha256"] for r in stored} == hashes(conn, found.held_out)


def test_the_same_run_again_gives_the_same_split_and_so_does_another_installation(
    conn: Connection, pg_server: Any, _migrated: str
) -> None:
    give(conn, texts(200, seed=1))
    first = drawn(conn, "r1")
    assert same(first, drawn(conn, "r1")) and same(first, drawn(conn, "r1"))
    held = hashes(conn, first.held_out)
    conn.execute("truncate sentiment.held_out")
    assert hashes(conn, drawn(conn, "another").held_out) == held
    other = replace_part(PLAN, "held_out", seed="another")
    conn.execute("truncate sentiment.held_out")
    assert hashes(conn, drawn(conn, "r1", other).held_out) != held


def test_near_duplicates_are_on_one_side_and_count_once_where_they_are_measured_with(
    conn: Connection,
) -> None:
    base = texts(150, seed=3)
    give(conn, base, source="console")
    give(conn, [(text + "！", label) for text, label in base], source="import", first=1000)
    give(
        conn,
        [(text.replace("，", ",") + "了", label) for text, label in base[:50]],
        source="seed",
        annotator="s",
    )
    found = drawn(conn, "r1")
    assert not set(found.groups[found.train]) & set(found.groups[found.held_out])
    assert len(set(found.groups[found.held_out].tolist())) == len(found.held_out) > 15
    assert found.counts["left_out"]["like_held_out"] == 350 - len(found.train) - len(found.held_out) > 15


def test_once_held_out_always_held_out_and_only_new_texts_are_drawn_after_a_training(
    conn: Connection,
) -> None:
    give(conn, texts(200, seed=1))
    first = drawn(conn, "r1")
    held, learned = hashes(conn, first.held_out), hashes(conn, first.train)
    trained(conn, "r1", freeze(conn, now=NOW))
    later = NOW + timedelta(days=40)
    give(conn, texts(200, seed=2), now=later, first=5000)
    half = replace_part(PLAN, "held_out", share=0.5, seed="another")
    second = drawn(conn, "r2", half, later)
    again = hashes(conn, second.held_out, later)
    assert held < again and not again & learned
    assert hashes(conn, second.sets["frozen"].indices, later) == held
    assert 70 <= len(again - held) <= 130  # half of the new ones
    assert same(second, drawn(conn, "r2", half, later))


def test_a_text_like_one_that_is_held_out_is_left_out_of_training_also_when_it_comes_later(
    conn: Connection,
) -> None:
    give(conn, texts(200, seed=1))
    first = drawn(conn, "r1")
    held = hashes(conn, first.held_out)
    table = training_set(conn, now=NOW).table
    copies = [(text + "。", "neutral") for text in table["text"].take(first.held_out).to_pylist()]
    give(conn, copies, first=7000)
    second = drawn(conn, "r2")
    assert hashes(conn, second.held_out) == held
    assert second.counts["left_out"]["like_held_out"] == len(copies) and len(second.train) == len(first.train)


def test_as_long_as_no_run_came_to_a_challenger_the_frozen_set_is_all_that_is_held_out(
    conn: Connection,
) -> None:
    give(conn, texts(100, seed=1))
    conn.execute(
        "insert into sentiment.retrainings (run_id, dag_id, started_at, state, ended_at)"
        " select r, 'd', %(now)s, 'not_enough', %(now)s from unnest(array['r1', 'r2']) as r", {"now": NOW},
    )  # fmt: skip
    first = drawn(conn, "r1")
    give(conn, texts(300, seed=2), first=5000)
    second = drawn(conn, "r2")
    assert len(second.sets["frozen"].indices) == len(second.held_out) > len(first.held_out)
    third = drawn(conn, "r3")
    assert len(third.sets["frozen"].indices) == len(third.held_out) == len(second.held_out)


def test_sets_are_of_recent_posts_of_each_platform_and_of_each_crisis(conn: Connection) -> None:
    crisis = {"name": "recall", "begins": NOW - timedelta(hours=100), "ends": NOW - timedelta(hours=40)}
    plan = replace_part(PLAN, "held_out", recent_days=5).model_copy(
        update={
            "crises": [
                Crisis.model_validate(crisis),
                Crisis.model_validate(crisis | {"name": "at-weibo", "platforms": ["weibo"]}),
                Crisis(name="long-ago", begins=datetime(2001, 1, 1, tzinfo=UTC),
                       ends=datetime(2001, 1, 2, tzinfo=UTC)),
            ]
        }
    )  # fmt: skip
    give(conn, texts(300, seed=1))
    give(conn, texts(60, seed=9), source="seed", annotator="s")
    found = drawn(conn, "r1", plan)
    platforms, crises = ("platform:weibo", "platform:shop"), ("crisis:recall", "crisis:at-weibo")
    assert {name: one.kind for name, one in found.sets.items()} == {
        "frozen": "frozen", "recent": "recent", **dict.fromkeys(platforms, "platform"),
        **dict.fromkeys(crises, "crisis"),
    }  # fmt: skip
    table = training_set(conn, now=NOW).table
    posted = table["posted_at"].take(found.sets["recent"].indices).to_pylist()
    assert all(NOW - timedelta(days=5) < at <= NOW for at in posted)
    members = {name: set(one.indices.tolist()) for name, one in found.sets.items()}
    assert all(of <= set(found.held_out.tolist()) for of in members.values())
    assert members["platform:weibo"] | members["platform:shop"] == members["frozen"]
    assert members["crisis:at-weibo"] == members["crisis:recall"] & members["platform:weibo"]


def test_a_post_deleted_in_between_is_gone_and_nothing_moves_to_the_other_side(conn: Connection) -> None:
    base = texts(150, seed=1)
    give(conn, base)
    give(conn, [(text + "！", label) for text, label in base], first=1000)
    first = drawn(conn, "r1")
    held, learned = hashes(conn, first.held_out), hashes(conn, first.train)
    for place in range(0, 150, 7):
        platform = ("weibo", "shop")[place % 2]
        delete(conn, [Ref(platform, str(place))], by="li.wei", reason="asked", now=NOW)
    conn.commit()
    second = drawn(conn, "r1")
    assert hashes(conn, second.held_out) < held and not hashes(conn, second.train) & held
    assert len(hashes(conn, second.train)) < len(learned)


def test_texts_without_a_post_and_labels_of_a_corpus_alone_have_nothing_to_measure_with(
    conn: Connection,
) -> None:
    rows = [Given(n, Post(text), label, "s") for n, (text, label) in enumerate(texts(50, seed=1))]  # type: ignore[arg-type]
    append_labels(conn, rows, source="seed", origin=f"package:{secrets.token_hex(4)}", now=NOW)
    found = drawn(conn, "r1")
    assert len(found.train) == 50 and found.sets == {} and found.counts["held_out"]["n"] == 0


def test_an_empty_store_is_split_into_nothing(conn: Connection) -> None:
    found = drawn(conn, "r1")
    assert found.train.size == found.held_out.size == 0 and found.sets == {}
