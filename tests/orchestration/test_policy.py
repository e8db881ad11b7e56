"""What is tried again by itself, and what waits for a person."""

import importlib
import pkgutil

import pytest

import tidewatch
from tidewatch.core.errors import TidewatchError
from tidewatch.orchestration.policy import DEFAULT_ARGS


def _kinds() -> list[type[TidewatchError]]:
    """Every error that the rooms below the Dags define."""
    for room in ("core", "vault", "evidence", "quality", "notices", "backup"):
        package = importlib.import_module(f"tidewatch.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    found = [TidewatchError]
    for kind in found:
        found += [k for k in kind.__subclasses__() if k.__module__.startswith(tidewatch.__name__)]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("kind", _kinds(), ids=lambda k: k.__name__)
def test_an_error_is_tried_again_just_when_it_says_that_this_can_help(kind: type[TidewatchError]) -> None:
    from airflow.sdk import RetryAction

    error = kind("what", expected="this", found="that", do="something")
    decision = DEFAULT_ARGS["retry_policy"].evaluate(error, 1, 3, {})
    wanted = RetryAction.RETRY if kind.retryable else RetryAction.FAIL
    assert decision.action == wanted


def test_both_kinds_are_among_the_errors() -> None:
    names = {k.__name__: k.retryable for k in _kinds()}
    assert names["RegionUnavailable"] and names["WarehouseFailed"] and names["LedgerBusy"]
    assert not names["GateFailed"] and not names["ConfigError"] and not names["Busy"]


def test_an_error_that_is_not_ours_is_left_to_the_number_of_retries() -> None:
    from airflow.sdk import RetryAction

    decision = DEFAULT_ARGS["retry_policy"].evaluate(ConnectionResetError(), 1, 3, {})
    assert decision.action == RetryAction.DEFAULT and DEFAULT_ARGS["retries"] >= 1
