"""A month of backups, probes, judgements and restore tests, written by SQL: the report reads tables, whoever
wrote them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg.types.json import Jsonb

from tidewatch.core.config import read_yaml
from tidewatch.core.database import connect
from tidewatch.core.regions import RegionsFile
from tidewatch.core.settings import Settings
from tidewatch.core.sources import SourcesFile
from tidewatch.evidence.ledger import append
from tidewatch.evidence.report.config import ControlsFile, ReportFile
from tidewatch.evidence.report.facts import Configuration
from tidewatch.evidence.report.make import ReportContext

PROJECT = Path(__file__).parents[2]
ZONE = ZoneInfo("Asia/Shanghai")
REGIONS = ("cn-east", "cn-north", "cn-south")
SHA = "0123456789abcdef" * 4
AFTER = datetime(2026, 12, 2, 1, tzinfo=UTC)
"""When November 2026 is over."""


def at(day: date, hour: int = 2, minute: int = 0) -> datetime:
    """A moment of a day in Shanghai, UTC."""
    return datetime.combine(day, time(hour, minute), ZONE).astimezone(UTC)


def november(first: int = 1, last: int = 30) -> list[date]:
    return [date(2026, 11, n) for n in range(first, last + 1)]


@dataclass
class History:
    """`sources` are what config/sources.yaml would list; `now` is what the clock shows."""

    warehouse: str
    home: Path
    sources: list[dict[str, Any]] = field(default_factory=list)
    regions: Sequence[str] = REGIONS
    now: datetime = AFTER
    timezone: str = "Asia/Shanghai"
    made: int = 0

    # -- making --------------------------------------------------------------------------------------------

    def configure(self, name: str, kind: str = "postgres", **more: Any) -> None:
        place = {"connection": f"source_{name}"} if kind == "postgres" else {"path": "/nowhere"}
        self.sources.append({"type": kind, "name": name, "data_class": "internal", **place, **more})

    def backup(
        self,
        source: str,
        day: date,
        *,
        hour: int = 2,
        status: str = "sealed",
        lacking: Sequence[str] = (),
        kind: str = "postgres",
        **more: Any,
    ) -> str:
        """One attempt with a manifest of two objects in each region; returns its id."""
        self.made += 1
        moment = at(day, hour)
        backup_id = f"{source}-{moment:%Y%m%dT%H%M%SZ}-{self.made:08x}"
        good = status not in ("staging", "failed", "abandoned")
        document = {
            "backup_id": backup_id,
            "totals": {
                "tables": 12,
                "rows": 10_000 + self.made,
                "plain_size": 5_000_000,
                "cipher_size": 1_200_000,
            },
            "encryption": {"key_ids": ["a1" * 8]},
            "policy": {"id": "TW-RESIDENCY", "version": "2026-11"},
            "ledger_head": {"seq": self.made},
            "copies": [{"region": r} for r in self.regions],
        }
        decided = status in ("accepted", "rejected")
        row: dict[str, Any] = {
            "backup_id": backup_id,
            "source": source,
            "source_type": kind,
            "data_class": "internal",
            "dag_id": "back_up_sources",
            "run_id": f"scheduled__{self.made}",
            "try_number": 1,
            "status": status,
            "started_at": moment,
            "snapshot_at": moment + timedelta(seconds=5) if good else None,
            "ended_at": None if status in ("staging", "staged") else moment + timedelta(minutes=3),
            "document": Jsonb(document) if good else None,
            "manifest_sha256": SHA if good and status != "staged" else None,
            "error": "no connection" if status in ("failed", "abandoned") else None,
            "decided_at": moment + timedelta(hours=8) if decided else None,
            "decided_by": "li.wei" if decided else None,
            "decision_reason": "looked at" if decided else None,
            **more,
        }
        with self._session.transaction():
            conn = self._session
            # The state machine lets no row begin in the middle of its life.
            conn.execute("alter table vault.backups disable trigger check_status")
            _insert(conn, "vault.backups", row)
            conn.execute("alter table vault.backups enable trigger check_status")
            for region in self.regions if good else ():
                for name in ("dump.age", "manifest.json"):
                    failed = region in lacking
                    _insert(
                        conn,
                        "vault.copies",
                        {
                            "backup_id": backup_id,
                            "region": region,
                            "object_key": f"tidewatch/{source}/{backup_id}/{name}",
                            "state": "failed" if failed else "verified",
                            "sha256": None if failed else SHA,
                            "size": None if failed else 600_000,
                            "lock_mode": None if failed else "COMPLIANCE",
                            "retain_until": None if failed else moment + timedelta(days=35),
                            "read_back_at": None if failed else moment + timedelta(minutes=2),
                            "error": "the region did not answer" if failed else None,
                        },
                    )
        return backup_id

    def test(self, source: str, region: str, day: date, backup_id: str, **more: Any) -> str:
        """A restore test."""
        self.made += 1
        begun = at(day, 4)
        test_id = f"rt-{begun:%Y%m%dT%H%M%SZ}-{self.made:08x}"
        self.insert(
            "restore.tests",
            test_id=test_id,
            dag_id="test_restores",
            source=source,
            region=region,
            backup_id=backup_id,
            started_at=begun,
            **{
                "run_id": "scheduled__restores",
                "attempt": 1,
                "choice": "latest",
                "status": "passed",
                "ended_at": begun + timedelta(seconds=75),
                "rto_seconds": 75.0,
                "rpo_seconds": 7200.0,
                "rto_target": 3600.0,
                "rpo_target": 93_600.0,
                "phases": Jsonb({"fetch": 20.0, "decrypt": 5.0, "load": 40.0, "check": 10.0}),
                "checks": Jsonb([{"name": "rows", "ok": True, "expected": "12", "found": "12", "where": ""}]),
                **more,
            },
        )
        return test_id

    def probe(self, region: str, day: date, *, refuses_delete: bool = True) -> None:
        answers = [
            {"question": "reachable", "answer": "yes", "ok": True, "required": True, "detail": ""},
            {
                "question": "locked version undeletable",
                "answer": "yes" if refuses_delete else "no",
                "ok": refuses_delete,
                "required": True,
                "detail": "" if refuses_delete else "the store deleted a locked version",
            },
            {
                "question": "conditional writes",
                "answer": "ignored",
                "ok": False,
                "required": False,
                "detail": "",
            },
        ]
        report = {"region": region, "usable": refuses_delete, "answers": answers}
        self.insert("vault.probes", region=region, at=at(day, 1), report=Jsonb(report))

    def judge(self, subject: str, day: date, *, passed: bool = True, sha: str = SHA) -> None:
        self.made += 1
        key = {"gate": "backup", "run_id": f"run-{self.made}", "subject": subject}
        counts = {"staged": 5, "published": 5, "quarantined": 0}
        self.insert(
            "quality.judgements",
            **key, **counts, gate_sha256=sha, dag_id="back_up_sources", judged_at=at(day), passed=passed,
            params=Jsonb({}),
        )  # fmt: skip
        if not passed:
            self.insert(
                "quality.results",
                **key, batch="tables", position=0, expectation="row_ratio", columns=["row_ratio"],
                severity="critical", success=False, evaluated=True, expected="at least 0.8", observed="0.41",
                rows=[], note_zh="", note_en="",
            )  # fmt: skip

    def record(self, kind: str, subject: str, day: date, body: Mapping[str, Any]) -> None:
        with connect(self.warehouse, application_name="tests") as conn:
            append(conn, kind=kind, subject=subject, body=body, now=at(day, 3))

    def insert(self, table: str, **row: Any) -> None:
        _insert(self._session, table, row)

    @cached_property
    def _session(self) -> "psycopg.Connection[Any]":
        """One for all that is written; it ends with its database."""
        return psycopg.connect(self.warehouse, autocommit=True)

    # -- looking -------------------------------------------------------------------------------------------

    @property
    def ctx(self) -> ReportContext:
        config = Configuration(
            sources=SourcesFile.model_validate({"sources": self.sources}),
            regions=RegionsFile.model_validate(
                {
                    "policy_id": "TW-RESIDENCY",
                    "policy_version": "2026-11",
                    "residency": {"internal": ["CN"]},
                    "regions": [
                        {"name": r, "connection": f"c_{r}", "bucket": f"b-{r}", "jurisdiction": "CN"}
                        for r in self.regions
                    ],
                }
            ),
            controls=read_yaml(PROJECT / "config" / "controls.yaml", ControlsFile),
        )
        return ReportContext(
            settings=Settings(home=self.home, project=PROJECT),
            connect=lambda: connect(self.warehouse, application_name="tests"),
            config=config,
            report=ReportFile(timezone=self.timezone),
            regions=[],
            clock=lambda: self.now,
        )

    def query(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        with connect(self.warehouse, application_name="tests") as conn:
            return conn.execute(statement.encode(), parameters).fetchall()


def a_month(history: History, sources: int = 3) -> History:
    """`sources` sources with a backup each day, but for what makes a report worth reading: a dead region, a
    day without a run, a refused backup, one that was added and one that ended within the month."""
    names = ["ops", "airflow_metadata", "media", *(f"brand_{n:02d}" for n in range(4, sources + 1))][:sources]
    for number, name in enumerate(names):
        history.configure(name, "files" if name == "media" else "postgres")
        history.backup(name, date(2026, 10, 31))
        for day in november():
            if number == 0 and day.day == 9:
                continue
            if number == 1 and day.day == 14:
                history.backup(name, day, status="suspect")
                continue
            lacking = ["cn-north"] if day.day in (20, 21) else []
            status = "degraded" if lacking else "sealed"
            backup_id = history.backup(
                name, day, status=status, lacking=lacking, kind=history.sources[number]["type"]
            )
            history.judge(backup_id, day, passed=True, sha=SHA if day.day < 16 else SHA[::-1])
        for region in history.regions:
            history.test(name, region, date(2026, 11, 5), backup_id)
    history.judge("airflow_metadata-20261113T180000Z-00000001", date(2026, 11, 14), passed=False)
    for day in november():
        for region in history.regions:
            history.probe(region, day, refuses_delete=(day.day, region) != (3, "cn-south"))
    return history


def _insert(conn: psycopg.Connection[Any], table: str, row: Mapping[str, Any]) -> None:
    names = ", ".join(f'"{n}"' for n in row)
    values = ", ".join(f"%({n})s" for n in row)
    conn.execute(f"insert into {table} ({names}) values ({values})".encode(), row)


def loads(data: bytes) -> Any:
    return json.loads(data)
