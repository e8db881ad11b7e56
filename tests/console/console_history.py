"""Years of history, written by SQL: what the pages must stay fast with, and what screenshots show."""

from datetime import UTC, datetime
from pathlib import Path

import model_history

from tidewatch.core.database import Connection

NOW = datetime(2026, 11, 22, 4, 30, tzinfo=UTC)
SOURCES = ("airflow_metadata", "media", "ops")
REGIONS = ("cn-east", "cn-north", "cn-south")
_TRIGGERS = {
    "ledger": ("check_record", "advance_head", "refuse_change", "refuse_truncate"),
    "head": ("check_head", "refuse_change", "refuse_truncate"),
}


def write(conn: Connection, *, days: int, records: int) -> None:
    """`days` daily backups of three sources in three regions with everything that follows from them, and
    `records` records of the ledger (whose entries are no real chain: verifying is not what they are for)."""
    values = {
        "now": NOW, "days": days, "records": records, "sources": list(SOURCES), "regions": list(REGIONS),
    }  # fmt: skip
    for table in _TRIGGERS:
        conn.execute(f"alter table evidence.{table} disable trigger user".encode())
    text = Path(__file__).with_name("console_history.sql").read_text(encoding="utf-8")
    for statement in text.split("\n;\n")[:-1]:
        conn.execute(statement.encode(), values)
    model_history.write(conn, NOW)
    for table, triggers in _TRIGGERS.items():
        for name in triggers:
            conn.execute(f"alter table evidence.{table} enable always trigger {name}".encode())
    conn.commit()
    conn.autocommit = True
    conn.execute("vacuum analyze")
    conn.autocommit = False
