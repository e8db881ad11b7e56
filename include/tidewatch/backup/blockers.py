"""pg_dump locks many tables with one statement and does not say for which one it waited in vain. Whoever is
in the way is most often still there, so the server is asked."""

import re

import psycopg

from tidewatch.core.database import connect, execute
from tidewatch.core.errors import SourceChanged, TidewatchError


def named(error: TidewatchError, dsn: str) -> TidewatchError:
    """`error`; when it tells of a lock timeout, one that names the tables that are locked against reading,
    and the server processes that do it."""
    if not isinstance(error, SourceChanged) or not re.search("(lock|statement) timeout", error.found):
        return error
    try:
        with connect(dsn, application_name="tidewatch backup blockers") as conn:
            rows = execute(conn, "backup/exclusive_locks").fetchall()
    except (psycopg.Error, TidewatchError):
        return error  # the one that is there already matters more
    if not rows:
        return error
    tables = ", ".join(f"{row['name']} by process {row['pid']}" for row in rows)
    return SourceChanged(
        error.what,
        expected=error.expected,
        found=f"{error.found}; locked, or about to be, against readers: {tables}",
        do="let the ALTER, TRUNCATE, VACUUM FULL or LOCK TABLE of that process end (pg_stat_activity shows "
        "it), or raise lock_timeout_seconds; the run is repeated",
    )
