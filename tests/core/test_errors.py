"""Errors carry the answer, cross process borders, and hold no secret."""

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tidewatch.core import errors
from tidewatch.core.errors import GateFailed, RegionUnavailable, TidewatchError

PARTS = {"expected": "an answer", "found": "silence", "do": "ask again"}


def every_kind(root: type[TidewatchError] = TidewatchError) -> list[type[TidewatchError]]:
    return [root, *(k for child in root.__subclasses__() for k in every_kind(child))]


def fail_elsewhere(what: str) -> None:
    error = RegionUnavailable(what, **PARTS)
    error.add_note("third try")
    raise error


def fail_in_a_group(what: str) -> None:
    raise ExceptionGroup("two", [GateFailed(what, **PARTS), ValueError("x")])


def test_the_text_says_what_was_expected_what_was_found_and_what_to_do() -> None:
    error = TidewatchError("Region cn-east did not answer.", **PARTS | {"do": "ask again."})
    assert str(error) == (
        "Region cn-east did not answer. Expected: an answer. Found: silence. What to do: ask again."
    )


def test_every_kind_survives_pickling_with_its_parts() -> None:
    kinds = [kind for kind in every_kind() if kind.__module__ == errors.__name__]
    assert len(kinds) > 20
    for kind in kinds:
        again = pickle.loads(pickle.dumps(kind("It failed", **PARTS)))  # noqa: S301 - our own bytes
        assert type(again) is kind
        assert (again.what, again.expected, again.found, again.do) == ("It failed", *PARTS.values())
        assert str(again) == str(kind("It failed", **PARTS))


def test_an_error_arrives_whole_from_another_process_with_its_notes() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.raises(RegionUnavailable, match=r"Found: silence") as caught:
            pool.submit(fail_elsewhere, "It failed").result()
        assert "third try" in caught.value.__notes__
        with pytest.raises(ExceptionGroup) as group:
            pool.submit(fail_in_a_group, "It failed").result()
    [inner] = [e for e in group.value.exceptions if isinstance(e, GateFailed)]
    assert inner.do == "ask again"


def test_an_error_can_be_copied() -> None:
    error = GateFailed("It failed", **PARTS)
    assert str(copy.deepcopy(error)) == str(error)


def test_secrets_are_taken_out_of_every_part() -> None:
    secret = "postgresql://u:hunter2secret@h/db"
    error = TidewatchError(secret, expected=secret, found=secret, do=secret)
    assert "hunter2secret" not in f"{error} {error!r} {error.args} {vars(error)}"


def test_only_passing_troubles_are_retryable() -> None:
    retryable = {k.__name__ for k in every_kind() if k.retryable and k.__module__ == errors.__name__}
    assert retryable == {
        "SourceUnreachable", "SourceChanged", "SourceInterrupted", "TargetUnreachable", "RegionUnavailable",
    }  # fmt: skip
