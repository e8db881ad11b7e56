"""Questions asked side by side, each with the same time limit; none can hold up the others, or the answer."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import psycopg

from tidewatch.backup.health.check import Failure
from tidewatch.core.errors import TidewatchError

T = TypeVar("T")


def side_by_side(questions: Mapping[str, Callable[[], T]], seconds: float) -> dict[str, T | Failure]:
    """The answer to each question, or why there is none. Never raises for what a question does.

    A question that is not answered in time is left behind on its thread, which does not keep the process from
    ending.
    """
    answers: dict[str, T | Failure] = {}
    threads = {}
    for name, question in questions.items():
        thread = threading.Thread(target=_ask, args=(name, question, answers), daemon=True)
        thread.start()
        threads[name] = thread
    end = time.monotonic() + seconds
    for thread in threads.values():
        thread.join(max(end - time.monotonic(), 0))
    late = Failure(
        f"no answer within {seconds:g} s", "find out why it hangs; `timeout_seconds` in doctor.yaml"
    )
    return {name: answers.get(name, late) for name in questions}


def _ask(name: str, question: Callable[[], T], answers: dict[str, T | Failure]) -> None:
    try:
        answers[name] = question()
    except TidewatchError as error:
        answers[name] = Failure(f"{error.what}: {error.found}", error.do)
    except psycopg.Error as error:
        found = error.diag.message_primary or type(error).__name__
        answers[name] = Failure(f"the database did not answer: {found}", "look into the server's log")
    except OSError as error:
        answers[name] = Failure(
            f"{error.filename or ''} {error.strerror or type(error).__name__}".strip(), ""
        )
    # A defect in one check must not take the answers of all others with it; its text may quote anything.
    except Exception as error:  # noqa: BLE001
        answers[name] = Failure(f"a defect of Tidewatch: {type(error).__name__}", "please report it")
