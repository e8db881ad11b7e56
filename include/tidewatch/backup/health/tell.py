"""A notice of what the doctor found, sent at once: a Dag that would send it may be what does not run."""

import contextlib
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from tidewatch.backup.health.check import Check
from tidewatch.core.config import read_yaml
from tidewatch.core.connections import Resolver
from tidewatch.core.database import connect
from tidewatch.core.errors import TidewatchError
from tidewatch.core.settings import Settings
from tidewatch.notices.channels import NoticesFile, open_channels
from tidewatch.notices.notice import Notice
from tidewatch.notices.outbox import deliver, post

_SHOWN = 8


def tell(settings: Settings, resolver: Resolver, checks: Sequence[Check], now: datetime) -> list[str]:
    """Post one notice a day for the same problems and deliver what is due. Without a database it goes to the
    channels directly, each time. Returns what could not be done."""
    problems = [c for c in checks if c.state == "problem"]
    if not problems:
        return []
    notice = problems_found(problems, now)
    try:
        channels = open_channels(read_yaml(settings.config_dir / "notices.yaml", NoticesFile), resolver)
    except TidewatchError as error:
        return [f"not told: {error.what} ({error.found})"]
    try:
        dsn = resolver(settings.warehouse_connection).postgres_dsn()
        with contextlib.closing(connect(dsn, application_name="tidewatch doctor")) as conn:
            post(conn, notice, now)
            conn.commit()
            delivered = deliver(conn, channels, now)
        failed = [f"not told: {p}" for p in delivered.problems]
        return failed + ([f"not told: {delivered.failed} messages failed"] if delivered.failed else [])
    except TidewatchError:
        refused = [(channel.name, channel.send(notice)) for channel in channels]
        return [f"not told through {name}: {why.reason}" for name, why in refused if why is not None]


def problems_found(problems: Sequence[Check], now: datetime) -> Notice:
    """The same problems on the same day (UTC) are one fact."""
    titles = sorted(c.title for c in problems)
    fact = sha256("\n".join(titles).encode()).hexdigest()[:16]
    lines = [f"{c.title}: {c.found}" for c in problems[:_SHOWN]]
    rest = len(problems) - len(lines)
    shown = "\n".join(lines)
    return Notice(
        fact=f"doctor.found/{now:%Y-%m-%d}/{fact}",
        severity="critical",
        act_now=True,
        title_zh=f"自检发现 {len(problems)} 个问题：{titles[0]}",
        title_en=f"The doctor found {len(problems)} problems: {titles[0]}",
        body_zh=f"{shown}" + (f"\n另有 {rest} 个。" if rest else ""),
        body_en=f"{shown}" + (f"\nand {rest} more." if rest else ""),
        next_step_zh=f"执行 tidewatch doctor 查看每项的处理办法；首先：{problems[0].do or problems[0].found}",
        next_step_en=f"run `tidewatch doctor` for what to do about each; first: "
        f"{problems[0].do or problems[0].found}",
    )
