"""The warehouse as a source: the labels that come back train to the same model, byte for byte."""

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from backup_rig import PROJECT, Rig, run_sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from restoring import fingerprint, restored

sys.path.insert(0, str(Path(__file__).parents[1] / "sentiment"))

from posts import posts

from tidewatch.backup.rebuild import rebuild
from tidewatch.cli import main
from tidewatch.core.config import read_yaml
from tidewatch.core.database import connect
from tidewatch.core.sources import SourcesFile
from tidewatch.evidence.verify import verify
from tidewatch.local.postgres import LocalPostgres
from tidewatch.sentiment import LABELS, registry
from tidewatch.sentiment.labels.posts import Post
from tidewatch.sentiment.labels.store import Given, append_labels, correct
from tidewatch.sentiment.labels.training import freeze, training_set
from tidewatch.sentiment.model import Model
from tidewatch.sentiment.train import train
from tidewatch.vault.compare import compare

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
READER = "warehouse_reader"
RUNBOOK = PROJECT / "docs" / "runbooks" / "disaster.md"
SOURCE = read_yaml(PROJECT / "config" / "sources.yaml", SourcesFile).source("tidewatch_warehouse")


def trained(dsn: str, digest: str | None = None) -> Model:
    """The model that the labels of this warehouse make: those frozen as `digest`, or all that count."""
    with connect(dsn, application_name="tests") as conn:
        query = "select up_to from sentiment.data_versions where digest = %s"
        version = conn.execute(query, (digest,)).fetchone()
        frozen = training_set(conn, now=NOW, up_to=version["up_to"] if version else None)
    texts, labels, weights = (frozen.table[n].combine_chunks() for n in ("text", "label", "weight"))
    return train(texts, labels.to_numpy(), weights.to_numpy(), seed=11, bits=12, dataset_sha256=frozen.digest)


def labelled(dsn: str) -> None:
    """150 posts, each with the labels of two people, who differ on some."""
    texts, truth = posts(150, seed=3)
    given = []
    for n, text in enumerate(texts):
        post = Post(text, "weibo", str(n), NOW)
        for person, slip in (("li.wei", n % 11 == 0), ("wang.fang", n % 7 == 0)):
            label = LABELS[(truth[n] + slip) % 3]
            given.append(Given(len(given), post, label, person, NOW + timedelta(seconds=len(given))))
    with connect(dsn, application_name="tests") as conn:
        append_labels(conn, given, source="import", origin="file:a", now=NOW)


def championed(dsn: str) -> Model:
    """The model of these labels, registered and promoted."""
    with connect(dsn, application_name="tests") as conn:
        freeze(conn, now=NOW)
    model = trained(dsn)
    with connect(dsn, application_name="tests") as conn:
        facts: dict[str, Any] = {
            "dataset_sha256": model.header["dataset_sha256"], "parameters": model.header["parameters"],
            "metrics": model.header["metrics"], "compared_with": None, "run": None, "by": "Li Wei",
        }  # fmt: skip
        version = registry.register(conn, model.to_bytes(), **facts, now=NOW).version
        registry.promote(conn, version, instead_of=None, by="Li Wei", why="the first one", now=NOW)
    return model


class Busy(list[str]):
    """What the backup says; at each word, somebody gives a label in the warehouse that is being backed up."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self._dsn = dsn

    def append(self, said: str) -> None:
        with connect(self._dsn, application_name="tests") as conn:
            post = Post(f"written while it is backed up: {len(self)}")
            correct(conn, post, label="negative", annotator="zhao.min", now=NOW)
        super().append(said)


@pytest.fixture
def reader(pg_server: LocalPostgres, warehouse: str) -> Iterator[str]:
    """The DSN that docs/sources.md tells to make: a role that reads everything and writes nothing."""
    run_sql(warehouse, f"create role {READER} login password 'x' bypassrls in role pg_read_all_data")
    yield make_conninfo(warehouse, user=READER, password="x")
    run_sql(pg_server.dsn(), f"drop role {READER}")


def test_what_is_restored_trains_to_the_same_model_and_has_the_same_champion(
    rig: Rig, pg_server: LocalPostgres, reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled(rig.warehouse)
    champion = championed(rig.warehouse)
    rig.said = Busy(rig.warehouse)
    rig.postgres_source(SOURCE.name, reader, gate=SOURCE.gate.model_dump())
    backup = rig.get(rig.back_up(SOURCE.name).backup_id)
    assert backup.status == "sealed" and len(rig.said) > 1
    answers = {a.name: (a.rows, a.error) for a in backup.manifest.replay or ()}
    assert answers["champions"] == (1, None) and answers["newest_labels"][1] is None

    with restored(rig, pg_server, backup.backup_id, tmp_path) as dsn:
        assert backup.manifest.database is not None
        assert compare(backup.manifest.database, fingerprint(dsn)).equal
        assert 300 < count(dsn) < count(rig.warehouse), "labels were given before the snapshot, and after it"
        with connect(dsn, application_name="tests") as conn:
            assert verify(conn).ok, "the ledger is whole up to the snapshot"
        again = trained(dsn, champion.header["dataset_sha256"])
        assert again.to_bytes() == champion.to_bytes()
        monkeypatch.setenv("AIRFLOW_CONN_TIDEWATCH_WAREHOUSE", as_connection(dsn))
        assert main(["models", "fetch", "--to", str(tmp_path / "champion.model")]) == 0
        assert (tmp_path / "champion.model").read_bytes() == champion.to_bytes()

        run_sql(dsn, *said_by_the_runbook())
        rig.warehouse = dsn
        done = rebuild(rig.ctx, rig.regions[1].name, rig.keys.signing_key.public)
        assert (done.adopted, done.known, done.problems) == (1, 0, ()) and done.chain_before is not None
        assert rig.get(backup.backup_id).status == "sealed", "the backup that was at work in its own snapshot"


def said_by_the_runbook() -> list[str]:
    """What is to be done in the restored database before the catalogue is completed."""
    (block,) = re.findall(r"```sql\n(.*?)```", RUNBOOK.read_text(encoding="utf-8"), flags=re.DOTALL)
    statements = [line for line in block.splitlines() if line]
    assert len(statements) == 2
    return statements


def count(dsn: str) -> int:
    with psycopg.connect(dsn) as conn:
        row = conn.execute("select count(*) from sentiment.labels").fetchone()
    assert row is not None
    return int(row[0])


def as_connection(dsn: str) -> str:
    """The DSN as a variable AIRFLOW_CONN_... has it."""
    known = conninfo_to_dict(dsn)
    names = {"host": "host", "port": "port", "login": "user", "password": "password", "schema": "dbname"}
    return json.dumps({"conn_type": "postgres", **{ours: known[theirs] for ours, theirs in names.items()}})
