"""Approved, rejected, unanswered: what becomes of the champion."""

import threading
from typing import Any

import pytest
from retrain_rig import Runner

from tidewatch.core.errors import Busy, ConfigError, NotFound
from tidewatch.evidence import ledger
from tidewatch.sentiment import registry
from tidewatch.sentiment.retraining import runs
from tidewatch.sentiment.retraining.decide import NotToBeAnswered


def champion(runner: Runner) -> int | None:
    with runner.connect() as conn:
        found = registry.champion(conn)
    return found.version if found else None


def state(runner: Runner) -> str:
    with runner.connect() as conn:
        return runs.get(conn, "first").state


def records(runner: Runner, *kinds: str) -> list[Any]:
    with runner.connect() as conn:
        return [r for r in ledger.records(conn) if r.kind in kinds]


def another_champion(runner: Runner) -> int:
    """Somebody promotes another version by hand."""
    with runner.connect() as conn:
        version = registry.register(
            conn, b"by hand", dataset_sha256="0" * 64, parameters={}, metrics={}, compared_with=None,
            run=None, by="li.wei", now=runner.now,
        ).version  # fmt: skip
        registry.promote(conn, version, instead_of=None, by="li.wei", why="by hand", now=runner.now)
    return version


def test_an_approval_moves_the_champion_and_ends_the_run_with_both_records(answering: Runner) -> None:
    assert champion(answering) is None and state(answering) == "awaiting"
    made = answering.say("first", "approved", note="better everywhere")
    assert (made.state, made.champion) == ("promoted", 1) and champion(answering) == 1
    promoted, decided = records(answering, "model.promoted", "retraining.decided")
    assert promoted.body["by"] == decided.body["decided_by"] == "wang.fang"
    assert promoted.body["why"] == decided.body["note"] == "better everywhere"
    assert decided.seq == made.ledger_seq and decided.body["instead_of"] is None
    assert [row["fact"] for row in answering.rows("select fact from notices.outbox order by fact")] == [
        "retraining.awaiting/first",
        "retraining.promoted/first",
    ]


@pytest.mark.parametrize("decision", ["approved", "rejected", "unanswered"])
def test_said_again_it_is_the_same_answer_and_nothing_happens_twice(answering: Runner, decision: str) -> None:
    by = None if decision == "unanswered" else "wang.fang"
    first = answering.say("first", decision, by=by)
    answering.later(1)
    assert answering.say("first", decision, by=by, note="again") == first
    assert answering.say("first", "unanswered", by=None) == first, "the clock comes too late"
    assert len(records(answering, "retraining.decided")) == 1
    assert champion(answering) == (1 if decision == "approved" else None)


@pytest.mark.parametrize("first", ["approved", "rejected"])
def test_what_was_answered_is_not_answered_otherwise(answering: Runner, first: str) -> None:
    answering.say("first", first)
    other = "rejected" if first == "approved" else "approved"
    for decision, by in ((other, "wang.fang"), (first, "zhang.min")):
        with pytest.raises(NotToBeAnswered, match=r"by wang\.fang"):
            answering.say("first", decision, by=by)
    assert len(records(answering, "retraining.decided")) == 1


def test_nobody_s_silence_is_a_no_that_a_person_may_still_turn_into_a_yes(answering: Runner) -> None:
    made = answering.say("first", "unanswered", by=None, note="")
    assert (made.state, made.champion) == ("unanswered", None)
    answering.later(3)
    assert answering.say("first", "approved").champion == 1
    assert [r.body["decision"] for r in records(answering, "retraining.decided")] == [
        "unanswered",
        "approved",
    ]


def test_a_champion_that_changed_meanwhile_stays_and_nothing_of_the_answer_is_kept(answering: Runner) -> None:
    version = another_champion(answering)
    with pytest.raises(Busy, match="not promoted") as error:
        answering.say("first", "approved")
    assert f"version {version}" in error.value.found
    assert champion(answering) == version and state(answering) == "awaiting"
    assert not records(answering, "retraining.decided")
    assert answering.say("first", "rejected").champion == version


def test_an_answer_without_a_name_or_a_reason_is_none(answering: Runner) -> None:
    incomplete = [
        ("approved", None, ""),
        ("approved", "  ", ""),
        ("approved", "\u200b", ""),
        ("approved", "x" * 201, ""),
        ("unanswered", "wang.fang", ""),
        ("rejected", "wang.fang", " "),
        ("approved", "wang.fang", "x" * 2001),
        ("approved", "wang.fang", "half of it: \udcff"),
        ("approved", "wang.fang", "a\0b"),
        ("approved", "wang\0fang", ""),
    ]
    for decision, by, note in incomplete:
        with pytest.raises(ConfigError):
            answering.say("first", decision, by=by, note=note)
    assert state(answering) == "awaiting" and champion(answering) is None


def test_only_a_run_that_waits_is_answered(answering: Runner) -> None:
    with pytest.raises(NotFound):
        answering.say("none", "approved")
    with pytest.raises(NotFound):
        answering.say("first\udcff", "approved")
    answering.say("first", "rejected")
    answering.begin("second")
    with pytest.raises(NotToBeAnswered, match="state running"):
        answering.say("second", "approved")


def test_of_two_answers_at_once_one_counts(answering: Runner) -> None:
    ready, outcomes = threading.Barrier(2), []

    def one(decision: str) -> None:
        ready.wait()
        try:
            outcomes.append(answering.say("first", decision).state)
        except NotToBeAnswered:
            outcomes.append("refused")

    threads = [threading.Thread(target=one, args=(what,)) for what in ("approved", "rejected")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "refused" in outcomes and len(records(answering, "retraining.decided")) == 1
    assert champion(answering) == (1 if "promoted" in outcomes else None)
