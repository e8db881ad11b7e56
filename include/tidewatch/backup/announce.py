"""Notices of what keeps a backup from beginning: there is no catalogue row and no transaction to go with."""

import contextlib
from collections.abc import Callable
from datetime import datetime

import psycopg

from tidewatch.core.database import Connection
from tidewatch.core.errors import TidewatchError
from tidewatch.core.progress import Progress
from tidewatch.notices import outbox
from tidewatch.notices.notice import Notice


def announce(connect: Callable[[], Connection], notice: Notice, now: datetime, progress: Progress) -> None:
    """Post `notice` in a transaction of its own. Never raises for the warehouse: the caller has an error to
    raise that says more."""
    try:
        with contextlib.closing(connect()) as conn:
            outbox.post(conn, notice, now)
            conn.commit()
    except (psycopg.Error, TidewatchError) as error:
        progress(f"the notice {notice.fact} could not be kept ({type(error).__name__})")
