"""Two pieces of work at once, in an order that a test chooses: each stops before every transaction it begins.

A piece that waits for its turn holds no row of the database, only the locks of its session, which the others
meet without waiting. So every order of whole transactions can be played, and played again.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus


class Turns:
    """Lets one registered thread go on at a time, chosen by `chance`, until all are done."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._changed = threading.Condition()
        self._waiting: dict[int, str] = {}
        self._at_work: set[int] = set()
        self._turn: int | None = None
        self.order: list[str] = []

    def run(self, works: Sequence[Callable[[], object]]) -> list[object]:
        """The result of each piece of work, or the exception it ended with."""
        results: list[object] = [None] * len(works)

        def one(number: int) -> None:
            self._register(number)
            try:
                results[number] = works[number]()
            except Exception as error:  # noqa: BLE001 - the test judges it
                results[number] = error
            finally:
                self._done()

        threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(len(works))]
        self._expected = len(works)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        if any(thread.is_alive() for thread in threads):
            raise AssertionError(f"the two wait for each other: {''.join(self.order)}")
        return results

    def stop(self) -> None:
        """Wait for the next turn; threads that were not registered pass."""
        me = threading.get_ident()
        with self._changed:
            if me not in self._at_work:
                return
            self._waiting[me] = "here"
            self._choose()
            while self._turn != me:
                self._changed.wait()
            del self._waiting[me]
            self._turn = None
            self.order.append(str(self._numbers[me]))

    # -- below, the condition is held ----------------------------------------------------------------------

    _expected = 0

    def _register(self, number: int) -> None:
        with self._changed:
            self._numbers = getattr(self, "_numbers", {}) | {threading.get_ident(): number}
            self._at_work.add(threading.get_ident())
        self.stop()

    def _done(self) -> None:
        with self._changed:
            self._at_work.discard(threading.get_ident())
            self._expected -= 1
            self._choose()

    def _choose(self) -> None:
        """Once everybody who is still at work waits, one of them is next."""
        if self._turn is None and self._waiting and len(self._waiting) == self._expected:
            self._turn = self._chance.choice(sorted(self._waiting, key=self._numbers.__getitem__))
            self._changed.notify_all()


@contextmanager
def transactions_take_turns(dsn: str, turns: Turns) -> Iterator[None]:
    """Whoever begins a transaction in this database waits for its turn."""
    database = str(psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]).encode()
    wait = psycopg.Connection.wait

    def waiting(self: Any, generator: Any, *more: Any, **options: Any) -> Any:
        if self.pgconn.db == database and self.pgconn.transaction_status == TransactionStatus.IDLE:
            turns.stop()
        return wait(self, generator, *more, **options)

    psycopg.Connection.wait = waiting  # type: ignore[method-assign]
    try:
        yield
    finally:
        psycopg.Connection.wait = wait  # type: ignore[method-assign]
