"""What every Dag shares: owner, tags, retries. `tests/dags/` holds the Dags to it."""

from datetime import timedelta
from typing import Any

from airflow.sdk import RetryAction, RetryDecision, RetryPolicy

from tidewatch.core.errors import TidewatchError

TAGS = frozenset({"backup", "restore", "evidence", "quality", "mentions", "sentiment", "insight", "survey"})
"""The closed list of Dag tags: a domain, or a mechanism that a Dag mainly serves."""

TIMEZONE = "Asia/Shanghai"


class RetryWhatCanPass(RetryPolicy):
    """Our own errors know whether trying again by itself can help. The others say what a person must do:
    trying again would only delay the message."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Any = None
    ) -> RetryDecision:
        """What passes by itself is tried again up to the task's `retries`; the rest fails at once."""
        del try_number, max_tries, context
        if not isinstance(exception, TidewatchError):
            return RetryDecision(action=RetryAction.DEFAULT)
        name = type(exception).__name__
        if exception.retryable:
            return RetryDecision(action=RetryAction.RETRY, reason=f"{name} can pass by itself")
        return RetryDecision(action=RetryAction.FAIL, reason=f"{name} waits for a person")


DEFAULT_ARGS: dict[str, Any] = {
    "owner": "data-engineering",
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": RetryWhatCanPass(),
    "execution_timeout": timedelta(hours=6),
}
