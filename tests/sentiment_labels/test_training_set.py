"""The training set: frozen, the same for the same content, without what was deleted."""

import random
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from label_desk import NOW, Desk, given
from psycopg import errors as pg

from tidewatch.core.canonical import digest, sha256_hex
from tidewatch.core.database import connect
from tidewatch.local.postgres import LocalPostgres
from tidewatch.sentiment import LABELS
from tidewatch.sentiment.labels.deletion import Ref, delete
from tidewatch.sentiment.labels.mapping import Reliability
from tidewatch.sentiment.labels.posts import UNCLEAR, Post
from tidewatch.sentiment.labels.store import Given, correct
from tidewatch.sentiment.labels.training import TrainingSet, freeze, training_set
from tidewatch.sentiment.labels.votes import agreement


def taken(desk: Desk, **more: Any) -> TrainingSet:
    result = training_set(desk.conn, now=desk.now, **more)
    desk.conn.commit()
    return result


def rows(result: TrainingSet) -> dict[str, tuple[str, float]]:
    columns = (result.table[c].to_pylist() for c in ("text", "label", "weight"))
    return {text: (LABELS[label], round(weight, 3)) for text, label, weight in zip(*columns, strict=True)}


def content() -> list[Given]:
    """Three annotators with their errors on 60 texts, each with its own time."""
    rng = random.Random(5)
    found = []
    for n in range(60):
        truth = LABELS[n % 3]
        for annotator, right in (("a", 0.95), ("b", 0.9), ("c", 0.5)):
            if rng.random() < 0.7:
                label = truth if rng.random() < right else rng.choice(LABELS)
                when = NOW - timedelta(days=2, seconds=rng.randrange(80_000))
                found.append(given(annotator, f"text {n}", label, f"{n}", at=when))  # type: ignore[arg-type]
    return found


def test_the_same_content_has_the_same_digest_in_whatever_order_it_came(desk: Desk, warehouse: str) -> None:
    labels = content()
    desk.append(*labels)
    first = taken(desk)
    with connect(warehouse, application_name="tests") as conn:
        other = Desk(conn, warehouse)
        for place, one in enumerate(
            sorted(labels, key=lambda g: (g.annotator, sha256_hex(g.post.text.encode())))
        ):
            other.append(one, origin=f"file:{place % 7}")
        second = taken(other)
    assert first.digest == second.digest and first.table.equals(second.table)
    assert first.up_to == second.up_to == len(labels)
    assert [a.name for a in first.annotators] == ["a", "b", "c"]
    assert [round(x, 6) for a in first.annotators for x in a.recall] == [
        round(x, 6) for a in second.annotators for x in a.recall
    ]
    assert first.table["text_sha256"].to_pylist() == sorted(first.table["text_sha256"].to_pylist())


def test_the_digest_is_the_documented_one(desk: Desk) -> None:
    desk.append(Given(0, Post("好", "weibo", "1", NOW), "positive", "a", NOW))
    row = [
        sha256_hex("好".encode()),
        "positive",
        "0.800000",
        "weibo",
        "2026-11-22T03:00:00.000000Z",
        "import",
    ]
    assert taken(desk).digest == digest({"format": "tidewatch.training-set.v1", "rows": [row]})


def test_any_change_of_the_content_is_another_digest(desk: Desk) -> None:
    desk.append(*content())
    seen = {taken(desk).digest}
    desk.give("a", "one more", "neutral")
    seen.add(taken(desk).digest)
    desk.give("a", "one more", "negative")
    seen.add(taken(desk).digest)
    assert len(seen) == 3
    seen.add(taken(desk, reliability=Reliability(correct=4)).digest)
    assert len(seen) == 4


def test_reliable_annotators_outvote_careless_ones_and_weights_are_probabilities(desk: Desk) -> None:
    desk.append(*content())
    desk.append(
        given("a", "dispute", "negative"),
        given("b", "dispute", "negative"),
        given("c", "dispute", "positive"),
    )
    desk.append(given("c", "alone", "positive"), given("a", "alone too", "positive"))
    result = taken(desk)
    found = rows(result)
    recall = {a.name: sum(a.recall) / 3 for a in result.annotators}
    assert min(recall["a"], recall["b"]) > recall["c"] + 0.05
    assert found["dispute"][0] == "negative" and found["dispute"][1] > 0.9
    assert found["alone"][0] == "positive" and found["alone"][1] < found["alone too"][1] < 1
    assert result.fitted_on > 30 and sum(result.labels.values()) == result.table.num_rows
    summary = result.summary()
    assert summary["annotators"][0]["overlap"] <= summary["annotators"][0]["labels"]
    assert "dispute" not in str(summary)


def test_what_nobody_can_decide_is_left_out_and_counted(desk: Desk) -> None:
    desk.append(given("a", "tie", "negative"), given("b", "tie", "positive"))
    desk.append(given("a", "unclear", UNCLEAR), given("a", "sure", "neutral"))
    desk.append(given("a", "self", "negative", at=NOW))
    desk.append(given("a", "self", "positive", at=NOW), origin="file:b")
    result = taken(desk)
    assert {t: label for t, (label, _) in rows(result).items()} == {"sure": "neutral"}
    assert result.left_out == {"undecided": 1, "without_a_class": 2, "contradictory_labels": 1}
    assert result.labels == {"negative": 0, "neutral": 1, "positive": 0}


def test_two_labels_that_are_equally_probable_are_none_however_little_is_asked_for(desk: Desk) -> None:
    desk.append(given("a", "tie", "negative"), given("b", "tie", "positive"))
    assert taken(desk, reliability=Reliability(undecided_below=0.1)).left_out["undecided"] == 1


def test_all_labels_from_one_annotator_train_a_model_and_say_nothing_of_agreement(desk: Desk) -> None:
    desk.append(*[given("a", f"t{n}", "positive") for n in range(30)])
    result = taken(desk)
    assert result.table.num_rows == 30 and result.fitted_on == 0
    assert result.annotators[0].overlap == 0 and result.annotators[0].recall == (0.8, 0.8, 0.8)
    told = agreement(desk.conn, seed=1)
    assert told.nominal.value is None and "second person" in (told.nominal.why or "")


def test_an_empty_store_gives_an_empty_set(desk: Desk) -> None:
    result = taken(desk)
    assert result.table.num_rows == 0 and result.up_to == 0 and sum(result.labels.values()) == 0


def test_a_deleted_post_is_not_in_the_next_set_and_an_older_version_does_not_bring_it_back(
    desk: Desk,
) -> None:
    desk.append(given("a", "keep", "positive", "1"), given("a", "secret", "negative", "2"))
    before = taken(desk)
    delete(desk.conn, [Ref("weibo", "2")], by="li.wei", reason="asked for", now=NOW)
    desk.conn.commit()
    after = taken(desk)
    assert set(rows(before)) == {"keep", "secret"} and set(rows(after)) == {"keep"}
    assert after.digest != before.digest
    assert rows(taken(desk, up_to=before.up_to)) == rows(after)


def test_a_version_of_the_past_is_made_again_from_its_last_label(desk: Desk) -> None:
    desk.append(*content())
    past = taken(desk)
    desk.give("a", "text 0", "negative", "0")
    desk.give("a", "new", "negative")
    assert taken(desk).digest != past.digest
    again = taken(desk, up_to=past.up_to)
    assert again.digest == past.digest and again.table.equals(past.table)
    assert training_set(desk.conn, now=desk.now - timedelta(seconds=90)).digest == past.digest


def test_equal_texts_of_two_posts_are_one_row_with_the_first_place_and_time(desk: Desk) -> None:
    day = timedelta(days=1)
    desk.append(
        Given(0, Post("same", "weibo", "1", NOW - day), "positive", "a"),
        Given(0, Post("same", "douyin", "9", NOW - 2 * day), "positive", "b"),
        Given(0, Post("same"), "positive", "c"),
    )
    correct(desk.conn, Post("same"), label="positive", annotator="d", now=NOW)
    table = taken(desk).table
    assert table.num_rows == 1
    row = table.to_pylist()[0]
    assert (row["platform"], row["posted_at"], row["annotators"], row["origin"]) == (
        "douyin",
        NOW - 2 * day,
        4,
        "console",
    )


def test_a_frozen_version_is_recorded_once_with_its_reliabilities(desk: Desk) -> None:
    desk.append(*content())
    one = freeze(desk.conn, now=desk.later())
    two = freeze(desk.conn, now=desk.later())
    assert one.digest == two.digest == taken(desk).digest
    (version,) = desk.rows("select * from sentiment.data_versions")
    assert version["summary"]["annotators"][2]["name"] == "c" and version["rows"] == one.table.num_rows
    (record,) = desk.records("labels.frozen")
    assert record.body["digest"] == one.digest and record.body["annotators"] == 3
    assert record.body["labels"] == one.labels


def test_a_restored_database_gives_the_same_set_and_still_refuses_changes(
    desk: Desk, pg_server: LocalPostgres, database: str, tmp_path: Path
) -> None:
    desk.append(*content())
    before = taken(desk)
    dump = str(tmp_path / "labels.dump")
    for command in (
        ["pg_dump", "--schema=sentiment", "-Fc", "-f", dump, desk.dsn],
        ["pg_restore", "--exit-on-error", "-d", database, dump],
    ):
        subprocess.run([pg_server.bin_dir / command[0], *command[1:]], check=True)
    with connect(database, application_name="tests") as conn:
        after = training_set(conn, now=desk.now)
        with pytest.raises(pg.RestrictViolation):
            conn.execute("delete from sentiment.labels")
    assert after.digest == before.digest and after.table.equals(before.table)


def test_freezing_waits_for_who_is_writing_labels(desk: Desk) -> None:
    desk.give("a", "first", "positive")
    with connect(desk.dsn, application_name="tests") as writer:
        correct(writer, Post("still being written"), label="negative", annotator="b", now=NOW)
        desk.conn.execute("set lock_timeout = '50ms'")
        with pytest.raises(pg.LockNotAvailable):
            freeze(desk.conn, now=desk.now)
        writer.commit()
    desk.conn.rollback()
    assert set(rows(freeze(desk.conn, now=desk.now))) == {"first", "still being written"}
