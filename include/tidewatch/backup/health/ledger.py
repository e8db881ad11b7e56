"""Is the ledger intact? Whole while it is short, since the last check when it is long.

Where the last check ended is kept in `<home>/doctor-ledger.json`, outside of the database: whoever rewrites
the ledger must not be able to move it along. Without that file the ledger is read whole.
"""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from tidewatch.backup.health.check import Check, ok, problem
from tidewatch.backup.health.warehouse import open_session
from tidewatch.core.database import describe
from tidewatch.core.errors import Busy
from tidewatch.core.files import directory_lock, replace_file
from tidewatch.evidence import ledger
from tidewatch.evidence.chains import NewChain
from tidewatch.evidence.record import Head
from tidewatch.evidence.verify import LedgerReport

STATE_FILE = "doctor-ledger.json"
_A_DAY_S = 24 * 3600.0
"""A long pass is bounded by whoever waits for it, not by the server."""


def check_ledger(
    dsn: str, home: Path, chain: NewChain | None, *, full: bool, full_records: int, remember: bool = True
) -> Check:
    """Raises TidewatchError or psycopg.Error when the database does not answer."""
    marks = {"database": describe(dsn), "chain": chain.seq if chain else None}
    last = _last_checked(home / STATE_FILE, marks)
    with open_session(dsn, _A_DAY_S) as conn:
        whole = full or last is None or ledger.head(conn).seq <= full_records
        report = ledger.verify(conn, expect=last) if whole else ledger.verify(conn, since=last)
    if report.ok and remember:
        _remember(home, report.head, marks)
    return _judged(report, whole, last)


def _judged(report: LedgerReport, whole: bool, last: Head | None) -> Check:
    if not report.ok:
        return problem(
            "ledger",
            "",
            "; ".join(report.problems[:3]),
            "keep this database as it is and see docs/ledger.md; `tidewatch ledger verify` shows more",
        )
    since = "" if whole or last is None else f" since record {last.seq}; `--full` reads all"
    return ok("ledger", "", f"{report.records} records checked{since}, head {report.head.seq}")


def _last_checked(file: Path, marks: Mapping[str, object]) -> Head | None:
    """None when there is none, of this database and this chain."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        found = json.loads(file.read_text(encoding="utf-8"))
        if all(found[name] == value for name, value in marks.items()) and int(found["seq"]) > 0:
            return Head(int(found["seq"]), str(found["hash"]))
    return None


def _remember(home: Path, head: Head, marks: Mapping[str, object]) -> None:
    """A state directory that cannot be written costs a whole pass each time, nothing else."""
    text = json.dumps({**marks, "seq": head.seq, "hash": head.hash}) + "\n"
    with contextlib.suppress(OSError, Busy):
        home.mkdir(parents=True, exist_ok=True)
        with directory_lock(home):
            replace_file(home / STATE_FILE, text.encode())
