"""The task of anchor_ledger: what it returns, what it tells at its last try, and that it is tried again."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict

from tidewatch.core.clock import utc_now
from tidewatch.core.database import connect
from tidewatch.core.errors import RegionUnavailable
from tidewatch.core.regions import Region
from tidewatch.evidence.ledger import append, records
from tidewatch.local.s3 import LocalRegion
from tidewatch.orchestration import evidence_tasks

SOURCE = {"type": "files", "name": "unused", "data_class": "internal", "path": "/nowhere"}


@pytest.fixture
def ti(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, warehouse: str, three_regions: list[Region], keys: Any
) -> SimpleNamespace:
    """An installation in the environment with one record, and the task's first try of two."""
    fields = conninfo_to_dict(warehouse)
    connection = {
        "conn_type": "postgres",
        "host": fields["host"],
        "port": int(str(fields["port"])),
        "login": fields["user"],
        "password": fields["password"],
        "schema": fields["dbname"],
    }
    monkeypatch.setenv("AIRFLOW_CONN_TIDEWATCH_WAREHOUSE", json.dumps(connection))
    for region in three_regions:
        a = region.address
        extra = {"endpoint_url": a.endpoint_url, "region_name": a.region_name}
        aws = {"conn_type": "aws", "login": a.access_key, "password": a.secret_key, "extra": extra}
        monkeypatch.setenv(f"AIRFLOW_CONN_{region.config.connection.upper()}", json.dumps(aws))
    file = {
        "policy_id": "TEST",
        "policy_version": "1",
        "residency": {"internal": ["CN"]},
        "regions": [r.config.model_dump() for r in three_regions],
    }
    (tmp_path / "regions.yaml").write_text(yaml.safe_dump(file), encoding="utf-8")
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"sources": [SOURCE]}), encoding="utf-8")
    monkeypatch.setenv("TIDEWATCH_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("TIDEWATCH_SIGNING_KEY_FILE", str(keys.signing_key_file))
    monkeypatch.setenv("TIDEWATCH_VERIFY_KEY_FILE", str(keys.verify_key_file))
    with connect(warehouse, application_name="tests") as conn:
        append(conn, kind="test.fact", subject="s", body={}, now=utc_now())
    task_instance = SimpleNamespace(try_number=1, max_tries=1)
    monkeypatch.setattr(evidence_tasks, "get_current_context", lambda: {"ti": task_instance})
    return task_instance


def test_the_head_is_anchored_and_counts_are_returned(ti: SimpleNamespace, warehouse: str) -> None:
    assert evidence_tasks.anchor_ledger() == {"seq": 1, "regions": 3}
    with connect(warehouse, application_name="tests") as conn:
        assert [r.body["why"] for r in records(conn, kind="ledger.anchored")] == ["daily"]


def test_a_region_that_is_down_is_tried_again_and_told_once_the_last_try_has_failed(
    ti: SimpleNamespace, warehouse: str, region_servers: list[LocalRegion]
) -> None:
    region_servers[2].stop()

    def told() -> list[str]:
        with connect(warehouse, application_name="tests") as conn:
            return [row["fact"] for row in conn.execute("select fact from notices.outbox")]

    with pytest.raises(RegionUnavailable, match="cn-south") as caught:
        evidence_tasks.anchor_ledger()
    assert caught.value.retryable
    assert told() == []
    ti.try_number = 2
    with pytest.raises(RegionUnavailable):
        evidence_tasks.anchor_ledger()
    assert told() == [f"ledger.not_anchored/{utc_now().date().isoformat()}"]
    region_servers[2].start()
    ti.try_number = 3
    assert evidence_tasks.anchor_ledger()["regions"] == 3
