"""Verify now: the regions are asked again for one backup, while the person goes on reading.

A check is a row of console.checks and a thread of this process. Its session holds an advisory lock for as
long as it works: a check that runs without a lock lost its process, and is shown as interrupted.
"""

import logging
import threading

from psycopg.types.json import Jsonb

from tidewatch.console.desk import Desk
from tidewatch.core.database import Connection, execute, try_lock
from tidewatch.core.errors import TidewatchError
from tidewatch.core.regions import Region, open_regions
from tidewatch.core.signing import KeyRing
from tidewatch.evidence import ledger, schemas
from tidewatch.vault.readback import Mode
from tidewatch.vault.verify import CopyReport, of_its_regions, verify_copy

_LOG = logging.getLogger(__name__)
_AT_ONCE = threading.BoundedSemaphore(2)
"""A full check downloads everything: two at a time leave room for the pages."""


def begin(desk: Desk, backup_id: str, mode: Mode, *, by: str) -> bool:
    """Have the backup verified in every region. False: somebody has already asked for it.

    Raises ConfigError for keys and regions that cannot be read: nothing is begun then."""
    ring = KeyRing.load(desk.settings.verify_key_file)
    regions = open_regions(desk.regions_file(), desk.resolver, strict=False)
    conn = desk.connect()
    try:
        values = {"backup_id": backup_id, "mode": mode, "by": by, "now": desk.now()}
        row = execute(conn, "console/begin_check", values).fetchone()
        if row is None:
            conn.close()
            return False
        check_id = int(row["check_id"])
        try_lock(conn, _lock(check_id))
        conn.commit()
    except BaseException:
        conn.close()
        raise
    # A daemon: a server that is told to stop does not wait for gigabytes. The next look at the page says so.
    threading.Thread(
        target=_work,
        args=(desk, regions, conn, check_id, backup_id, mode, by, ring),
        name=_lock(check_id),
        daemon=True,
    ).start()
    return True


def settle(desk: Desk, backup_id: str) -> None:
    """Checks of this backup whose process is gone are interrupted ones."""
    with desk.connect() as conn:
        for row in execute(conn, "console/running_checks", {"backup_id": backup_id}).fetchall():
            if try_lock(conn, _lock(row["check_id"])):
                execute(conn, "console/interrupt_check", {"check_id": row["check_id"], "now": desk.now()})


def _work(
    desk: Desk,
    regions: list[Region],
    conn: Connection,
    check_id: int,
    backup_id: str,
    mode: Mode,
    by: str,
    ring: KeyRing,
) -> None:
    try:
        with conn, _AT_ONCE:
            reports = _ask(desk, regions, backup_id, mode, ring)
            _keep(desk, conn, check_id, backup_id, by, reports)
    # A thread has nobody above it: what goes wrong here is shown as a check that was interrupted.
    except Exception:  # noqa: BLE001
        _LOG.exception("The check %s of %s was interrupted", check_id, backup_id)


def _ask(desk: Desk, regions: list[Region], backup_id: str, mode: Mode, ring: KeyRing) -> list[CopyReport]:
    reports = []
    for region in regions:
        try:
            reports.append(verify_copy(region, backup_id, ring, now=desk.now(), mode=mode))
        except TidewatchError as error:
            reports.append(CopyReport(region.name, None, [], str(error)))
    return of_its_regions(reports)


def _keep(
    desk: Desk, conn: Connection, check_id: int, backup_id: str, by: str, reports: list[CopyReport]
) -> None:
    shown = [
        {"region": r.region, "ok": r.ok, "objects": len(r.objects), "problem": r.wrong[:2000] or None}
        for r in reports
    ]
    ok = bool(reports) and all(r.ok for r in reports)
    now = desk.now()
    values = {"check_id": check_id, "ok": ok, "report": Jsonb(shown), "now": now}
    if execute(conn, "console/end_check", values).rowcount:
        body = schemas.ConsoleActed(act="verified", by=by, found={r.region: r.ok for r in reports})
        ledger.append(conn, kind=body.KIND, subject=backup_id, body=body, now=now)


def _lock(check_id: int) -> str:
    return f"tidewatch.console.check.{check_id}"
