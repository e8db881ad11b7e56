"""*Labelling*: what is asked, what is kept of an answer, and what is not shown before it."""

import re
from typing import Any

import pytest
from console_history import NOW
from console_house import House, form_token
from model_history import AWAITING
from test_console_pages import HOSTILE, Seen

from tidewatch.core.database import connect
from tidewatch.sentiment.labels.deletion import Ref, delete
from tidewatch.sentiment.labels.posts import Post
from tidewatch.sentiment.labels.queue import Scored, offer
from tidewatch.sentiment.labels.store import add_post, record_label

KEYS = {"1": "negative", "2": "neutral", "3": "positive", "0": "unclear"}


def fields(page: str) -> dict[str, str]:
    """The hidden fields of the form on the page."""
    return dict(
        re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.partition('class="answer"')[2])
    )


def answer(client: Any, page: str, label: str, **more: str) -> Any:
    return client.post("/labelling", data={**fields(page), "label": label, **more})


def follow(client: Any, response: Any) -> str:
    assert response.status_code == 303, response.text
    return str(client.get(response.headers["location"]).text)


def labels(house: House, who: str = "the.analyst") -> list[dict[str, Any]]:
    return house.query(
        "select p.post_key, l.label, l.asked_for, l.blind, l.source from sentiment.labels l "
        "join sentiment.posts p using (post_id) where annotator = %s order by label_id",
        who,
    )


def only(house: House, *texts: str) -> list[Post]:
    """A queue of these posts and no others."""
    posts = [Post(text) for text in texts]
    with connect(house.dsn, application_name="tests") as conn:
        conn.execute("truncate sentiment.scores")
        conn.execute("set session_replication_role = replica")
        conn.execute("truncate sentiment.labels")
        conn.execute("set session_replication_role = origin")
        scored = [Scored(post, (0.34 + n / 100, 0.33, 0.33 - n / 100)) for n, post in enumerate(posts)]
        offer(conn, scored, model_sha256="a" * 64, now=NOW)
    return posts


def test_each_answer_is_kept_with_why_it_was_asked_for_and_the_next_post_is_shown(
    own_model_house: House,
) -> None:
    client, seen = own_model_house.client("analyst"), []
    page = client.get("/labelling").text
    for label in (*KEYS.values(), "negative"):
        seen.append(fields(page)["post_key"])
        page = follow(client, answer(client, page, label))
    kept = labels(own_model_house)
    assert [row["post_key"] for row in kept] == seen and len(set(seen)) == 5
    assert [row["label"] for row in kept] == [*KEYS.values(), "negative"]
    assert all(row["blind"] and row["source"] == "console" for row in kept)
    assert {"conflict", "second"} >= {row["asked_for"] for row in kept[:2]}
    assert "5 labels by you today" in page


def test_nothing_that_could_sway_is_on_the_page_before_the_answer(model_house: House) -> None:
    (post,) = only(model_house, "一条谁都没有见过的帖子")
    with connect(model_house.dsn, application_name="tests") as conn:
        record_label(conn, post_key=post.key, label="positive", annotator="zhao.min", blind=True,
                     asked_for="uncertain", now=NOW)  # fmt: skip
        record_label(conn, post_key=post.key, label="neutral", annotator="sun.li", blind=True,
                     asked_for="uncertain", now=NOW)  # fmt: skip
    client = model_house.client("analyst")
    for address in ("/labelling", f"/labelling?post={post.key}", f"/labelling?done={post.key}"):
        page = client.get(address).text
        assert post.text in page
        for word in ("zhao.min", "sun.li", "34.0%", "conflict", "asked"):
            assert word not in page, (address, word)
    after = follow(client, answer(client, page, "negative"))
    assert "zhao.min" in after and "34.0%" in after


def test_a_last_answer_is_changed_and_both_are_kept_the_second_not_blind(model_house: House) -> None:
    only(model_house, "今天的服务有点意思")
    client = model_house.client("analyst")
    page = follow(client, answer(client, client.get("/labelling").text, "negative"))
    again = re.search(r'href="([^"]*post=[^"]*)"', page)
    assert again is not None
    page = client.get(again[1].replace("&amp;", "&")).text
    assert "You said: Negative" in page
    follow(client, answer(client, page, "positive"))
    assert [(r["label"], r["blind"], r["asked_for"]) for r in labels(model_house)] == [
        ("negative", True, "uncertain"),
        ("positive", False, "correction"),
    ]
    assert model_house.query("select label from sentiment.votes where annotator = 'the.analyst'") == [
        {"label": "positive"}
    ]


def test_two_tabs_give_one_blind_label_and_a_correction_and_a_double_click_one(model_house: House) -> None:
    only(model_house, "两个标签页里的同一条", "后面的一条")
    client = model_house.client("analyst")
    first, second = client.get("/labelling").text, client.get("/labelling").text
    assert fields(first)["post_key"] == fields(second)["post_key"]
    for page, label in ((first, "negative"), (first, "negative"), (second, "neutral")):
        assert answer(client, page, label).status_code == 303
    assert [(r["label"], r["blind"], r["asked_for"]) for r in labels(model_house)] == [
        ("negative", True, "uncertain"),
        ("neutral", False, "correction"),
    ]


def test_skipping_keeps_nothing_and_skipped_posts_come_back_at_the_end(model_house: House) -> None:
    only(model_house, "第一条甲", "第二条乙", "第三条丙")
    client = model_house.client("analyst")
    page, seen = client.get("/labelling").text, []
    for _ in range(3):
        seen.append(fields(page)["post_key"])
        onward = re.search(r'href="(/labelling\?skipped=[^"]*)" data-key="s"', page)
        assert onward is not None
        page = client.get(onward[1].replace("&amp;", "&")).text
    assert len(set(seen)) == 3 and "Only posts that you skipped are left" in page
    assert labels(model_house) == []
    assert fields(client.get("/labelling").text)["post_key"] == seen[0]
    # What was skipped stays skipped across an answer.
    page = client.get(f"/labelling?skipped={seen[0][:12]}").text
    assert fields(follow(client, answer(client, page, "neutral")))["post_key"] == seen[2]


def test_a_post_that_is_deleted_before_the_answer_leaves_nothing(model_house: House) -> None:
    (post,) = only(model_house, "马上要被删除的一条")
    client = model_house.client("analyst")
    page = client.get("/labelling").text
    with connect(model_house.dsn, application_name="tests") as conn:
        record_label(conn, post_key=post.key, label="neutral", annotator="li.wei", blind=True,
                     asked_for="uncertain", now=NOW)  # fmt: skip
        delete(
            conn, [Ref(text_sha256=post.text_sha256)], by="li.wei", reason="asked", now=model_house.clock()
        )
    after = follow(client, answer(client, page, "positive"))
    assert "deleted meanwhile" in after and post.text not in after
    assert labels(model_house) == []


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"label": "happy"}, 400),
        ({"post_key": "x" * 64}, 400),
        ({"post_key": "0" * 64}, 303),  # as a deleted one
        ({"form_token": "0" * 64}, 403),
        ({"label": ""}, 400),
    ],
)
def test_a_form_that_no_page_of_ours_made_keeps_nothing(
    model_house: House, change: dict[str, str], status: int
) -> None:
    only(model_house, "一条会被正常标注的帖子")
    client = model_house.client("analyst")
    page = client.get("/labelling").text
    assert answer(client, page, **{"label": "neutral", **change}).status_code == status
    assert labels(model_house) == []


def test_why_a_post_was_asked_for_cannot_be_chosen_by_whoever_answers(model_house: House) -> None:
    only(model_house, "第一条甲", "第二条乙")
    client = model_house.client("analyst")
    mine = fields(client.get("/labelling").text)
    theirs = fields(model_house.client("engineer").get("/labelling").text)
    other = fields(client.get(f"/labelling?skipped={mine['post_key'][:12]}").text)
    assert other["post_key"] != mine["post_key"]
    for why in ("second", "", "ü", "0" * 64, theirs["why"], other["why"]):
        answer_ = client.post("/labelling", data={**mine, "why": why, "label": "neutral"})
        assert "said=gone" in answer_.headers["location"]
    assert labels(model_house) == []


def test_who_may_not_label_sees_no_post(own_model_house: House) -> None:
    for role in ("auditor", "compliance"):
        client = own_model_house.client(role)
        assert client.get("/labelling").status_code == 403
        token = form_token(client, "/evidence")
        data = {"form_token": token, "post_key": "0" * 64, "label": "neutral"}
        assert client.post("/labelling", data=data).status_code == 403
        shown = client.get(f"/model/retraining?run={AWAITING}")
        assert shown.status_code == (403 if role == "auditor" else 200)
        assert "再也不买" not in shown.text
    assert "再也不买" in own_model_house.client("analyst").get(f"/model/retraining?run={AWAITING}").text


def test_an_empty_queue_says_what_to_do(model_house: House) -> None:
    only(model_house)
    page = model_house.client("analyst").get("/labelling").text
    assert "No post waits for a label" in page and "tidewatch labels offer" in page


def test_hostile_and_very_long_posts_are_shown_as_text_and_can_be_labelled(model_house: House) -> None:
    family = "👨\u200d👩\u200d👧"
    long = "很长的一条" * 4000
    only(model_house, HOSTILE + family, long)
    client = model_house.client("analyst")
    page = client.get("/labelling").text
    seen = Seen(page)
    assert "<script>alert(1)</script>" in seen.text and "\\u202e" in seen.text and family in seen.text
    assert all((a.get("src") or "").startswith("/static/") for tag, a in seen.tags if tag == "script")
    assert not any(tag == "img" for tag, _ in seen.tags)
    page = follow(client, answer(client, page, "unclear"))
    assert long in page
    page = follow(client, answer(client, page, "neutral"))
    assert "很长的一条" in page and long not in page, "the last answer is an excerpt"
    assert len(labels(model_house)) == 2


def test_a_post_outside_the_queue_can_not_be_looked_at_by_its_key(model_house: House) -> None:
    other = Post("不在队列里的帖子", "weibo", "elsewhere")
    with connect(model_house.dsn, application_name="tests") as conn:
        add_post(conn, other, now=NOW)
    client = model_house.client("analyst")
    for name in ("post", "done"):
        assert other.text not in client.get(f"/labelling?{name}={other.key}").text
    assert client.get("/labelling?post=%00&done='&skipped=,,x,%00").status_code == 200
