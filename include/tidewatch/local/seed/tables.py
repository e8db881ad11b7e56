"""Which columns a seeding fills, and rows on their way to the database."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from psycopg import sql

from tidewatch.core.database import Connection

LEGACY = "旧系统导入 Import-2024"

# In the order of their foreign keys.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "staff": ("id", "name", "name_latin", "role", "email", "languages", "manager_id", "shift", "last_ip",
              "hired_on", "active"),
    "accounts": ("id", "platform", "handle", "display_name", "market", "followers", "verified", "settings",
                 "owner_id", "answer_within", "opened_on"),
    "campaigns": ("id", "code", "title_zh", "title_en", "period", "budget", "goals"),
    "hashtags": ("id", "tag", "campaign_id", "blocked"),
    "response_templates": ("id", "code", "version", "category", "lang", "title", "body", "slots",
                           "approved_by"),
    "incidents": ("id", "title", "severity", "lead_id", "lasted", "accounts", "summary", "timeline",
                  "report"),
    LEGACY: ("行号", "Raw Text", "金额", "raw", '备注"引号'),
    "contacts": ("id", "kind", "full_name", "phone", "email", "wechat_id", "city", "address", "consent",
                 "created_at"),
    "posts": ("id", "account_id", "campaign_id", "author_id", "state", "lang", "title", "body", "tags",
              "external_id", "created_at", "published_at", "extra"),
    "post_hashtags": ("post_id", "hashtag_id", "position"),
    "post_metrics": ("post_id", "day", "views", "likes", "shares", "saves", "watched", "by_source"),
    "comments": ("id", "post_id", "parent_id", "nickname", "author_key", "body", "lang", "feeling", "likes",
                 "ip_region", "flags", "hidden", "created_at"),
    "media_assets": ("id", "post_id", "file_name", "media_type", "bytes", "sha256", "size_px", "alt_text",
                     "rights", "thumbnail"),
    "complaints": ("id", "account_id", "comment_id", "contact_id", "assignee_id", "category", "severity",
                   "status", "subject", "body", "order_no", "claimed", "satisfaction", "opened_at",
                   "updated_at", "closed_at"),
    "complaint_events": ("id", "complaint_id", "at", "actor_id", "old_status", "new_status", "note",
                         "detail"),
}  # fmt: skip

# A complaint changes until its last day is played, so it and what refers to it are loaded last.
CASES = ("complaints", "complaint_events")

Row = Sequence[Any]


def as_json(value: object) -> str:
    """Compact, readable, in the order given."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Batch:
    """Rows not yet loaded, by table."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = defaultdict(list)

    def add(self, table: str, *row: Any) -> None:
        """One row, its values in the order of `COLUMNS`."""
        self.rows[table].append(row)

    def flush(self, conn: Connection, *, cases: bool = True) -> None:
        """COPY what is waiting, without the complaints when `cases` is false."""
        self._ensure_months(conn)
        for table, columns in COLUMNS.items():
            if table in self.rows and (cases or table not in CASES):
                copy_rows(conn, table, columns, self.rows.pop(table))

    def _ensure_months(self, conn: Connection) -> None:
        days: Iterable[date] = (row[1] for row in self.rows.get("post_metrics", ()))
        for month in sorted({day.replace(day=1) for day in days}):
            conn.execute("select ops.ensure_metrics_month(%s)", (month,))


def copy_rows(conn: Connection, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Load rows through COPY."""
    command = sql.SQL("copy {} ({}) from stdin").format(
        sql.Identifier("ops", table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with conn.cursor() as cursor, cursor.copy(command) as copy:
        for row in rows:
            copy.write_row(row)


def move_sequences(conn: Connection) -> None:
    """Rows loaded with their ids leave the sequences behind: bring each up to its table."""
    for table, columns in COLUMNS.items():
        if columns[0] == "id":
            conn.execute(
                sql.SQL(
                    "select setval(pg_get_serial_sequence({}, 'id'), max(id)) from {} having count(*) > 0"
                ).format(sql.Literal(f"ops.{table}"), sql.Identifier("ops", table))
            )
