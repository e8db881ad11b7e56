"""What a person says to a challenger: approved, rejected; or nobody did: unanswered.

An approval moves the champion and ends the run in one transaction, with both records. Nothing here ever says
yes by itself, and nothing puts a challenger in the place of a champion that it was not compared with.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import ConfigError, TidewatchError
from tidewatch.core.plain import shows
from tidewatch.evidence import ledger
from tidewatch.evidence.schemas import RetrainingDecided
from tidewatch.notices import outbox
from tidewatch.sentiment import registry
from tidewatch.sentiment.retraining import messages, runs
from tidewatch.sentiment.retraining.runs import Retraining

Answer = Literal["approved", "rejected", "unanswered"]
Via = Literal["airflow", "console", "command_line"]
_STATES: dict[Answer, runs.State] = {
    "approved": "promoted",
    "rejected": "rejected",
    "unanswered": "unanswered",
}
_LONGEST_NAME, _LONGEST_NOTE = 200, 2000
_PLAIN_WHY = "approved after its evaluation"


class NotToBeAnswered(TidewatchError):
    """There is no question, or it was answered otherwise."""


@dataclass(frozen=True)
class Decision:
    """How the run ended, the version that scores now (None: none yet), and the record of it."""

    state: Literal["promoted", "rejected", "unanswered"]
    champion: int | None
    ledger_seq: int


def decide(
    conn: Connection, run_id: str, *, decision: Answer, by: str | None, note: str, via: Via, now: datetime
) -> Decision:
    """Record what `by` says to the challenger of a run; approved, it is the champion.

    `by` is None for `unanswered` only; a rejection says why. In one transaction, the caller's where there is
    one. Said again by the same person it changes nothing; what nobody answered in time may still be approved
    or rejected. Raises NotFound, ConfigError, NotToBeAnswered, and Busy when the champion is another one by
    now: then the challenger was compared with the wrong one, and everything stays as it was.
    """
    _require_complete(decision, by, note)
    moment = require_utc(now)
    with conn.transaction():
        runs.get(conn, run_id)
        execute(conn, "sentiment/retraining/lock_run", {"run_id": run_id})
        run = runs.get(conn, run_id)
        if _said_before(run, decision, by):
            return _decision(conn, run)
        return _record(conn, run, decision, by, note.strip(), via, moment)


def _said_before(run: Retraining, decision: Answer, by: str | None) -> bool:
    if run.state == "awaiting":
        return False
    if run.state in runs.DECIDED:
        if decision == "unanswered" or (run.state, run.decided_by) == (_STATES[decision], by):
            return True
        if run.state == "unanswered":
            return False
        found = f"{run.state} by {run.decided_by} at {run.ended_at:%Y-%m-%d %H:%M}Z"
        do = "nothing; to say otherwise, start a new run, or go back with `tidewatch models rollback`"
    else:
        found, do = f"state {run.state}", "wait until its gates are passed; a new run begins anew"
    raise NotToBeAnswered(
        f"The retraining {run.run_id} waits for no answer",
        expected="a run in the state awaiting",
        found=found,
        do=do,
    )


def _record(
    conn: Connection, run: Retraining, decision: Answer, by: str | None, note: str, via: Via, now: datetime
) -> Decision:
    assert run.challenger is not None  # noqa: S101 - it has passed its gate
    state = _STATES[decision]
    # Notices before the ledger: posting may wait for another transaction, which the ledger's head must not.
    if decision == "unanswered":
        outbox.post(conn, messages.unanswered(run.run_id, run.challenger), now)
    if decision == "approved" and by is not None:
        outbox.post(conn, messages.promoted(run.run_id, run.challenger, run.champion, by), now)
        registry.promote(
            conn, run.challenger, instead_of=run.champion, by=by, why=note or _PLAIN_WHY, now=now
        )
    body = RetrainingDecided(
        run_id=run.run_id,
        decision=decision,
        decided_by=by,
        note=note,
        via=via,
        challenger=run.challenger,
        instead_of=run.champion,
        decided_at=now,
    )
    record = ledger.append(conn, kind=body.KIND, subject=run.run_id, body=body, now=now)
    runs.finish(
        conn, run.run_id, state, now=now, ledger_seq=record.seq, decided_by=by, text=body.note, via=via
    )
    return _decision(conn, runs.get(conn, run.run_id))


def _decision(conn: Connection, run: Retraining) -> Decision:
    champion = registry.champion(conn)
    state = run.state
    assert state in ("promoted", "rejected", "unanswered") and run.ledger_seq is not None  # noqa: S101
    return Decision(state, champion.version if champion else None, run.ledger_seq)


def _require_complete(decision: Answer, by: str | None, note: str) -> None:
    named = by is not None and len(by) <= _LONGEST_NAME and shows(by)
    if (decision == "unanswered") != (by is None) or (by is not None and not named):
        raise ConfigError(
            "An answer needs the name of a person, and nobody's silence is a name",
            expected=f"a name of at most {_LONGEST_NAME} characters that can be seen with `approved` and "
            "`rejected`, none with `unanswered`",
            found=f"{decision} by {by!r:.80}",
            do="say who answers",
        )
    said = shows(note) if note.strip() else decision != "rejected"
    if len(note) > _LONGEST_NOTE or not said:
        raise ConfigError(
            "The note of an answer cannot be used",
            expected=f"at most {_LONGEST_NOTE} characters that can be seen; a rejection says why",
            found=f"{len(note)} characters",
            do="write what somebody should read who asks later",
        )
