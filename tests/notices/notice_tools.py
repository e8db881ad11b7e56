"""A notice and channels for the tests."""

from datetime import UTC, datetime
from typing import Any

from tidewatch.core.connections import Connection, missing
from tidewatch.notices.channels import Channel, NoticesFile, open_channels
from tidewatch.notices.notice import Notice

NOW = datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)


def notice(fact: str = "backup.degraded/ops-1", **changes: Any) -> Notice:
    return Notice.model_validate(
        {
            "fact": fact,
            "severity": "warning",
            "title_zh": "备份 ops 只有两份",
            "title_en": "Backup ops has two copies only",
            "body_zh": "区域 cn-north 没有应答，另外两个区域已核验。",
            "body_en": "Region cn-north did not answer; the other two are verified.",
            "act_now": False,
            "next_step_zh": "等待每小时的修复任务；六小时后仍缺时检查区域。",
            "next_step_en": "Wait for the hourly heal; after six hours, check the region.",
            **changes,
        }
    )


def channel(url: str | None, name: str = "ops", **config: Any) -> Channel:
    file = NoticesFile.model_validate(
        {"channels": [{"name": name, "url_env": "TEST_URL", "min_severity": "info", **config}]}
    )
    (opened,) = open_channels(file, no_connections, {"TEST_URL": url} if url is not None else {})
    return opened


def no_connections(conn_id: str) -> Connection:
    raise missing(conn_id)
