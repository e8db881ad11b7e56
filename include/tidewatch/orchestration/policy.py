"""What every Dag shares: owner, tags, retries. `tests/dags/` holds the Dags to it."""

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from tidewatch.core.errors import (
    RegionUnavailable,
    SourceChanged,
    SourceUnreachable,
    TidewatchError,
)

TAGS = frozenset({"backup", "restore", "evidence", "quality", "mentions", "sentiment", "insight", "survey"})
"""The closed list of Dag tags: a domain, or a mechanism that a Dag mainly serves."""

TIMEZONE = "Asia/Shanghai"

_RETRY = ExceptionRetryPolicy(
    rules=[
        # What passes by itself is worth another try; our other errors say what a person must do, and trying
        # again would only delay the message.
        RetryRule(exception=[RegionUnavailable, SourceUnreachable, SourceChanged], action=RetryAction.RETRY),
        RetryRule(exception=TidewatchError, action=RetryAction.FAIL),
    ],
    default=RetryAction.DEFAULT,
)

DEFAULT_ARGS: dict[str, Any] = {
    "owner": "data-engineering",
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": _RETRY,
    "execution_timeout": timedelta(hours=6),
}
