"""The table of retrainings: one row a run. At most one run is open, so that a challenger is compared with the
champion it would replace. Every function works inside the caller's transaction unless it says otherwise."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.types.json import Jsonb

from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute, lock_number, try_lock, unlock
from tidewatch.core.errors import Busy, ConfigError, NotFound
from tidewatch.core.plain import is_plain, shows
from tidewatch.evidence import ledger
from tidewatch.evidence.schemas import RetrainingEnded, RetrainingStarted
from tidewatch.notices import outbox
from tidewatch.sentiment import registry
from tidewatch.sentiment.retraining import messages
from tidewatch.vault.manifest import RunRef

State = Literal[
    "running", "not_enough", "refused", "awaiting", "promoted", "rejected", "unanswered", "failed"
]
Stopped = Literal["not_enough", "refused", "failed"]
STOPPED = ("not_enough", "refused", "failed")
"""Ended before a person was asked: what stopped them can be repaired, and the run goes on."""
DECIDED = ("promoted", "rejected", "unanswered")
_BEGIN = lock_number("tidewatch.sentiment.retraining")
_LONGEST = 250
"""Characters of a run's id, as in Airflow."""
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Retraining:
    """One run, as sentiment.retrainings has it. `split`, `missing`, `search`, `measured`, `gates` and `told`
    are JSON: numbers, names, and sentences without any text of a post."""

    run_id: str
    dag_id: str
    started_at: datetime
    started_by: str | None
    state: State
    digest: str | None
    frozen_at: datetime | None
    split: Mapping[str, Any] | None
    missing: Mapping[str, Any] | None
    champion: int | None
    challenger: int | None
    search: Mapping[str, Any] | None
    measured: Mapping[str, Any] | None
    gates: Mapping[str, Any] | None
    told: Mapping[str, Any] | None
    decided_by: str | None
    note: str | None
    via: str | None
    ledger_seq: int | None
    ended_at: datetime | None

    @property
    def open(self) -> bool:
        """Whether it still stands in the way of another run."""
        return self.ended_at is None

    def gate(self, name: str) -> Mapping[str, Any] | None:
        """What the gate said in this run: passed, critical, warnings, docs."""
        found: Mapping[str, Any] | None = (self.gates or {}).get(name)
        return found


def get(conn: Connection, run_id: str) -> Retraining:
    """Raises NotFound."""
    known = execute(conn, "sentiment/retraining/run", {"run_id": run_id}) if shows(run_id) else None
    row = known.fetchone() if known else None
    if row is None:
        raise NotFound(
            f"There is no retraining {run_id:.80}",
            expected="a run that `tidewatch models retrainings` shows",
            found="none of that id",
            do="copy the id from the list",
        )
    return Retraining(**row)


def retrainings(conn: Connection, most: int = 100) -> list[Retraining]:
    """The newest first."""
    return [Retraining(**row) for row in execute(conn, "sentiment/retraining/runs", {"most": most})]


def open_run(conn: Connection) -> Retraining | None:
    """The run that is at work or waits for an answer."""
    row = execute(conn, "sentiment/retraining/open_run").fetchone()
    return Retraining(**row) if row else None


def begin(conn: Connection, run: RunRef, started_by: str | None, now: datetime) -> Retraining:
    """Enter a run, or go on with it: what was stopped is open again, and where the champion is another one by
    now it is compared anew. One that a person has answered stays as it is.

    Raises Busy while another run is open, ConfigError for an id or a name that cannot be recorded, or an id
    that another Dag has used.
    """
    _require_run_id(run)
    _require_name(started_by)
    moment = require_utc(now)
    execute(conn, "sentiment/retraining/lock_begin", {"lock": _BEGIN})
    row = execute(conn, "sentiment/retraining/run", {"run_id": run.run_id}).fetchone()
    champion = registry.champion(conn)
    present = champion.version if champion else None
    if row is None:
        _require_none_open(conn, run.run_id)
        values = {"run_id": run.run_id, "dag_id": run.dag_id, "now": moment, "started_by": started_by}
        execute(conn, "sentiment/retraining/begin", {**values, "champion": present})
        body = RetrainingStarted(
            run_id=run.run_id, dag_id=run.dag_id, started_by=started_by, champion=present, started_at=moment
        )
        ledger.append(conn, kind=body.KIND, subject=run.run_id, body=body, now=moment)
        return get(conn, run.run_id)
    known = Retraining(**row)
    _require_own(known, run)
    if known.state in DECIDED:
        return known
    known = reopen(conn, known)
    if known.champion != present:
        execute(conn, "sentiment/retraining/compare_with", {"run_id": run.run_id, "champion": present})
    return get(conn, run.run_id)


def reopen(conn: Connection, run: Retraining) -> Retraining:
    """A run that was stopped goes on. Raises Busy while another one is open."""
    if run.state not in STOPPED:
        return run
    execute(conn, "sentiment/retraining/lock_begin", {"lock": _BEGIN})
    _require_none_open(conn, run.run_id)
    execute(conn, "sentiment/retraining/reopen", {"run_id": run.run_id})
    return get(conn, run.run_id)


def note(conn: Connection, run_id: str, **facts: Any) -> None:
    """Enter facts of a run: digest, frozen_at, challenger; split, search, measured, gates (added to those
    before) as JSON."""
    names = ("digest", "frozen_at", "challenger", "split", "search", "measured", "gates")
    plain = {n: v for n, v in facts.items() if n in names[:3]}
    json = {n: Jsonb(dict(v)) for n, v in facts.items() if n not in plain and v is not None}
    execute(conn, "sentiment/retraining/note", {**dict.fromkeys(names), **plain, **json, "run_id": run_id})


def await_answer(conn: Connection, run_id: str, *, days: int, now: datetime) -> None:
    """The challenger has passed: a person is asked, and told that there is a question."""
    run = get(conn, run_id)
    assert run.challenger is not None  # noqa: S101 - it has passed its gate
    execute(conn, "sentiment/retraining/await_answer", {"run_id": run_id})
    outbox.post(conn, messages.awaiting(run_id, run.challenger, run.champion, days), require_utc(now))


def stop(
    conn: Connection,
    run_id: str,
    state: Stopped,
    found: str,
    *,
    now: datetime,
    missing: Mapping[str, Any] | None = None,
    told: Mapping[str, Any] | None = None,
) -> Retraining:
    """End a run before a person is asked; `found` is why, in a sentence. Tells it and records it. A run that
    has an end keeps it."""
    execute(conn, "sentiment/retraining/lock_run", {"run_id": run_id})
    run = get(conn, run_id)
    if not run.open:
        return run
    moment = require_utc(now)
    outbox.post(conn, messages.stopped(run_id, state, found, missing), moment)
    body = RetrainingEnded(
        run_id=run_id,
        state=state,
        digest=run.digest,
        challenger=run.challenger,
        found=found,
        ended_at=moment,
    )
    record = ledger.append(conn, kind=body.KIND, subject=run_id, body=body, now=moment)
    finish(
        conn, run_id, state, now=moment, ledger_seq=record.seq, missing=missing, told=told or {"why": found}
    )
    return get(conn, run_id)


def finish(
    conn: Connection,
    run_id: str,
    state: State,
    *,
    now: datetime,
    ledger_seq: int,
    missing: Mapping[str, Any] | None = None,
    told: Mapping[str, Any] | None = None,
    decided_by: str | None = None,
    text: str | None = None,
    via: str | None = None,
) -> None:
    """Give a run its end; `text` is the note of who decided."""
    values = {
        "run_id": run_id,
        "state": state,
        "now": now,
        "ledger_seq": ledger_seq,
        "missing": None if missing is None else Jsonb(dict(missing)),
        "told": None if told is None else Jsonb(dict(told)),
        "decided_by": decided_by,
        "note": text,
        "via": via,
    }
    execute(conn, "sentiment/retraining/end", values)


def end(conn: Connection, run_id: str, *, by: str, now: datetime) -> Retraining:
    """A person ends a run whose process is gone (`tidewatch models retrainings --end RUN`).

    Raises NotFound, ConfigError for a run that has an end or waits for an answer or a name that is none, Busy
    while a process is at work on it.
    """
    _require_name(by)
    run = get(conn, run_id)
    if run.state != "running":
        waits = run.state == "awaiting"
        raise ConfigError(
            f"The retraining {run_id} is not at work",
            expected="a run in the state running",
            found=f"state {run.state}",
            do=f"answer it: `tidewatch models reject {run_id}`" if waits else "nothing: it has its end",
        )
    with working(conn, run_id):
        return stop(conn, run_id, "failed", f"ended by {by}: its process was gone", now=now)


@contextlib.contextmanager
def working(conn: Connection, run_id: str) -> Iterator[None]:
    """One process at a time works on a run. The lock ends with the session, also when the process is killed.
    Raises Busy."""
    name = f"sentiment.retraining/{run_id}"
    if not try_lock(conn, name):
        raise Busy(
            f"Another process is at work on the retraining {run_id}",
            expected="one at a time",
            found="a session that holds its lock",
            do="wait until it has ended; what it found is recorded",
        )
    try:
        yield
    finally:
        # A session that was lost has released it.
        if not conn.closed and not conn.broken:
            _release(conn, name)


def _release(conn: Connection, name: str) -> None:
    from psycopg.pq import TransactionStatus

    if conn.info.transaction_status == TransactionStatus.INERROR:
        conn.rollback()
    unlock(conn, name)


def _require_none_open(conn: Connection, run_id: str) -> None:
    other = open_run(conn)
    if other is None or other.run_id == run_id:
        return
    waits = other.state == "awaiting"
    raise Busy(
        f"The retraining {run_id} cannot begin: another one is open",
        expected="one retraining at a time, so that each is compared with the champion it would replace",
        found=f"{other.run_id}, {'waiting for an answer' if waits else 'at work'} since "
        f"{other.started_at:%Y-%m-%d %H:%M}Z",
        do=f"approve or reject it first: `tidewatch models reject {other.run_id}`"
        if waits
        else "wait until it has ended; if its process is gone, "
        f"`tidewatch models retrainings --end {other.run_id}`",
    )


def _require_own(known: Retraining, run: RunRef) -> None:
    if known.dag_id != run.dag_id:
        raise ConfigError(
            f"The retraining {run.run_id} is a run of another Dag",
            expected=f"an id that only runs of {run.dag_id} have",
            found=f"a run of {known.dag_id}",
            do="choose another id",
        )


def _require_run_id(run: RunRef) -> None:
    for what in (run.run_id, run.dag_id):
        if not (shows(what) and len(what) <= _LONGEST and all(map(is_plain, what))):
            raise ConfigError(
                "A retraining cannot have this id",
                expected=f"1 to {_LONGEST} characters that can be seen, in one line",
                found=f"{what!r:.80} of {len(what)} characters",
                do="choose another one, or leave it out",
            )


def _require_name(name: str | None) -> None:
    if name is not None and not (shows(name) and len(name) <= _LONGEST_NAME):
        raise ConfigError(
            "A retraining needs the name of who starts or ends it",
            expected=f"a name of at most {_LONGEST_NAME} characters that can be seen",
            found=f"{name!r:.80}",
            do="name a person whom one can ask",
        )
