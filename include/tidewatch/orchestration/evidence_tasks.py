"""What the tasks of the evidence Dags call. Everything returned goes to XCom: names and counts."""

import logging
from contextlib import closing
from typing import Any

from airflow.sdk import get_current_context

from tidewatch.backup import probe as probing
from tidewatch.backup.context import build_context
from tidewatch.core.clock import utc_now
from tidewatch.core.database import Connection
from tidewatch.core.errors import RegionUnavailable
from tidewatch.core.redaction import install_log_redaction
from tidewatch.core.settings import load_settings
from tidewatch.evidence import anchoring
from tidewatch.notices import outbox
from tidewatch.notices.notice import Notice
from tidewatch.orchestration.connections import from_airflow

log = logging.getLogger(__name__)


def anchor_ledger() -> dict[str, Any]:
    """Write the signed head into every region; raises RegionUnavailable, after recording, for those that do
    not have it."""
    install_log_redaction()
    context = build_context(load_settings(), from_airflow, clock=utc_now, progress=log.info)
    with closing(context.connect()) as conn:
        probing.learn(context, conn)
        conn.commit()
        done = anchoring.anchor(conn, context.regions, context.signing_key, context.now(), "daily")
        if done is not None and done.missing:
            _tell(conn, done)
            raise RegionUnavailable(
                "The head of the ledger does not lie in every region",
                expected="the signed head, locked and read back",
                found="; ".join(f"{region}: {why}" for region, why in done.missing.items()),
                do="see `tidewatch findings list`; `tidewatch region probe REGION` shows details",
            )
    return {} if done is None else {"seq": done.head.seq, "regions": len(done.places)}


def _tell(conn: Connection, done: anchoring.Anchored) -> None:
    """At the last try: what passes by itself wakes nobody."""
    airflow = get_current_context()
    if airflow["ti"].try_number <= airflow["ti"].max_tries:
        return
    day, names = done.signed_at.date().isoformat(), ", ".join(done.missing)
    why = "; ".join(f"{region}: {text}" for region, text in done.missing.items())
    notice = Notice(
        fact=f"{anchoring.FINDING}/{day}",
        severity="warning",
        title_zh=f"账本的签名链头没有写入 {names}",
        title_en=f"The signed head of the ledger does not lie in {names}",
        body_zh=f"第 {done.head.seq} 条记录的签名链头未能写入下列地域。{why}",
        body_en=f"The signed head of record {done.head.seq} could not be written there. {why}",
        act_now=False,
        next_step_zh="检查该地域后运行 tidewatch evidence anchor；明天的运行也会重试。",
        next_step_en="look after the region, then run `tidewatch evidence anchor`; tomorrow tries again",
    )
    outbox.post(conn, notice, done.signed_at)
    conn.commit()
