"""What the tasks of the report's Dag call. Everything returned goes to XCom: names and counts."""

import contextlib
import logging
from typing import Any

from airflow.sdk import get_current_context

from tidewatch.core.clock import utc_now
from tidewatch.core.database import Connection, connect
from tidewatch.core.redaction import install_log_redaction
from tidewatch.core.regions import open_regions
from tidewatch.core.settings import load_settings
from tidewatch.evidence.report import make as making
from tidewatch.evidence.report.period import month_of
from tidewatch.notices import outbox
from tidewatch.notices.notice import Notice
from tidewatch.orchestration.connections import from_airflow

log = logging.getLogger(__name__)


def make_report() -> dict[str, Any]:
    """Make the report of the month that was asked for, or of the one in which the data interval begins; copy
    it to the regions where that is set; tell that it is there."""
    install_log_redaction()
    settings = load_settings()
    dsn = from_airflow(settings.warehouse_connection).postgres_dsn()

    def warehouse() -> Connection:
        return connect(dsn, application_name="tidewatch report")

    context = making.build_context(
        settings,
        warehouse,
        lambda file: open_regions(file, from_airflow, strict=False),
        clock=utc_now,
        progress=log.info,
    )
    made = making.make(context, _month(context.report.timezone))
    with contextlib.closing(warehouse()) as conn:
        outbox.post(conn, _ready(made), context.clock())
        conn.commit()
    making.copy_to_regions(context, made)
    return made.as_dict()


def _month(timezone: str) -> str:
    airflow = get_current_context()
    asked = airflow["params"].get("month")
    start = airflow.get("data_interval_start") or airflow["dag_run"].run_after
    return str(asked) if asked else month_of(start, timezone)


def _ready(made: making.Made) -> Notice:
    missing = made.missing
    return Notice(
        fact=f"report.made/compliance/{made.month}/v{made.number}",
        severity="warning" if made.gaps else "info",
        title_zh=f"{made.month} 合规报告第 {made.number} 版已生成",
        title_en=f"The compliance report of {made.month}, version {made.number}, is ready",
        body_zh=f"共 {len(made.facts.backups)} 个备份；{missing} 个天次没有备份。"
        f"本次打开发现项 {made.opened} 项。",
        body_en=f"{len(made.facts.backups)} backups; {missing} days of sources without one. "
        f"{made.opened} findings were opened.",
        act_now=False,
        next_step_zh=f"查看 {made.directory} 中的文件；没有备份的日子请说明原因后关闭发现项。"
        if missing
        else f"查看 {made.directory} 中的文件。",
        next_step_en=f"read the files in {made.directory}; explain the days without a backup and close "
        "their findings"
        if missing
        else f"read the files in {made.directory}",
    )
