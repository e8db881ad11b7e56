"""The kinds of the main job carry the auditor's fields, all of them and no others."""

from collections.abc import Iterator
from typing import Any

import pytest
from ledger_tools import NOW

from tidewatch.core.database import Connection, connect
from tidewatch.core.errors import LedgerError
from tidewatch.evidence.ledger import append, records, verify
from tidewatch.evidence.schemas import SCHEMAS, Body, DecisionMade, NoticeFailed, checked_body

AT = "2026-11-22T03:04:05.678901Z"
SHA = "0123456789abcdef" * 4
PLACE = {"region": "cn-east", "provider": "ceph", "bucket": "tw", "jurisdiction": "CN"}
RUN = {"dag_id": "back_up_sources", "run_id": "scheduled__1", "try_number": 1, "schedule": "0 2 * * *"}
COPY = {
    "policy": {"id": "P", "version": "3"},
    "source": "ops",
    "data_class": "personal",
    "backup_id": "b1",
    "run": RUN,
    "place": PLACE,
}
BACKUP = {k: v for k, v in COPY.items() if k != "place"} | {"source_type": "postgres"}
READ = {
    "key": "k",
    "version_id": "v1",
    "size": 5,
    "sha256": SHA,
    "lock_mode": "COMPLIANCE",
    "retain_until": AT,
    "read_at": AT,
    "mode": "full",
}
OBJECT = {
    "name": "dump.pgc.zst.age",
    "role": "dump",
    "plain_size": 9,
    "plain_sha256": SHA,
    "cipher_size": 5,
    "cipher_sha256": SHA,
}
FINDING = {"expectation": "row_ratio", "batch": "tables", "observed": "0.7", "limit": ">= 0.8"}

COMPLETE: dict[str, dict[str, Any]] = {
    "backup.started": {**BACKUP, "started_at": AT, "regions": [PLACE]},
    "backup.staged": {
        **BACKUP,
        "started_at": AT,
        "snapshot_at": AT,
        "ended_at": AT,
        "tables": 3,
        "rows": 100,
        "files": 0,
        "plain_bytes": 9,
        "stored_bytes": 5,
        "content_sha256": SHA,
        "objects": [OBJECT],
        "recipients": ["age1x"],
        "received_by": ["cn-east"],
        "missed_by": ["cn-north"],
    },
    "backup.failed": {**BACKUP, "stage": "stage", "error": "the process ended without a word"},
    "backup.committed": {
        **BACKUP,
        "verdict": "degraded",
        "started_at": AT,
        "snapshot_at": AT,
        "ended_at": AT,
        "rows": 100,
        "files": 0,
        "plain_bytes": 9,
        "stored_bytes": 5,
        "manifest_sha256": SHA,
        "signing_key_id": "k",
        "recipients": ["age1x"],
        "copies": [
            {
                "place": PLACE,
                "state": "verified",
                "objects": 1,
                "bytes": 5,
                "retain_until": AT,
                "read_back_at": AT,
                "error": None,
            }
        ],
    },
    "copy.verified": {**COPY, "objects": [READ], "started_at": AT, "ended_at": AT},
    "copy.failed": {**COPY, "stage": "upload", "error": "no answer", "failed_at": AT},
    "copy.healed": {
        **COPY,
        "from_region": "cn-north",
        "objects": [READ],
        "started_at": AT,
        "ended_at": AT,
        "verdict": "sealed",
    },
    "region.probed": {
        "policy": {"id": "P", "version": "3"},
        "place": PLACE,
        "run": RUN,
        "started_at": AT,
        "ended_at": AT,
        "ok": False,
        "checks": [{"name": "lock", "ok": False, "observed": "gone"}],
    },
    "gate.judged": {
        "gate": "backup",
        "subject": "b1",
        "dag_id": "d",
        "run_id": "r",
        "passed": False,
        "evaluated": 9,
        "critical": [FINDING],
        "warnings": [],
        "staged": 10,
        "published": 9,
        "quarantined": 1,
        "judged_at": AT,
    },
    "decision.made": {
        "about": "b1",
        "decision": "accept",
        "decided_by": "li.wei",
        "reason": "table was emptied",
        "previous_verdict": "suspect",
        "decided_at": AT,
    },
    "keys.changed": {
        "what": "recipients",
        "old": ["0123456789abcdef"],
        "new": ["fedcba9876543210"],
        "noticed_by": "backup",
        "since_backup": "b1",
    },
    "keys.rotated": {
        "old_key_id": "0123456789abcdef",
        "new_key_id": "fedcba9876543210",
        "new_public_key": "A" * 43 + "=",
        "rotated_at": AT,
        "signature": "A" * 86 + "==",
    },
    "notice.failed": {
        "fact": "f",
        "channel": "mail",
        "severity": "critical",
        "error": "refused",
        "failed_at": AT,
        "next_try_at": AT,
    },
    "catalog.rebuilt": {
        "policy": {"id": "p", "version": "1"},
        "place": PLACE,
        "started_at": AT,
        "ended_at": AT,
        "manifests": 3,
        "adopted": 1,
        "known": 1,
        "decisions": 0,
        "copies": 0,
        "adopted_sha256": SHA,
        "refused": 1,
        "problems": [{"key": "k", "problem": "another key signed it"}],
        "heads_before": 1,
        "chain_before": {"seq": 7, "hash": SHA, "signed_at": AT, "key_id": "k", "backup_id": "b"},
    },
    "catalog.checked": {
        "policy": {"id": "p", "version": "1"},
        "place": PLACE,
        "started_at": AT,
        "ended_at": AT,
        "verified": 2,
        "failed": 0,
        "problems": [{"key": "", "problem": "no answer"}],
    },
    "orphans.removed": {
        "policy": {"id": "p", "version": "1"},
        "place": PLACE,
        "run": RUN,
        "started_at": AT,
        "ended_at": AT,
        "keys": 2,
        "bytes": 10,
        "uploads": 1,
        "sha256": SHA,
        "examples": ["k"],
        "attempts": ["b"],
        "locked": 0,
    },
    "backup.expired": {
        "policy": {"id": "p", "version": "1"},
        "retention": "daily 35; Asia/Shanghai",
        "source": "ops",
        "data_class": "personal",
        "backup_id": "b1",
        "run": RUN,
        "verdict": "sealed",
        "snapshot_at": AT,
        "manifest_sha256": SHA,
        "generations": ["daily"],
        "locked_until": AT,
        "reasons": ["daily 2026-11-22: 35 newer ones are there"],
        "regions": ["cn-east"],
        "expired_at": AT,
    },
    "removal.done": {
        "policy": {"id": "p", "version": "1"},
        "place": PLACE,
        "run": None,
        "started_at": AT,
        "ended_at": AT,
        "keys": 2,
        "bytes": 10,
        "sha256": SHA,
        "examples": ["k"],
        "backups": ["b1"],
        "finished": ["b1"],
    },
    "retention.changed": {
        "policy": {"id": "p", "version": "1"},
        "source": "ops",
        "old": None,
        "new": "daily 35; Asia/Shanghai",
    },
    "hold.placed": {
        "hold_id": "hold-20261122T000000Z-00000000",
        "source": "ops",
        "backup_id": None,
        "span_from": AT,
        "span_until": None,
        "holder": "Legal",
        "reason": "case 7",
        "placed_by": "li.wei",
        "placed_at": AT,
        "backups": 2,
    },
    "hold.lifted": {
        "hold_id": "hold-20261122T000000Z-00000000",
        "source": "ops",
        "holder": "Legal",
        "lifted_by": "li.wei",
        "reason": "settled",
        "lifted_at": AT,
    },
    "holds.confirmed": {
        "chain_before": 1,
        "holds": 2,
        "by": "li.wei",
        "reason": "as legal's list of May says",
    },
    "labels.imported": {
        "origin": f"file:{SHA}",
        "source": "import",
        "mapping": "default",
        "mapping_sha256": SHA,
        "rows": 9,
        "accepted": 5,
        "known": 1,
        "refused": {"empty": 3},
        "labels": {"negative": 5},
        "imported_by": "li.wei",
        "imported_at": AT,
    },
    "labels.deleted": {
        "posts": [{"post_key": SHA, "text_sha256": SHA, "labels": 2}],
        "labels": 2,
        "deleted_by": "li.wei",
        "reason": "the author asked for it",
        "deleted_at": AT,
    },
    "labels.exported": {"exported_by": "li.wei", "rows": 9, "file_sha256": SHA, "exported_at": AT},
    "labels.frozen": {
        "digest": SHA,
        "up_to": 12,
        "rows": 9,
        "labels": {"negative": 9},
        "annotators": 2,
        "frozen_at": AT,
    },
    "model.registered": {
        "model": "sentiment",
        "version": 2,
        "model_sha256": SHA,
        "dataset_sha256": SHA,
        "compared_with": 1,
        "run": {"dag_id": "retrain_model", "run_id": "r"},
        "by": "retrain_model",
    },
    "model.promoted": {
        "model": "sentiment",
        "act": "promoted",
        "version": 2,
        "model_sha256": SHA,
        "before": 1,
        "by": "li.wei",
        "why": "better on every platform",
    },
    "model.shadowed": {
        "model": "sentiment",
        "act": "begun",
        "version": 3,
        "model_sha256": SHA,
        "by": "li.wei",
        "why": "a month beside the champion",
    },
    "ledger.anchored": {
        "seq": 7,
        "hash": SHA,
        "signed_at": AT,
        "key_id": "0123456789abcdef",
        "why": "daily",
        "places": [
            {
                "place": PLACE,
                "key": "k",
                "state": "verified",
                "version_id": "v",
                "lock_mode": "COMPLIANCE",
                "retain_until": AT,
                "error": None,
            }
        ],
    },
    "evidence.exported": {
        "seq": 7,
        "hash": SHA,
        "manifest_sha256": SHA,
        "exported_by": "li.wei",
        "exported_at": AT,
    },
    "restore.done": {
        "policy": {"id": "P", "version": "3"},
        "source": "ops",
        "backup_id": "b1",
        "manifest_sha256": SHA,
        "snapshot_at": AT,
        "standing": "sealed",
        "regions": ["cn-east"],
        "target": "database:restore/ops_again",
        "scratch": False,
        "tables": ["ops.posts"],
        "paths": [],
        "run": None,
        "restored_by": "li.wei",
        "started_at": AT,
        "ended_at": AT,
        "milliseconds": {"fetch": 1, "decrypt": 2, "load": 3, "all": 6},
        "objects": 2,
        "stored_bytes": 10,
        "rows": None,
        "entries": None,
        "remarks": [],
    },
    "restore.tested": {
        "test_id": "rt-20261201T000000Z-00000000",
        "dag_id": "test_restores",
        "run_id": "scheduled__1",
        "attempt": 1,
        "source": "ops",
        "region": "cn-east",
        "backup_id": "b1",
        "choice": "latest",
        "status": "failed",
        "manifest_sha256": SHA,
        "started_at": AT,
        "ended_at": AT,
        "rto_milliseconds": 61000,
        "rpo_seconds": 10800,
        "rto_target_seconds": 3600,
        "rpo_target_seconds": 93600,
        "checks": [{"name": "tables", "ok": False}],
        "problem": "table ops.posts: expected 2 rows, found 1",
    },
    "restore.reported": {
        "dag_id": "test_restores",
        "run_id": "scheduled__1",
        "report_sha256": SHA,
        "passed": False,
        "tests": 6,
        "failed": 1,
        "started_by": None,
        "made_at": AT,
    },
    "restore.signed": {
        "run_id": "scheduled__1",
        "report_sha256": SHA,
        "decision": "signed",
        "signed_by": "li.na",
        "note": "",
        "via": "airflow",
        "started_by": None,
        "signed_at": AT,
    },
    "finding.opened": {
        "key": "restore:ops:cn-east",
        "finding": "restore.failed",
        "severity": "critical",
        "source": "ops",
        "region": None,
        "said_zh": "恢复失败",
        "said_en": "The restore failed",
        "detail": {"rows": 3},
        "opened_at": AT,
    },
    "finding.closed": {
        "key": "restore:ops:cn-east",
        "finding": "restore.failed",
        "opened_seq": 1,
        "times_seen": 2,
        "closed_by": "rt-2",
        "why": "a later test passed",
        "closed_at": AT,
    },
    "retraining.started": {
        "run_id": "scheduled__2026-11-01",
        "dag_id": "retrain_model",
        "started_by": None,
        "champion": 2,
        "started_at": AT,
    },
    "retraining.ended": {
        "run_id": "scheduled__2026-11-01",
        "state": "refused",
        "digest": SHA,
        "challenger": 3,
        "found": "classes.recall_low: 0.81",
        "ended_at": AT,
    },
    "retraining.decided": {
        "run_id": "scheduled__2026-11-01",
        "decision": "approved",
        "decided_by": "li.wei",
        "note": "better on every platform",
        "via": "airflow",
        "challenger": 3,
        "instead_of": 2,
        "decided_at": AT,
    },
    "session.begun": {"name": "li.wei"},
    "user.changed": {"name": "li.wei", "change": "added", "roles": ["auditor"], "by": "root"},
    "console.acted": {"act": "verified", "by": "li.wei", "found": {"cn-east": True}},
    "report.made": {
        "month": "2026-11",
        "timezone": "Asia/Shanghai",
        "version": 2,
        "complete": True,
        "judged_until": "2026-11-30",
        "facts_sha256": SHA,
        "replaces_facts_sha256": SHA,
        "files": [{"name": "report.json", "size": 5, "sha256": SHA}],
        "expected_days": 90,
        "covered_days": 89,
    },
}


@pytest.fixture
def conn(warehouse: str) -> Iterator[Connection]:
    with connect(warehouse, application_name="tests") as connection:
        yield connection


def test_every_kind_has_an_example_here() -> None:
    assert set(COMPLETE) == set(SCHEMAS)


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_a_complete_body_is_recorded_as_given_from_a_mapping_and_from_the_model(
    conn: Connection, kind: str
) -> None:
    append(conn, kind=kind, subject="s", body=COMPLETE[kind], now=NOW)
    append(conn, kind=kind, subject="s", body=SCHEMAS[kind].model_validate(COMPLETE[kind]), now=NOW)
    assert [r.body for r in records(conn)] == [COMPLETE[kind]] * 2
    assert verify(conn).ok


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_a_field_too_many_is_refused(kind: str) -> None:
    with pytest.raises(LedgerError, match="surprise: Extra inputs"):
        checked_body(kind, {**COMPLETE[kind], "surprise": 1})


DEFAULTED = {"tables", "rows", "files"}


@pytest.mark.parametrize(
    ("kind", "field"), [(k, f) for k in sorted(SCHEMAS) for f in COMPLETE[k] if f not in DEFAULTED]
)
def test_a_missing_field_is_refused_and_named(kind: str, field: str) -> None:
    body = {k: v for k, v in COMPLETE[kind].items() if k != field}
    with pytest.raises(LedgerError, match=f"{field}: Field required"):
        checked_body(kind, body)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("backup.committed", {"verdict": "fine"}),
        ("backup.committed", {"started_at": "2026-11-22T03:04:05"}),
        ("backup.committed", {"manifest_sha256": SHA.upper()}),
        ("backup.staged", {"rows": -1}),
        ("backup.staged", {"plain_bytes": 2**53}),
        ("copy.verified", {"objects": [{**READ, "lock_mode": "NONE"}]}),
        ("decision.made", {"decision": "yes"}),
    ],
)
def test_a_value_outside_its_range_is_refused(kind: str, change: dict[str, Any]) -> None:
    with pytest.raises(LedgerError, match=next(iter(change))):
        checked_body(kind, {**COMPLETE[kind], **change})


def test_a_model_under_the_wrong_kind_is_refused(conn: Connection) -> None:
    body = DecisionMade.model_validate(COMPLETE["decision.made"])
    with pytest.raises(LedgerError, match=r"body of decision\.made was given for a record copy\.failed"):
        append(conn, kind="copy.failed", subject="s", body=body, now=NOW)


def test_a_refusal_does_not_repeat_the_value(conn: Connection) -> None:
    with pytest.raises(LedgerError) as caught:
        append(conn, kind="notice.failed", subject="s", body={"fact": "f", "secret": "hunter2"}, now=NOW)
    assert "hunter2" not in f"{caught.value}{caught.value.__cause__}"


def test_free_text_is_redacted_cut_and_always_writable(conn: Connection) -> None:
    hostile = "postgres://u:hunter2@db/x \x00 \ud83d " + "x" * 5000
    body = NoticeFailed.model_validate({**COMPLETE["notice.failed"], "error": hostile})
    append(conn, kind="notice.failed", subject="s", body=body, now=NOW)
    (record,) = records(conn)
    assert "hunter2" not in record.body["error"]
    assert len(record.body["error"]) == 2000
    assert verify(conn).ok


def test_times_are_recorded_in_utc(conn: Connection) -> None:
    body = {**COMPLETE["copy.failed"], "failed_at": "2026-11-22T11:04:05.678901+08:00"}
    assert append(conn, kind="copy.failed", subject="s", body=body, now=NOW).body["failed_at"] == AT


def test_every_kind_documents_itself() -> None:
    for model in SCHEMAS.values():
        assert model.__doc__
        assert model.__doc__ != Body.__doc__
