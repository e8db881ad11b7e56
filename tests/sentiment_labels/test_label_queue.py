"""The queue: the difficult first, second labels by lot and blind, nothing twice, nothing that was deleted."""

from datetime import timedelta

import pytest
from label_desk import NOW, SHA, Desk, given

from tidewatch.core.errors import ConfigError, NotFound
from tidewatch.sentiment.labels.deletion import Ref, delete
from tidewatch.sentiment.labels.mapping import Queue
from tidewatch.sentiment.labels.posts import Post
from tidewatch.sentiment.labels.queue import Item, Scored, forget, offer, opinion, queue
from tidewatch.sentiment.labels.store import record_label
from tidewatch.sentiment.labels.votes import agreement, current

NOBODY_TWICE = Queue(second_share=0)


def offered(desk: Desk, **texts: tuple[float, float, float]) -> int:
    scored = [Scored(Post(text), p) for text, p in texts.items()]
    return offer(desk.conn, scored, model_sha256=SHA, now=desk.later())


def shown(desk: Desk, annotator: str, settings: Queue = NOBODY_TWICE, n: int = 50) -> list[tuple[str, str]]:
    return [(i.text, i.asked_for) for i in queue(desk.conn, annotator=annotator, settings=settings, n=n)]


def answer(desk: Desk, item: Item, annotator: str, label: str) -> None:
    record_label(
        desk.conn, post_key=item.post_key, label=label, annotator=annotator,  # type: ignore[arg-type]
        blind=True, asked_for=item.asked_for, now=desk.later(),
    )  # fmt: skip


def test_conflicts_come_first_then_where_a_sure_model_differs_then_the_least_sure(desk: Desk) -> None:
    offered(
        desk,
        sure=(0.01, 0.01, 0.98),
        torn=(0.34, 0.33, 0.33),
        half=(0.5, 0.4, 0.1),
        doubted=(0.95, 0.04, 0.01),
    )
    offered(desk, agreed=(0.01, 0.01, 0.98), mild=(0.6, 0.2, 0.2))
    desk.append(
        given("a", "doubted", "positive"), given("a", "agreed", "positive"), given("a", "mild", "positive"),
        given("a", "dispute", "positive"), given("b", "dispute", "negative"),
    )  # fmt: skip
    expected = [
        ("dispute", "conflict"), ("doubted", "model_differs"), ("torn", "uncertain"), ("half", "uncertain"),
        ("sure", "uncertain"),
    ]  # fmt: skip
    assert shown(desk, "c") == expected
    assert shown(desk, "c", n=2) == expected[:2]
    # Who has spoken is not asked again, and three opinions are enough.
    assert [t for t, _ in shown(desk, "a")] == ["torn", "half", "sure"]
    desk.give("c", "dispute", "neutral")
    assert ("dispute", "conflict") not in shown(desk, "d")


def test_a_corpus_that_a_person_contradicts_is_a_conflict_and_alone_it_is_nothing(desk: Desk) -> None:
    desk.append(given("seed:x", "one", "positive"), given("seed:x", "two", "positive"), source="seed")
    desk.give("a", "two", "negative")
    assert shown(desk, "b") == [("two", "conflict")]
    assert shown(desk, "b", Queue(second_share=1)) == [("two", "conflict")]


def test_second_labels_are_a_seeded_sample_of_the_share_that_is_asked_for(desk: Desk) -> None:
    desk.append(*[given("a", f"text {n}", "positive") for n in range(400)])
    settings = Queue(second_share=0.2, seed="s")
    one = shown(desk, "b", settings, n=400)
    assert 50 <= len(one) <= 110 and {asked for _, asked in one} == {"second"}
    assert shown(desk, "c", settings, n=400) == one  # the same texts for everybody
    assert shown(desk, "a", settings, n=400) == []
    other = shown(desk, "b", Queue(second_share=0.2, seed="t"), n=400)
    assert len(set(one) & set(other)) < len(one) / 2
    # A larger share keeps what was drawn before, and more labels do not draw anew.
    assert set(one) < set(shown(desk, "b", Queue(second_share=0.4, seed="s"), n=400))
    desk.append(*[given("a", f"later {n}", "positive") for n in range(100)])
    assert set(one) < set(shown(desk, "b", settings, n=500))


def test_second_labels_stand_among_the_others_and_an_item_tells_nothing(desk: Desk) -> None:
    desk.append(*[given("a", f"text {n}", "positive") for n in range(100)])
    offered(desk, **{f"new{n}": (0.4, 0.3, 0.3) for n in range(100)})
    settings = Queue(second_share=1, every=4)
    kinds = [asked for _, asked in shown(desk, "b", settings, n=100)]
    assert 12 <= kinds.count("second") <= 40
    assert shown(desk, "b", settings, n=100) == shown(desk, "b", settings, n=100)
    (item,) = queue(desk.conn, annotator="b", settings=settings, n=1)
    assert not {"label", "labels", "probabilities", "annotator"} & set(vars(item)) and item.text not in repr(
        item
    )


def test_a_second_label_counts_for_the_agreement_of_the_sample_and_a_third_does_not(desk: Desk) -> None:
    settings = Queue(second_share=1, every=2)
    desk.append(*[given("a", f"text {n}", "positive" if n % 2 else "negative") for n in range(40)])
    for n, item in enumerate(queue(desk.conn, annotator="b", settings=settings, n=30)):
        answer(
            desk,
            item,
            "b",
            "positive" if (n % 5 == 0) != (int(item.text.split()[1]) % 2 == 1) else "negative",
        )
    conflicts = [
        i for i in queue(desk.conn, annotator="c", settings=settings, n=50) if i.asked_for == "conflict"
    ]
    assert len(conflicts) == 6
    for item in conflicts:
        answer(desk, item, "c", "neutral")
    everything = agreement(desk.conn, seed=1)
    sample = agreement(desk.conn, seed=1, sample_only=True)
    assert sample.annotators == ("a", "b") and sample.texts == 30
    assert sample.nominal.value is not None and everything.nominal.value is not None
    assert sample.nominal.value > everything.nominal.value
    assert sample.pairs[0].agreed == pytest.approx(24 / 30)
    assert current(desk.conn).annotators == ("a", "b", "c")


def test_what_others_and_the_model_say_is_told_when_it_is_asked_for(desk: Desk) -> None:
    offered(desk, torn=(0.25, 0.25, 0.5))
    (item,) = queue(desk.conn, annotator="a", settings=NOBODY_TWICE)
    answer(desk, item, "a", "neutral")
    told = opinion(desk.conn, item.post_key)
    assert told.labels == {"a": "neutral"} and told.model_sha256 == SHA
    assert told.probabilities == {"negative": 0.25, "neutral": 0.25, "positive": 0.5}
    assert shown(desk, "a") == []
    with pytest.raises(NotFound):
        opinion(desk.conn, "0" * 64)
    with pytest.raises(ConfigError, match="Who gave"):
        queue(desk.conn, annotator=" ", settings=NOBODY_TWICE)


def test_deleted_posts_are_neither_shown_nor_offered_again(desk: Desk) -> None:
    posts = [
        Scored(Post("gone", "weibo", "1"), (0.4, 0.3, 0.3)),
        Scored(Post("stays", "weibo", "2"), (0.4, 0.3, 0.3)),
    ]
    assert offer(desk.conn, posts, model_sha256=SHA, now=NOW) == 2
    delete(desk.conn, [Ref("weibo", "1")], by="li.wei", reason="asked for", now=NOW)
    assert shown(desk, "a") == [("stays", "uncertain")]
    assert offer(desk.conn, posts, model_sha256=SHA, now=desk.later()) == 1
    assert offer(desk.conn, [Scored(Post("gone"), (0.4, 0.3, 0.3))], model_sha256=SHA, now=NOW) == 0
    edited = [Scored(Post("edited", "weibo", "2"), (0.4, 0.3, 0.3)), Scored(Post("  "), (0.4, 0.3, 0.3))]
    assert offer(desk.conn, edited, model_sha256=SHA, now=desk.later()) == 0
    assert offer(desk.conn, [], model_sha256=SHA, now=NOW) == 0
    assert desk.count("sentiment.texts") == 1


def test_the_newest_score_counts_and_what_nobody_labelled_is_forgotten(desk: Desk) -> None:
    offered(desk, old=(0.9, 0.05, 0.05), used=(0.4, 0.3, 0.3))
    offered(desk, old=(0.2, 0.5, 0.3))
    scored = [Scored(Post("old"), (1.0, 0.0, 0.0))]
    offer(desk.conn, scored, model_sha256=SHA, now=NOW - timedelta(days=1))  # an older one comes late
    assert shown(desk, "a") == [("used", "uncertain"), ("old", "uncertain")]
    desk.give("a", "used", "positive")
    assert forget(desk.conn, before=NOW) == 0
    assert forget(desk.conn, before=desk.later()) == 1
    assert desk.rows("select text from sentiment.texts") == [{"text": "used"}]
    assert desk.count("sentiment.labels") == 1
