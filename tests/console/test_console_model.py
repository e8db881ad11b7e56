"""*Model*: what is said of a model's worth, and deciding about a challenger."""

import re

import pytest
from console_history import NOW
from console_house import House, send
from hypothesis import given
from hypothesis import strategies as st
from model_history import AWAITING, REFUSED, SETS, TOO_FEW
from test_console_pages import HOSTILE, SCRIPT, Seen

from tidewatch.console import diagrams, floor
from tidewatch.console.routes.model import judged
from tidewatch.core.database import connect
from tidewatch.sentiment.evaluate import share
from tidewatch.sentiment.retraining.settings import Limits


def text_of(house: House, address: str, role: str = "engineer") -> str:
    answer = house.client(role).get(address)
    assert answer.status_code == 200, answer.text
    return Seen(answer.text).text


# -- the floor ---------------------------------------------------------------------------------------------


def test_22_of_22_or_196_at_an_observed_90_percent_are_the_least_that_show_85_percent() -> None:
    assert floor.least(0.85) == 22 and floor.needed(0.9, 0.85) == 196
    assert share(22, 22).low >= 0.85 > share(21, 21).low
    assert floor.needed(0.85, 0.85) is None and floor.needed(0.5, 0.85) is None


@given(n=st.integers(1, 3000), hits=st.integers(0, 3000), at=st.sampled_from([0.5, 0.7, 0.85, 0.95]))
def test_a_verdict_is_that_of_wilsons_interval_and_says_how_many_would_do(
    n: int, hits: int, at: float
) -> None:
    found = share(min(hits, n), n)
    said = floor.verdict(vars(found), at)
    needed = floor.needed(found.value, at)
    assert (said == "shown") == (found.low >= at)
    if said in ("not_yet", "below"):
        assert n >= floor.least(at)
    if said == "not_yet":
        assert needed is not None and needed > n
    if said == "below":
        assert needed is None
    if needed is not None and needed <= n:
        assert said == "shown"


def test_the_page_says_of_each_class_and_set_whether_its_posts_show_the_floor(model_house: House) -> None:
    page = text_of(model_house, "/model")
    for name, n in SETS.items():
        assert name.partition(":")[2] in page and f"{n:,}" in page
    rows = model_house.query(
        "select set_name, figures from sentiment.evaluations where run_id = %s and role = 'champion'",
        AWAITING,
    )
    words = {"shown": "shown", "not_yet": "not shown yet", "too_few": "too few to tell", "below": "below"}
    crisis = next(r for r in rows if r["set_name"] == "crisis:recall")
    assert floor.verdict(crisis["figures"]["accuracy"], 0.85) == "too_few"
    frozen = next(r["figures"] for r in rows if r["set_name"] == "frozen")
    for one in frozen["classes"]:
        for which in ("recall", "precision"):
            said = floor.verdict(one[which], 0.85)
            assert words[said] in page
            assert f"{one[which]['low']:.1%}" in page and f"{one[which]['n']:,}" in page
    assert "version 2" in page and "better on recent posts" in page


def test_without_a_model_the_page_says_what_to_do_and_before_a_run_it_shows_the_folds(
    own_model_house: House,
) -> None:
    own_model_house.query("delete from sentiment.differences; delete from sentiment.comparisons;"
                    "delete from sentiment.evaluations; delete from sentiment.drifts")  # fmt: skip
    page = text_of(own_model_house, "/model")
    assert "no retraining has measured it on held-out posts yet" in page
    assert "No retraining has looked yet" in page
    own_model_house.query(
        "set session_replication_role = replica; truncate sentiment.champions, sentiment.retrainings,"
        " sentiment.evaluations, sentiment.comparisons, sentiment.differences, sentiment.drifts"
    )
    page = text_of(own_model_house, "/model")
    assert "No model is in use" in page and "The model has not been retrained yet" in page


def test_a_version_beside_the_champion_is_shown_with_how_often_the_two_differ(own_model_house: House) -> None:
    (now,) = own_model_house.query("select version from sentiment.champions where until is null")
    (other,) = own_model_house.query(
        "select min(version) as version from sentiment.models where version <> %s", now["version"]
    )
    assert "Scores beside it" not in text_of(own_model_house, "/model")
    own_model_house.query(
        "insert into sentiment.shadows (version, since, by, why, ledger_seq) "
        "values (%s, now(), 'tests', 'why', 1)",
        other["version"],
    )
    own_model_house.query(
        "insert into sentiment.shadow_scores select s.place, %s, repeat(n::text, 64), 'neutral', "
        "case n when 1 then 'negative' else 'neutral' end from sentiment.shadows s, generate_series(1, 4) n",
        now["version"],
    )
    assert "labels 1 of 4 texts differently" in text_of(own_model_house, "/model")


@pytest.mark.parametrize(
    ("ece", "by_luck", "said"),
    [(0.03, {}, "passed"), (0.05, {}, "failed"), (0.05, {"ece_by_luck": 0.06}, "too_few"),
     (0.07, {"ece_by_luck": 0.06}, "failed")],
)  # fmt: skip
def test_a_calibration_error_counts_where_luck_does_not_explain_it(
    model_house: House, ece: float, by_luck: dict[str, float], said: str
) -> None:
    (row,) = model_house.query(
        "select figures from sentiment.evaluations"
        " where run_id = %s and role = 'champion' and kind = 'frozen'",
        AWAITING,
    )
    shown = judged({**row["figures"], **by_luck, "ece": ece}, Limits())
    assert shown is not None and shown["calibration"] == said


# -- one retraining ----------------------------------------------------------------------------------------


def test_a_retraining_shows_the_comparison_on_every_set_and_where_the_two_differ(model_house: House) -> None:
    page = text_of(model_house, f"/model/retraining?run={AWAITING}")
    rows = model_house.query("select * from sentiment.comparisons where run_id = %s", AWAITING)
    assert len(rows) == len(SETS)
    for row in rows:
        assert f"{row['difference'] * 100:+.1f}" in page
        assert f"({row['low'] * 100:+.1f} to {row['high'] * 100:+.1f})" in page
        assert f"{row['only_challenger']:,} / {row['only_champion']:,}" in page
    assert page.count("78.0%") == page.count("54.0%") == 20


def test_a_deleted_post_is_gone_from_the_page_of_a_retraining(own_model_house: House) -> None:
    address = f"/model/retraining?run={AWAITING}"
    text = own_model_house.query(
        "select text from sentiment.differences join sentiment.texts using (text_sha256) limit 1"
    )[0]["text"]
    assert text in text_of(own_model_house, address)
    own_model_house.query(
        "set session_replication_role = replica; delete from sentiment.texts where text = '" + text + "'"
    )
    assert text not in text_of(own_model_house, address)


def test_too_few_labels_are_said_in_numbers_and_a_refusal_names_what_did_not_hold(model_house: House) -> None:
    page = text_of(model_house, f"/model/retraining?run={TOO_FEW}")
    assert "675" in page and "196" in page and "Neutral" in page and "all together" in page
    page = text_of(model_house, f"/model/retraining?run={REFUSED}")
    assert "the recall of a class is not shown to reach the floor" in page and "0.74" in page


def test_hostile_text_of_a_run_is_shown_as_text(own_model_house: House) -> None:
    own_model_house.query(
        "update sentiment.retrainings set started_by = left(%s, 200), note = %s, decided_by = 'x',"
        " state = 'failed', ended_at = now(), told = jsonb_build_object('why', %s::text) where run_id = %s",
        HOSTILE, HOSTILE, HOSTILE, AWAITING,
    )  # fmt: skip
    own_model_house.query(
        "update sentiment.drifts set feature = left(%s, 90) where feature = 'length'", HOSTILE
    )
    own_model_house.query("update sentiment.evaluations set set_name = 'platform:' || left(%s, 150)"
                    " where set_name = 'platform:weibo'", HOSTILE)  # fmt: skip
    for address in (f"/model/retraining?run={AWAITING}", "/model"):
        html = own_model_house.client("engineer").get(address).text
        seen = Seen(html)
        assert SCRIPT in seen.text and "<script>alert" not in html and "\u202e" not in seen.text
        assert not any(tag == "img" for tag, _ in seen.tags)


def test_a_run_that_is_not_there_is_not_found(model_house: House) -> None:
    for run in ("nothing", "%00", ""):
        assert model_house.client("engineer").get(f"/model/retraining?run={run}").status_code == 404


# -- deciding ----------------------------------------------------------------------------------------------


def test_an_approval_moves_the_champion_and_is_recorded_with_the_name(own_model_house: House) -> None:
    client = own_model_house.client("analyst")
    address = f"/model/retraining?run={AWAITING}"
    answer = send(client, "/model/decide", page=address, run=AWAITING, decision="approved", note="better")
    assert answer.headers["location"] == f"{address}&said=decided"
    shown = Seen(client.get(answer.headers["location"]).text).text
    assert "promoted" in shown and "the.analyst" in shown and "on this page" in shown
    (now,) = own_model_house.query("select version, by from sentiment.champions where until is null")
    assert (now["version"], now["by"]) == (3, "the.analyst")
    records = own_model_house.query("select kind, entry from evidence.ledger order by seq desc limit 2")
    assert {r["kind"] for r in records} == {"retraining.decided", "model.promoted"}
    assert 'name="decision"' not in client.get(address).text
    again = send(
        client, "/model/decide", page=address, run=AWAITING, decision="rejected", note="changed my mind"
    )
    assert again.status_code == 409 and "waits for no answer" in again.text
    assert len(own_model_house.query("select version from sentiment.champions")) == 3


def test_a_rejection_says_why_and_leaves_the_champion(own_model_house: House) -> None:
    client = own_model_house.client("engineer")
    address = f"/model/retraining?run={AWAITING}"
    bare = send(client, "/model/decide", page=address, run=AWAITING, decision="rejected")
    assert bare.status_code == 409 and "a rejection says why" in bare.text
    assert send(client, "/model/decide", page=address, run=AWAITING, decision="perhaps").status_code == 400
    done = send(
        client, "/model/decide", page=address, run=AWAITING, decision="rejected", note="worse on 投诉"
    )
    assert done.status_code == 303
    (row,) = own_model_house.query(
        "select state, via, note from sentiment.retrainings where run_id = %s", AWAITING
    )
    assert (row["state"], row["via"], row["note"]) == ("rejected", "console", "worse on 投诉")
    assert own_model_house.query("select version from sentiment.champions where until is null") == [
        {"version": 2}
    ]


def test_a_champion_that_changed_meanwhile_is_not_replaced(own_model_house: House) -> None:
    client = own_model_house.client("engineer")
    own_model_house.query("update sentiment.champions set until = now() where until is null")
    own_model_house.query(
        "insert into sentiment.champions (version, since, below, by, why, ledger_seq)"
        " values (1, %s, 1, 'x', 'y', 1)",
        NOW,
    )
    address = f"/model/retraining?run={AWAITING}"
    answer = send(client, "/model/decide", page=address, run=AWAITING, decision="approved")
    assert answer.status_code == 409 and "version 1" in answer.text
    assert own_model_house.query("select state from sentiment.retrainings where run_id = %s", AWAITING) == [
        {"state": "awaiting"}
    ]


def test_compliance_reads_the_figures_and_is_offered_no_decision(model_house: House) -> None:
    client = model_house.client("compliance")
    page = client.get(f"/model/retraining?run={AWAITING}").text
    assert "Posts on which the two differ" in page and 'name="decision"' not in page
    answer = send(client, "/model/decide", run=AWAITING, decision="approved")
    assert answer.status_code == 403


# -- diagrams ----------------------------------------------------------------------------------------------


def test_dots_lie_where_their_figures_say_and_grow_with_their_posts() -> None:
    bins = [{"low": 0.0, "high": 1.0, "n": n, "probability": p, "accuracy": a}
            for n, p, a in ((10, 0.0, 1.0), (1000, 1.0, 0.0), (250, 0.5, 0.5))]  # fmt: skip
    drawn = diagrams.reliability(bins)
    first, second, third = drawn.dots
    assert (first.x, first.y) == (drawn.left, drawn.top) and (second.x, second.y) == (
        drawn.right,
        drawn.bottom,
    )
    assert second.radius == 2 * third.radius > first.radius
    assert diagrams.reliability([]).dots == []


@pytest.mark.parametrize("reach", [0.001, 0.05, 1.0])
def test_differences_share_one_scale_and_stay_inside(reach: float) -> None:
    rows = [{"difference": d, "low": d - reach, "high": d + reach} for d in (-reach / 2, 0.0, reach / 3)]
    drawn = diagrams.spans(rows, margin=0.03)
    assert len({span.zero for span in drawn}) == len({span.margin for span in drawn}) == 1
    for row, span in zip(rows, drawn, strict=True):
        assert 0 <= span.low <= span.middle <= span.high <= span.width and 0 <= span.margin < span.zero
        assert (span.middle > span.zero) == (row["difference"] > 0)
    assert diagrams.spans([], margin=0.03) == []


def test_every_run_of_the_list_leads_to_its_page(model_house: House) -> None:
    client = model_house.client("analyst")
    found = re.findall(r'href="(/model/retraining\?run=[^"]+)"', client.get("/model").text)
    assert len(set(found)) == 5
    assert {client.get(address).status_code for address in found} == {200}


@pytest.mark.parametrize("metrics", ["{}", '{"held_out": null}', '{"held_out": {}}', "[]", '"none"'])
def test_a_version_that_says_nothing_of_how_it_did_does_not_hide_the_others(
    own_model_house: House, metrics: str
) -> None:
    with connect(own_model_house.dsn, application_name="tests") as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("delete from sentiment.evaluations")
        conn.execute("update sentiment.models set metrics = %s where version >= 2", (metrics,))
    assert "the first one" in text_of(own_model_house, "/model")
