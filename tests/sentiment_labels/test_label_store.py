"""Labels are appended, never overwritten; a deleted post leaves hashes and counts."""

from datetime import timedelta

import psycopg
import pytest
from label_desk import NOW, Desk, given
from psycopg import errors as pg

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.database import connect
from tidewatch.core.errors import ConfigError, NotFound
from tidewatch.evidence.ledger import verify
from tidewatch.sentiment.labels.deletion import Ref, delete
from tidewatch.sentiment.labels.posts import Post, name_problem, text_problem
from tidewatch.sentiment.labels.store import correct, record_label


def test_two_annotators_who_differ_are_both_kept_and_the_newest_word_of_each_counts(desk: Desk) -> None:
    assert desk.give("li.wei", "还行吧", "neutral") == "accepted"
    assert desk.give("wang", "还行吧", "positive") == "accepted"
    assert desk.give("li.wei", "还行吧", "negative") == "accepted"
    assert desk.count("sentiment.posts") == 1 and desk.count("sentiment.labels") == 3
    assert desk.votes() == {("li.wei", "还行吧", "negative"), ("wang", "还行吧", "positive")}


def test_the_same_word_again_adds_nothing(desk: Desk) -> None:
    assert desk.append(given("a", "x", "positive"), given("a", "x", "positive")) == ["accepted", "repeated"]
    assert desk.append(given("a", "x", "positive"), origin="file:b") == ["known"]
    assert desk.append(given("a", "x", "negative"), origin="file:b") == ["accepted"]
    # The first file says what it has said before; that is no third opinion.
    assert desk.append(given("a", "x", "positive")) == ["known"]
    assert desk.votes() == {("a", "x", "negative")}


def test_a_label_with_its_time_takes_its_place_in_the_order_of_times(desk: Desk) -> None:
    day = timedelta(days=1)
    assert desk.append(given("a", "x", "negative", at=NOW - day)) == ["accepted"]
    assert desk.append(given("a", "x", "positive", at=NOW - 2 * day), origin="file:older") == ["accepted"]
    assert desk.append(given("a", "x", "positive", at=NOW - 2 * day), origin="file:again") == ["known"]
    assert desk.votes() == {("a", "x", "negative")}


def test_rows_that_contradict_each_other_are_all_left_out(desk: Desk) -> None:
    outcomes = desk.append(
        given("a", "x", "negative"),
        given("a", "x", "positive"),
        given("b", "x", "positive"),
        given("a", "one text", "positive", "7"),
        given("b", "another", "positive", "7"),
        given("a", "y", "negative", at=NOW),
        given("a", "y", "positive", at=NOW + timedelta(seconds=1)),
    )
    expected = [
        "contradictory",
        "contradictory",
        "accepted",
        "two_texts",
        "two_texts",
        "accepted",
        "accepted",
    ]
    assert outcomes == expected
    assert desk.votes() == {("b", "x", "positive"), ("a", "y", "positive")}


def test_two_words_of_one_moment_from_two_files_count_as_none(desk: Desk) -> None:
    desk.append(given("a", "x", "negative", at=NOW))
    desk.append(given("a", "x", "positive", at=NOW), origin="file:b")
    assert desk.votes() == {("a", "x", "contradictory")}


def test_an_edited_post_is_refused_and_equal_texts_of_two_posts_are_one_text(desk: Desk) -> None:
    assert desk.give("a", "first", "neutral", "7") == "accepted"
    assert desk.give("a", "edited", "neutral", "7") == "text_differs"
    assert desk.give("a", "first", "positive", "8") == "accepted"
    assert desk.count("sentiment.texts") == 1 and desk.count("sentiment.posts") == 2
    assert desk.votes() == {("a", "first", "positive")}


def test_labels_are_append_only_for_their_owner_too(desk: Desk) -> None:
    desk.give("a", "x", "positive")
    for attack in (
        "update sentiment.labels set label = 'neutral'",
        "delete from sentiment.labels",
        "truncate sentiment.labels",
        "delete from sentiment.posts",
        "truncate sentiment.posts cascade",
        "update sentiment.posts set text_sha256 = text_sha256",
    ):
        with pytest.raises(pg.RestrictViolation):
            desk.rows(attack)
        desk.conn.rollback()


def test_nobody_but_the_owner_sees_a_text(desk: Desk) -> None:
    desk.give("a", "x", "positive")
    desk.rows("select 1")
    with psycopg.connect(desk.dsn) as conn:
        conn.execute("create role labels_stranger")
        try:
            conn.execute("set local role labels_stranger")
            with pytest.raises(pg.InsufficientPrivilege):
                conn.execute("select text from sentiment.texts")
        finally:
            conn.rollback()


def test_a_person_corrects_a_post_and_a_double_click_is_one_word(desk: Desk) -> None:
    post = Post(" 太差了 ", "Weibo", " 9 ")
    first = correct(desk.conn, post, label="negative", annotator="li.wei", now=NOW)
    again = correct(desk.conn, post, label="negative", annotator="li.wei", now=desk.later())
    assert first.new and not again.new and again.label_id == first.label_id
    # Back in time: the later word counts all the same.
    other = record_label(
        desk.conn, post_key=first.post_key, label="neutral", annotator="li.wei", blind=True,
        asked_for="second", now=NOW - timedelta(hours=1),
    )  # fmt: skip
    assert other.new and other.labelled_at > first.labelled_at
    assert desk.votes() == {("li.wei", "太差了", "neutral")}
    for wrong in ("", "seed:x", "a\nb", "x" * 201):
        with pytest.raises(ConfigError, match="Who gave"):
            correct(desk.conn, post, label="negative", annotator=wrong, now=NOW)
    with pytest.raises(ConfigError, match="another text"):
        correct(desk.conn, Post("edited", "weibo", "9"), label="negative", annotator="li.wei", now=NOW)
    with pytest.raises(ConfigError, match="cannot be labelled"):
        correct(desk.conn, Post(" "), label="negative", annotator="li.wei", now=NOW)
    with pytest.raises(NotFound):
        record_label(
            desk.conn,
            post_key="0" * 64,
            label="neutral",
            annotator="a",
            blind=True,
            asked_for="second",
            now=NOW,
        )


def test_a_deleted_post_takes_text_labels_and_scores_along_and_does_not_come_back(desk: Desk) -> None:
    secret = "张三的电话是一三八"
    desk.give("a", secret, "negative", "7")
    desk.give("b", secret, "neutral", "7")
    desk.give("a", secret, "negative")  # a copy without an identity
    desk.give("a", secret, "negative", "8")  # somebody else said the same
    which = [Ref("Weibo", "7")]
    seen = delete(desk.conn, which, by="li.wei", reason="asked for", now=NOW, dry_run=True)
    assert (seen.posts, seen.labels) == (2, 3) and desk.count("sentiment.posts") == 3
    done = delete(desk.conn, which, by="li.wei", reason="asked for", now=NOW)
    desk.conn.commit()
    assert (done.posts, done.labels, done.before) == (2, 3, 0)
    assert desk.votes() == {("a", secret, "negative")}
    assert desk.count("sentiment.labels") == 1 and desk.count("sentiment.texts") == 1
    again = delete(desk.conn, which, by="li.wei", reason="asked for", now=NOW)
    assert (again.posts, again.before) == (0, 1)

    assert desk.give("a", secret, "negative", "7") == "deleted"
    assert desk.give("a", secret, "negative") == "deleted"
    assert desk.give("a", secret, "negative", "9") == "accepted"
    with pytest.raises(NotFound, match="was deleted"):
        correct(desk.conn, Post(secret, "weibo", "7"), label="neutral", annotator="a", now=NOW)

    everything = delete(
        desk.conn, [Ref(text_sha256=sha256_hex(secret.encode()))], by="li.wei", reason="r", now=NOW
    )
    assert everything.posts == 2
    assert desk.count("sentiment.texts") == desk.count("sentiment.labels") == 0
    told = desk.records("labels.deleted")
    assert [r.body["labels"] for r in told] == [3, 2] and len(told[0].body["posts"]) == 2
    assert verify(desk.conn).ok
    assert not any(secret in str(r) for t in _tables(desk) for r in desk.rows(f"select * from {t}"))


def test_a_text_without_an_identity_cannot_be_told_from_a_deleted_post(desk: Desk) -> None:
    desk.give("a", "the same words", "negative", "7")
    delete(desk.conn, [Ref("weibo", "7")], by="li.wei", reason="asked for", now=NOW)
    assert desk.append(given("a", "the same words", "negative"), given("a", "others", "negative")) == [
        "deleted",
        "accepted",
    ]
    with pytest.raises(NotFound, match="was deleted"):
        correct(desk.conn, Post("the same words"), label="neutral", annotator="a", now=NOW)


def _tables(desk: Desk) -> list[str]:
    found = desk.rows(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in "
        "('sentiment', 'evidence')"
    )
    return [r["name"] for r in found]


def test_what_is_not_there_is_not_deleted_and_half_an_identity_is_refused(desk: Desk) -> None:
    with pytest.raises(NotFound, match="no such post"):
        delete(desk.conn, [Ref("weibo", "7")], by="li.wei", reason="r", now=NOW)
    for wrong in ((None, None, None), ("weibo", None, None), ("weibo", "7", "0" * 64)):
        with pytest.raises(ConfigError, match="which post"):
            Ref(*wrong)
    with pytest.raises(ConfigError, match="half an identity"):
        Post("x", "weibo")
    for by, reason in (("", "r"), ("li.wei", " ")):
        with pytest.raises(ConfigError):
            delete(desk.conn, [Ref("weibo", "7")], by=by, reason=reason, now=NOW)


def test_an_import_that_is_cut_off_leaves_nothing(desk: Desk) -> None:
    with pytest.raises(pg.CheckViolation):
        desk.append(given("a", "good", "positive"), given("a", "bad", "no such label"))  # type: ignore[arg-type]
    desk.conn.rollback()
    with connect(desk.dsn, application_name="tests") as other:
        row = other.execute("select count(*) as n from sentiment.posts").fetchone()
    assert row is not None and row["n"] == 0
    assert desk.append(given("a", "good", "positive")) == ["accepted"]


def test_texts_and_names_that_cannot_be_kept_are_told_without_being_shown() -> None:
    assert text_problem("好") is None
    for text in ("", "x" * 11, "a\0b", "a\ud83d"):
        problem = text_problem(text, longest=10)
        assert problem is not None and (not text or text not in problem)
    assert name_problem("李伟") is None
    assert all(name_problem(n) for n in ("", "x" * 201, "a\tb", "\ud83d"))
