"""What must hold after any fault, looked up without the code that is tested.

Regions are read with boto3, the ledger is hashed with hashlib, the catalogue is read with SQL. `broken` gives
every sentence that is untrue; `require` fails with them. Between a fault and the next attempt an attempt may
stand as `staging` or `staged`; `settled=True` is for afterwards, when nothing may be left open.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import boto3
import psycopg
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from psycopg.rows import dict_row

from tidewatch.core.regions import Region

COMMITTED = ("sealed", "degraded", "suspect", "accepted", "rejected")
_STATUS_OF_VERDICT = {
    "sealed": {"sealed", "degraded"},  # degraded: a copy was found damaged since
    "degraded": {"degraded", "sealed"},  # sealed: healed since
    "suspect": {"suspect", "accepted", "rejected"},
}
_session = boto3.session.Session()
_clients: dict[str, Any] = {}
Row = dict[str, Any]


@dataclass
class Bucket:
    """What one region really holds under its prefix. `region` is the region itself, not a proxy before it."""

    region: Region
    source: str | None = None
    """Look at this source only."""

    @cached_property
    def client(self) -> Any:
        a = self.region.address
        if (client := _clients.get(str(a.endpoint_url))) is None:
            client = _clients[str(a.endpoint_url)] = _session.client(
                "s3",
                endpoint_url=a.endpoint_url,
                region_name=a.region_name,
                aws_access_key_id=a.access_key,
                aws_secret_access_key=a.secret_key,
                config=Config(s3={"addressing_style": "path"}),
            )
        return client

    @property
    def name(self) -> str:
        return self.region.name

    @cached_property
    def versions(self) -> dict[str, list[str | None]]:
        """Key -> versions that hold bytes, the current one first (empty list: only delete markers)."""
        prefix = f"{self.region.config.prefix}/" + (f"{self.source}/" if self.source else "")
        found: dict[str, list[str | None]] = {}
        pages = self.client.get_paginator("list_object_versions").paginate(
            Bucket=self.region.config.bucket, Prefix=prefix
        )
        for page in pages:
            for row in sorted(page.get("Versions", []), key=lambda r: not r["IsLatest"]):
                found.setdefault(row["Key"], []).append(row["VersionId"])
        return found

    def body(self, key: str, version: str | None = None) -> bytes | None:
        which = {"VersionId": version} if version else {}
        try:
            reply = self.client.get_object(Bucket=self.region.config.bucket, Key=key, **which)
            return bytes(reply["Body"].read())
        except ClientError:
            return None

    def lock(self, key: str) -> tuple[str | None, datetime | None]:
        reply = self.client.head_object(Bucket=self.region.config.bucket, Key=key)
        return reply.get("ObjectLockMode"), reply.get("ObjectLockRetainUntilDate")

    def manifests(self) -> dict[str, str]:
        """backup_id -> key of every manifest that can be seen."""
        return {key.split("/")[-2]: key for key in self.versions if key.endswith("/manifest.json")}


@dataclass
class World:
    """A warehouse and the regions its backups went to. `public_key` is the PEM of the signing key's half."""

    warehouse: str
    regions: Sequence[Region]
    public_key: bytes
    source: str | None = None
    also_signed_by: Sequence[bytes] = ()
    _bodies: dict[tuple[str, str], bytes | None] = field(default_factory=dict)

    def require(self, *, settled: bool = False) -> None:
        problems = list(self.broken(settled=settled))
        assert not problems, "\n  ".join(["", *problems])

    def broken(self, *, settled: bool = False) -> Iterator[str]:
        """Every invariant that does not hold, as a sentence."""
        self._bodies.clear()
        buckets = [Bucket(r, self.source) for r in self.regions]
        with psycopg.connect(self.warehouse, row_factory=dict_row, autocommit=True) as conn:
            rows = {r["backup_id"]: r for r in conn.execute("select * from vault.backups").fetchall()}
            copies = conn.execute("select * from vault.copies").fetchall()
            progress = {r["backup_id"]: r for r in conn.execute("select * from backup.progress").fetchall()}
            ledger = conn.execute("select * from evidence.ledger order by seq").fetchall()
            head = conn.execute("select * from evidence.head").fetchone()
            told = [r["fact"] for r in conn.execute("select fact from notices.outbox").fetchall()]
        bodies = {r["seq"]: json.loads(r["entry"])["body"] for r in ledger}
        yield from _chain(ledger, head)
        yield from self._manifests(buckets, rows, progress, ledger)
        yield from self._copies(buckets, copies)
        for row in rows.values():
            mine = [(r, bodies[r["seq"]]) for r in ledger if r["subject"] == row["backup_id"]]
            yield from _said(row, mine, told)
            yield from self._agree(
                buckets, row, mine, [c for c in copies if c["backup_id"] == row["backup_id"]]
            )
            if row["backup_id"] in progress and row["status"] != "staged":
                yield f"{row['backup_id']} is {row['status']} and still has an entry in backup.progress"
            if settled and row["status"] in ("staging", "staged"):
                yield f"{row['backup_id']} is left open as {row['status']}"
        for record in ledger:
            if record["kind"].startswith("backup.") and record["subject"] not in rows:
                yield f"record {record['seq']} tells of {record['subject']}, unknown to the catalogue"

    # -- regions -------------------------------------------------------------------------------------------

    def _manifests(
        self, buckets: Sequence[Bucket], rows: dict[str, Row], progress: dict[str, Row], ledger: Sequence[Row]
    ) -> Iterator[str]:
        """No manifest without its backup, none that names what is not there, all of a backup the same."""
        hashes = {r["seq"]: r["hash"] for r in ledger}
        for bucket in buckets:
            for backup_id, key in bucket.manifests().items():
                where = f"{backup_id} in {bucket.name}"
                contents = {bucket.body(key, v) for v in bucket.versions[key]}
                if len(contents) != 1:
                    yield f"{where}: the manifest was written {len(contents)} times with different bytes"
                data = bucket.body(key)
                row = rows.get(backup_id)
                if data is None or row is None:
                    yield f"{where}: a manifest that " + ("cannot be read" if row else "no attempt made")
                    continue
                if not _readable(data):
                    yield f"{where}: the manifest is not what anybody signed"
                    continue
                yield from self._signed(where, data)
                if row["status"] in COMMITTED:
                    if hashlib.sha256(data).hexdigest() != row["manifest_sha256"]:
                        yield f"{where}: another manifest than the one that was committed"
                elif row["status"] != "staged" or bytes(progress[backup_id]["manifest"] or b"") != data:
                    yield f"{where}: a manifest can be seen, but the attempt is {row['status']}"
                manifest = json.loads(data)["manifest"]
                yield from self._objects(where, bucket, manifest)
                anchored = manifest["ledger_head"]
                if anchored["seq"] and hashes.get(anchored["seq"]) != anchored["hash"]:
                    yield f"{where}: the anchored head {anchored['seq']} is not in the ledger"

    def _signed(self, where: str, data: bytes) -> Iterator[str]:
        document = json.loads(data)
        body = data[len(b'{"manifest":') : data.rindex(b',"signature":')]
        value = base64.b64decode(document["signature"]["value"])
        for pem in (self.public_key, *self.also_signed_by):
            try:
                load_pem_public_key(pem).verify(value, body)  # type: ignore[union-attr, call-arg]
            except Exception:  # noqa: BLE001, S112 - another key may fit
                continue
            return
        yield f"{where}: the manifest's signature is wrong"

    def _objects(self, where: str, bucket: Bucket, manifest: Row) -> Iterator[str]:
        """Every object of the manifest, here and where the manifest says that it was read back."""
        proved = {c["region"] for c in manifest["copies"] if c["state"] == "verified"}
        if bucket.name in proved or not proved:
            yield from self._whole(where, bucket, manifest)
        if manifest["verdict"] == "sealed":
            for other in self._required():
                if other not in proved:
                    yield f"{where}: the manifest says sealed, but not that {other} was read back"

    def _required(self) -> list[str]:
        return [r.name for r in self.regions if r.config.required]

    def _whole(self, where: str, bucket: Bucket, manifest: Row) -> Iterator[str]:
        config = bucket.region.config
        least = datetime.fromisoformat(manifest["started_at"]) + timedelta(days=config.lock_days)
        for entry in manifest["objects"]:
            key = f"{config.prefix}/{entry['key']}"
            data = self._body(bucket, key)
            if data is None:
                yield f"{where}: {key} is named by the manifest and is not there"
                continue
            if (len(data), hashlib.sha256(data).hexdigest()) != (
                entry["cipher_size"],
                entry["cipher_sha256"],
            ):
                yield f"{where}: {key} has other bytes than the manifest says"
            mode, until = bucket.lock(key)
            if mode != "COMPLIANCE" and mode != config.lock_mode:
                yield f"{where}: {key} is locked as {mode}"
            if until is None or until < least.replace(microsecond=0):
                yield f"{where}: {key} is locked until {until}, not until {least}"

    def _body(self, bucket: Bucket, key: str) -> bytes | None:
        place = (bucket.name, key)
        if place not in self._bodies:
            self._bodies[place] = bucket.body(key)
        return self._bodies[place]

    def _copies(self, buckets: Sequence[Bucket], copies: Sequence[Row]) -> Iterator[str]:
        """What the catalogue calls verified is there, byte for byte, and locked as long as it says."""
        by_name = {b.name: b for b in buckets}
        for copy in copies:
            if copy["state"] != "verified" or copy["region"] not in by_name:
                continue
            bucket, key = by_name[copy["region"]], copy["object_key"]
            data = self._body(bucket, key)
            what = f"{copy['backup_id']} in {bucket.name}: {key} is called verified, but"
            if data is None:
                yield f"{what} is not there"
                continue
            if len(data) != copy["size"]:
                yield f"{what} has {len(data)} bytes instead of {copy['size']}"
            mode, until = bucket.lock(key)
            if until is None or until < copy["retain_until"] or mode is None:
                yield f"{what} is locked as {mode} until {until}"

    # -- catalogue and ledger ------------------------------------------------------------------------------

    def _agree(
        self, buckets: Sequence[Bucket], row: Row, mine: Sequence[tuple[Row, Row]], copies: Sequence[Row]
    ) -> Iterator[str]:
        """Catalogue, ledger and regions tell the same story of one backup."""
        backup_id, status = row["backup_id"], row["status"]
        ends = [body for record, body in mine if record["kind"] == "backup.committed"]
        judged = [body for record, body in mine if record["kind"] == "gate.judged"]
        if status not in COMMITTED:
            if any(b["verdict"] != "failed" for b in ends):
                yield f"{backup_id} is {status}, but the ledger has committed it"
            return
        if len(ends) != 1 or len(judged) != 1:
            yield f"{backup_id} has {len(ends)} commits and {len(judged)} judgements in the ledger, not one"
            return
        (end,) = ends
        if [r["kind"] for r, _ in mine].count("backup.staged") != 1:
            yield f"{backup_id}: the ledger does not say once what was staged"
        if end["manifest_sha256"] != row["manifest_sha256"]:
            yield f"{backup_id}: the ledger names another manifest than the catalogue"
        if status not in _STATUS_OF_VERDICT[end["verdict"]]:
            yield f"{backup_id} is {status}, but the ledger says {end['verdict']}"
        kinds = [record["kind"] for record, _ in mine]
        if end["verdict"] == "degraded" and status == "sealed" and "copy.healed" not in kinds:
            yield f"{backup_id} went from degraded to sealed without a record of healing"
        if status in ("accepted", "rejected") and kinds.count("decision.made") != 1:
            yield f"{backup_id} is {status} with {kinds.count('decision.made')} records of the decision"
        if status == "sealed":
            for bucket in buckets:
                if bucket.region.config.required:
                    yield from self._sealed_here(row, bucket, copies)

    def _sealed_here(self, row: Row, bucket: Bucket, copies: Sequence[Row]) -> Iterator[str]:
        where = f"{row['backup_id']} in {bucket.name}"
        key = bucket.manifests().get(row["backup_id"])
        if key is None:
            yield f"{where}: sealed, but there is no manifest"
        yield from self._whole(where, bucket, row["document"])
        here = {c["object_key"]: c["state"] for c in copies if c["region"] == bucket.name}
        wanted = {f"{bucket.region.config.prefix}/{o['key']}" for o in row["document"]["objects"]} | {key}
        if set(here) != wanted or set(here.values()) - {"verified"}:
            yield f"{where}: sealed, but the catalogue's copies are {here}"


def _said(row: Row, mine: Sequence[tuple[Row, Row]], told: Sequence[str]) -> Iterator[str]:
    """What failed is said where people look: catalogue, ledger, notice."""
    backup_id, status = row["backup_id"], row["status"]
    kinds = [(record["kind"], body.get("verdict")) for record, body in mine]
    if ("backup.started", None) not in kinds:
        yield f"{backup_id} was never recorded as started"
    if status in ("failed", "abandoned") and not (row["error"] or "").strip():
        yield f"{backup_id} is {status} and nobody says why"
    if status == "abandoned" and ("backup.failed", None) not in kinds:
        yield f"{backup_id} was abandoned and the ledger has no end of it"
    if status == "failed":
        if not {("backup.failed", None), ("backup.committed", "failed")} & set(kinds):
            yield f"{backup_id} failed and the ledger does not know"
        run = f"backup.failed/{row['source']}/{row['run_id']}"
        if not {run, f"backup.not_verified/{backup_id}"} & set(told):
            yield f"{backup_id} failed and nobody was told"
    if ("backup.committed", "degraded") in kinds and f"backup.degraded/{backup_id}" not in told:
        yield f"{backup_id} was degraded and nobody was told"
    if status == "suspect" and f"backup.suspect/{backup_id}" not in told:
        yield f"{backup_id} is suspect and nobody was told"


def _readable(data: bytes) -> bool:
    try:
        return set(json.loads(data)) == {"manifest", "signature"}
    except ValueError:
        return False


def _chain(ledger: Sequence[Row], head: Row | None) -> Iterator[str]:
    previous, following = "0" * 64, 1
    for record in ledger:
        entry = json.loads(record["entry"])
        if record["seq"] != following or entry["seq"] != following:
            yield f"the ledger goes from {following - 1} to {record['seq']}"
        if (
            entry["prev"] != previous
            or hashlib.sha256(record["entry"].encode()).hexdigest() != record["hash"]
        ):
            yield f"record {record['seq']} does not follow the one before it"
        previous, following = record["hash"], record["seq"] + 1
    if head is None or (head["seq"], head["hash"]) != (following - 1, previous):
        yield f"the ledger's head is {head}, its last record {following - 1}"
