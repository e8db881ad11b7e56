"""What the `tell` task of every Dag calls, and tasks after which a run may wait."""

import logging

from tidewatch.core.clock import utc_now
from tidewatch.core.config import read_yaml
from tidewatch.core.database import connect
from tidewatch.core.redaction import install_log_redaction
from tidewatch.core.settings import load_settings
from tidewatch.notices.channels import NoticesFile, open_channels
from tidewatch.notices.outbox import deliver as deliver_due
from tidewatch.orchestration.connections import from_airflow

log = logging.getLogger(__name__)


def deliver() -> dict[str, int]:
    """Send the notices that are due; counts. One that cannot be sent stays due and is tried again by the
    next run of any Dag."""
    install_log_redaction()
    settings = load_settings()
    channels = open_channels(read_yaml(settings.config_dir / "notices.yaml", NoticesFile), from_airflow)
    dsn = from_airflow(settings.warehouse_connection).postgres_dsn()
    with connect(dsn, application_name="tidewatch notices") as conn:
        delivered = deliver_due(conn, channels, utc_now())
    for problem in delivered.problems:
        log.warning("%s", problem)
    counts = {name: getattr(delivered, name) for name in ("sent", "failed", "pending", "given_up")}
    log.info("notices: %s", counts)
    return counts


def deliver_now() -> None:
    """Send what is due before a task ends whose run may wait for a person for days. Never an error: what is
    not sent now is sent by the next run of any Dag."""
    try:
        deliver()
    except Exception:  # it must not hide why the task failed
        log.warning("notices could not be sent now", exc_info=True)
