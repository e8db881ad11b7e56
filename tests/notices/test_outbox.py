"""The outbox: one fact is told once on each channel, a failure is recorded and tried again."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from catchers import HttpCatcher, MailCatcher, free_port
from notice_tools import NOW, channel, notice

from tidewatch.core.database import Connection, connect
from tidewatch.core.errors import TidewatchError
from tidewatch.evidence.ledger import records, verify
from tidewatch.notices.outbox import LEASE, MAX_AGE, deliver, post, retry_after

MINUTE = timedelta(minutes=1)


def told(conn: Connection, *facts: str, now: datetime = NOW, **changes: Any) -> None:
    for fact in facts:
        assert post(conn, notice(fact, **changes), now)
    conn.commit()


def rows(conn: Connection) -> list[dict[str, Any]]:
    found = conn.execute("select * from notices.deliveries order by channel, fact").fetchall()
    conn.rollback()
    return found


def test_a_fact_is_posted_once_whatever_the_text(conn: Connection) -> None:
    assert post(conn, notice("f"), NOW)
    assert not post(conn, notice("f", title_en="other words"), NOW + MINUTE)
    conn.commit()
    assert not post(conn, notice("f"), NOW)
    assert post(conn, notice("g"), NOW)


def test_a_notice_of_a_transaction_that_is_rolled_back_is_never_told(
    conn: Connection, http: HttpCatcher
) -> None:
    post(conn, notice("f"), NOW)
    conn.rollback()
    assert deliver(conn, [channel(http.url)], NOW).sent == 0
    assert http.received == []


def test_two_transactions_that_post_the_same_fact_at_once_make_one_notice(
    warehouse: str, conn: Connection
) -> None:
    with connect(warehouse, application_name="other") as other, ThreadPoolExecutor(1) as pool:
        assert post(conn, notice("f"), NOW)
        second = pool.submit(post, other, notice("f"), NOW)
        conn.commit()
        assert second.result(timeout=30) is False


def test_each_channel_is_told_once_however_often_deliver_runs(
    conn: Connection, http: HttpCatcher, mail: MailCatcher
) -> None:
    told(conn, "f")
    channels = [channel(http.url, "hook"), channel(mail.url, "mail")]
    assert deliver(conn, channels, NOW).sent == 2
    for later in (MINUTE, MAX_AGE / 2, MAX_AGE * 2):
        assert deliver(conn, channels, NOW + later).sent == 0
    assert (len(http.received), len(mail.messages)) == (1, 1)
    assert [r["state"] for r in rows(conn)] == ["sent", "sent"]


def test_the_most_urgent_notice_goes_first(conn: Connection, http: HttpCatcher) -> None:
    told(conn, "i", severity="info")
    told(conn, "w1", now=NOW - MINUTE)
    told(conn, "w2")
    told(conn, "c", severity="critical")
    deliver(conn, [channel(http.url, language="en")], NOW)
    assert [m["message"].rsplit(": ")[-1] for m in http.received] == ["c", "w1", "w2", "i"]


def test_what_a_channel_does_not_want_is_not_sent_also_not_after_it_wants_more(
    conn: Connection, http: HttpCatcher
) -> None:
    told(conn, "i", severity="info")
    told(conn, "c", severity="critical")
    assert deliver(conn, [channel(http.url, min_severity="critical")], NOW).sent == 1
    assert deliver(conn, [channel(http.url, min_severity="info")], NOW).sent == 0
    told(conn, "i2", severity="info")
    assert deliver(conn, [channel(http.url, min_severity="info")], NOW).sent == 1


def test_a_failure_is_recorded_once_in_the_ledger_and_retried_with_growing_pauses_until_it_is_sent(
    conn: Connection, http: HttpCatcher
) -> None:
    told(conn, "f")
    http.status = 503
    ops, now = [channel(http.url)], NOW
    first = deliver(conn, ops, now)
    assert (first.sent, first.failed, first.pending) == (0, 1, 1)
    for attempt, pause in enumerate([1, 2, 4, 8, 16, 32, 60, 60], start=1):
        assert deliver(conn, ops, now + pause * MINUTE - timedelta(seconds=10)).failed == 0
        now += pause * MINUTE + timedelta(seconds=10)
        assert deliver(conn, ops, now).failed == 1
        assert len(http.received) == attempt + 1
    http.status = 200
    last = deliver(conn, ops, now + 61 * MINUTE)
    assert (last.sent, last.failed, last.pending) == (1, 0, 0)

    (record,) = records(conn, kind="notice.failed")
    assert record.subject == "f"
    assert (record.body["channel"], record.body["severity"]) == ("ops", "warning")
    assert "503" in record.body["error"]
    assert verify(conn).ok
    (row,) = rows(conn)
    assert (row["state"], row["attempts"]) == ("sent", 10)


def test_the_pause_is_capped() -> None:
    assert [retry_after(n) for n in (1, 2, 3, 7, 100, 10_000)] == [m * MINUTE for m in (1, 2, 4, 60, 60, 60)]


def test_a_channel_without_an_address_fails_by_itself_and_the_others_are_told(
    conn: Connection, http: HttpCatcher
) -> None:
    told(conn, "f")
    broken = [channel(None, "no-address"), channel("nonsense://secret", "malformed")]
    done = deliver(conn, [*broken, channel(http.url, "good")], NOW)
    assert (done.sent, done.failed, done.pending) == (1, 2, 2)
    assert len(done.problems) == 2
    assert "no-address" in done.problems[0]
    assert "TEST_URL" in done.problems[0]
    errors = {r.body["channel"]: r.body["error"] for r in records(conn, kind="notice.failed")}
    assert errors.keys() == {"no-address", "malformed"}
    assert "TEST_URL" in errors["malformed"]
    assert "nonsense://secret" not in f"{errors} {rows(conn)}"

    repaired = [channel(http.url, "no-address"), channel(http.url, "malformed")]
    assert deliver(conn, repaired, NOW + 2 * MINUTE).sent == 2


def test_a_dead_server_does_not_stop_the_other_channels(conn: Connection, mail: MailCatcher) -> None:
    told(conn, "f", "g")
    dead = channel(f"json://127.0.0.1:{free_port()}", "dead")
    done = deliver(conn, [dead, channel(mail.url, "mail")], NOW)
    assert (done.sent, done.failed) == (2, 2)
    assert len(mail.messages) == 2


def test_many_deliverers_at_once_send_each_notice_once(
    warehouse: str, conn: Connection, http: HttpCatcher
) -> None:
    facts = [f"fact-{n:02}" for n in range(24)]
    told(conn, *facts)
    start = threading.Barrier(6)

    def run(number: int) -> int:
        with connect(warehouse, application_name=f"deliverer {number}") as own:
            opened = [channel(http.url, language="en")]
            start.wait(timeout=60)
            return deliver(own, opened, NOW).sent

    with ThreadPoolExecutor(6) as pool:
        sent = list(pool.map(run, range(6), timeout=120))
    assert sum(sent) == len(facts)
    assert sorted(m["message"].rsplit(": ")[-1] for m in http.received) == facts


def test_a_notice_being_sent_is_left_alone_until_its_lease_ends(
    warehouse: str, conn: Connection, http: HttpCatcher
) -> None:
    told(conn, "f")
    opened = [channel(http.url)]
    seen: list[tuple[str, int]] = []

    def while_sending() -> None:
        with connect(warehouse, application_name="other") as other:
            seen.append((rows(other)[0]["state"], deliver(other, opened, NOW + LEASE / 2).sent))

    http.before = while_sending
    assert deliver(conn, opened, NOW).sent == 1
    assert seen == [("sending", 0)]  # the state was committed before the message left
    assert len(http.received) == 1


def test_a_deliverer_killed_between_sending_and_recording_leads_to_one_repeat_that_says_so(
    warehouse: str, conn: Connection, http: HttpCatcher
) -> None:
    told(conn, "f")
    opened = [channel(http.url)]
    victim = connect(warehouse, application_name="victim")

    def kill() -> None:
        http.before = None
        conn.execute("select pg_terminate_backend(%s, 10000)", (victim.info.backend_pid,))
        conn.commit()

    http.before = kill
    with pytest.raises(Exception, match=r"terminating|closed|lost"):
        deliver(victim, opened, NOW)
    victim.close()
    assert [r["state"] for r in rows(conn)] == ["sending"]
    assert deliver(conn, opened, NOW + LEASE / 2).sent == 0
    assert deliver(conn, opened, NOW + LEASE + MINUTE).sent == 1
    assert deliver(conn, opened, NOW + 3 * LEASE).sent == 0

    first, second = (m["message"] for m in http.received)
    assert "may be a repeat" not in first
    assert "may be a repeat" in second
    assert "可能是重复的" in second


def test_a_deliverer_that_lost_its_lease_does_not_overwrite_what_the_next_one_recorded(
    warehouse: str, conn: Connection, http: HttpCatcher
) -> None:
    told(conn, "f")
    opened = [channel(http.url)]

    def overtaken() -> None:
        http.before = None
        with connect(warehouse, application_name="other") as other:
            assert deliver(other, opened, NOW + LEASE + MINUTE).sent == 1
        http.status = 500  # what the slow one hears at last

    http.before = overtaken
    deliver(conn, opened, NOW)
    assert [r["state"] for r in rows(conn)] == ["sent"]
    assert list(records(conn, kind="notice.failed")) == []


def test_a_notice_too_old_is_given_up_and_that_it_was_never_tried_is_recorded(
    conn: Connection, http: HttpCatcher
) -> None:
    opened = [channel(http.url)]
    deliver(conn, opened, NOW)
    told(conn, "f")
    http.status = 500
    done = deliver(conn, opened, NOW + MAX_AGE + MINUTE)
    assert (done.sent, done.failed, done.pending, done.given_up) == (0, 0, 0, 1)
    (record,) = records(conn, kind="notice.failed")
    assert "older than 3 days" in record.body["error"]
    conn.commit()
    assert deliver(conn, opened, NOW + MAX_AGE + 2 * MINUTE).given_up == 0
    assert http.received == []


def test_a_notice_that_failed_and_became_too_old_is_in_the_ledger_once(
    conn: Connection, http: HttpCatcher
) -> None:
    told(conn, "f")
    http.status = 500
    deliver(conn, [channel(http.url)], NOW)
    assert deliver(conn, [channel(http.url)], NOW + MAX_AGE + MINUTE).given_up == 1
    assert len(list(records(conn, kind="notice.failed"))) == 1
    assert [r["state"] for r in rows(conn)] == ["given_up"]


def test_a_new_channel_is_not_sent_the_history(conn: Connection, http: HttpCatcher) -> None:
    told(conn, "ancient", now=NOW - 10 * MAX_AGE)
    told(conn, "recent", now=NOW - MINUTE)
    done = deliver(conn, [channel(http.url)], NOW)
    assert (done.sent, done.given_up) == (1, 0)


def test_the_limit_is_kept_and_the_rest_waits(conn: Connection, http: HttpCatcher) -> None:
    told(conn, *"abcde")
    done = deliver(conn, [channel(http.url)], NOW, limit=3)
    assert (done.sent, done.pending) == (3, 2)
    assert deliver(conn, [channel(http.url)], NOW).sent == 2


def test_deliver_refuses_to_work_inside_a_transaction(conn: Connection, http: HttpCatcher) -> None:
    post(conn, notice("f"), NOW)
    with pytest.raises(TidewatchError, match="inside a transaction"):
        deliver(conn, [channel(http.url)], NOW)
    conn.commit()
    assert deliver(conn, [channel(http.url)], NOW).sent == 1


def test_deliver_works_in_autocommit_mode(warehouse: str, http: HttpCatcher) -> None:
    with connect(warehouse, application_name="tests", autocommit=True) as own:
        post(own, notice("f"), NOW)
        assert deliver(own, [channel(http.url)], NOW).sent == 1


def test_without_channels_nothing_happens(conn: Connection) -> None:
    told(conn, "f")
    assert deliver(conn, [], NOW).pending == 0
