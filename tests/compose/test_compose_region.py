"""The regions' SeaweedFS, started with the arguments of docker-compose.yaml and the secrets made for it."""

import os
import signal
import socket
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from tidewatch.backup.probe import probe
from tidewatch.core.config import read_yaml
from tidewatch.core.connections import Connection, from_environment
from tidewatch.core.errors import AlreadyExists, IntegrityError, RegionMisconfigured, RegionRefused
from tidewatch.core.regions import Region, RegionsFile, open_regions

NAME = "cn-east"
S3_ADDRESS = "127.0.0.2"  # where the containers would reach it; 127.0.0.1 stands for the container's loopback
START_SECONDS = 60.0


@dataclass
class Server:
    """A SeaweedFS with the region's data directory; `s3_port` is the one port that others may use."""

    command: list[str]
    s3_port: int
    log: Path
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, cwd=self.log.parent, start_new_session=True
            )
        end = time.monotonic() + START_SECONDS
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                pytest.fail(f"SeaweedFS did not start:\n{self.log.read_text()[-2000:]}")
            self.process.poll()
            time.sleep(0.1)

    def ready(self) -> bool:
        """What the health check of the compose file asks."""
        try:
            with urllib.request.urlopen(f"http://{S3_ADDRESS}:{self.s3_port}/healthz", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="module")
def server(
    services: dict[str, Any], secrets_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    service = services[f"region-{NAME}"]
    home = tmp_path_factory.mktemp("region")
    (home / "data").mkdir()
    ports = _free_ports(8)
    weed = Path(sysconfig.get_path("scripts")) / "weed"
    changed = {
        "-dir": home / "data",
        "-s3.config": secrets_directory / "region_cn_east.json",
        "-s3.ip.bind": S3_ADDRESS,
        "-s3.port": ports[0],
    }
    arguments = []
    for argument in service["entrypoint"][1:] + service["command"]:
        flag = argument.partition("=")[0]
        arguments.append(f"{flag}={changed.pop(flag)}" if flag in changed else argument)
    assert not changed, f"docker-compose.yaml says nothing about {set(changed)}"
    others = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port",
              "filer.port.grpc", "s3.port.grpc")  # fmt: skip
    arguments += [f"-{name}={port}" for name, port in zip(others, ports[1:], strict=True)]
    server = Server([str(weed), *arguments], ports[0], home / "weed.log")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def as_setup(server: Server, project: Path, secrets_directory: Path) -> Region:
    return _region(server, project, secrets_directory / "setup_connections.json")


@pytest.fixture(scope="module")
def as_worker(
    server: Server, project: Path, secrets_directory: Path, as_setup: Region, create_buckets: ModuleType
) -> Region:
    create_buckets.prepare(as_setup)
    return _region(server, project, secrets_directory / "connections.json")


def _region(server: Server, project: Path, connections: Path) -> Region:
    """The region of compose/config/regions.yaml, with its endpoint moved to the server of this test."""
    file = read_yaml(project / "compose/config/regions.yaml", RegionsFile)

    def resolve(conn_id: str) -> Connection:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("TIDEWATCH_CONNECTIONS_FILE", str(connections))
            found = from_environment(conn_id)
        extra = {**found.extra, "endpoint_url": f"http://{S3_ADDRESS}:{server.s3_port}"}
        return Connection(conn_id, found.conn_type, login=found.login, password=found.password, extra=extra)

    only = file.model_copy(update={"regions": [file.region(NAME)]})
    return open_regions(only, resolve)[0]


def _free_ports(count: int) -> list[int]:
    """Ports free on every address; gRPC has none of its own choosing."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def test_only_s3_can_be_reached_from_outside_the_container(server: Server) -> None:
    assert server.process is not None
    listening = {
        c.laddr.ip for c in psutil.Process(server.process.pid).net_connections("tcp") if c.status == "LISTEN"
    }
    assert listening == {"127.0.0.1", S3_ADDRESS}
    outside = [
        c.laddr.port
        for c in psutil.Process(server.process.pid).net_connections("tcp")
        if c.status == "LISTEN" and c.laddr.ip == S3_ADDRESS
    ]
    grpc = int(server.command[-1].partition("=")[2])
    assert sorted(outside) == sorted([server.s3_port, grpc])


def test_preparing_a_bucket_twice_is_harmless_and_gives_a_lock(
    as_setup: Region, create_buckets: ModuleType
) -> None:
    create_buckets.prepare(as_setup)
    create_buckets.prepare(as_setup)
    facts = as_setup.store.describe()
    assert facts.exists and facts.versioning and facts.object_lock


def test_a_bucket_that_cannot_lock_is_refused_by_init(as_setup: Region, create_buckets: ModuleType) -> None:
    as_setup.store.client.create_bucket(Bucket="without-lock")
    config = as_setup.config.model_copy(update={"bucket": "without-lock"})
    with pytest.raises(RegionMisconfigured, match="object lock off"):
        create_buckets.prepare(Region(config, as_setup.address))


def test_a_worker_can_do_all_that_a_backup_does(as_worker: Region) -> None:
    store = as_worker.store
    assert store.describe().object_lock
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    stored = store.put("tidewatch/a", b"content")
    store.set_retention("tidewatch/a", stored.version_id, "COMPLIANCE", until)
    head = store.head("tidewatch/a", stored.version_id)
    assert (head.lock_mode, head.retain_until) == ("COMPLIANCE", until)
    assert store.read("tidewatch/a") == b"content"
    assert [o.key for o in store.list("tidewatch/")] == ["tidewatch/a"]
    with pytest.raises(AlreadyExists):
        store.put("tidewatch/a", b"other content")
    with pytest.raises(IntegrityError):
        store.put("tidewatch/b", b"content", sha256=bytes(32))


def test_nobody_deletes_or_unlocks_what_is_locked(as_worker: Region, as_setup: Region) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    stored = as_worker.store.put("tidewatch/locked", b"content")
    as_worker.store.set_retention("tidewatch/locked", stored.version_id, "COMPLIANCE", until)
    for region in (as_worker, as_setup):
        with pytest.raises(RegionRefused):
            region.store.delete("tidewatch/locked", stored.version_id)
        with pytest.raises(RegionRefused):
            earlier = until - timedelta(hours=1)
            region.store.set_retention("tidewatch/locked", stored.version_id, "COMPLIANCE", earlier)


def test_a_worker_may_not_touch_the_bucket_itself(as_worker: Region) -> None:
    bucket = as_worker.config.bucket
    client = as_worker.store.client
    governed = as_worker.store.put("tidewatch/governed", b"content").version_id or ""
    as_worker.store.set_retention(
        "tidewatch/governed", governed, "GOVERNANCE", datetime.now(UTC) + timedelta(days=1)
    )
    suspended: Any = {"Status": "Suspended"}
    forbidden: list[Callable[[], object]] = [
        lambda: client.delete_bucket(Bucket=bucket),
        lambda: client.create_bucket(Bucket="another-bucket"),
        lambda: client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=suspended),
        lambda: client.put_object_lock_configuration(
            Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
        ),
        lambda: client.put_bucket_policy(Bucket=bucket, Policy="{}"),
        lambda: client.delete_object(
            Bucket=bucket, Key="tidewatch/governed", VersionId=governed, BypassGovernanceRetention=True
        ),
    ]
    for attempt in forbidden:
        # Versioning of a bucket with lock cannot be suspended by anybody: that is InvalidBucketState.
        with pytest.raises(ClientError, match=r"AccessDenied|InvalidBucketState"):
            attempt()


def test_unknown_credentials_are_refused(as_worker: Region) -> None:
    stranger = Connection(
        "x", "aws", login="nobody", password="guess", extra={"endpoint_url": as_worker.endpoint_url}
    )
    file = RegionsFile(policy_id="T", policy_version="1", residency={}, regions=[as_worker.config])
    with pytest.raises(RegionRefused):
        open_regions(file, lambda _: stranger)[0].store.describe()


def test_a_lock_survives_a_power_cut(server: Server, as_worker: Region) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    stored = as_worker.store.put("tidewatch/lasting", b"content")
    as_worker.store.set_retention("tidewatch/lasting", stored.version_id, "COMPLIANCE", until)
    server.kill()
    server.start()
    head = as_worker.store.head("tidewatch/lasting", stored.version_id)
    assert (head.lock_mode, head.retain_until) == ("COMPLIANCE", until)
    with pytest.raises(RegionRefused):
        as_worker.store.delete("tidewatch/lasting", stored.version_id)


def test_the_probe_finds_all_that_a_backup_needs_with_a_workers_rights(as_worker: Region) -> None:
    report = probe(as_worker, datetime.now(UTC))
    assert report.usable, report.to_json()
    assert not [a.question for a in report.answers if a.ok is False], report.to_json()
