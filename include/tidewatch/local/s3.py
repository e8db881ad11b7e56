"""A local region: one S3 server with a process, a folder, a port and a key pair of its own.

`python -m tidewatch.local.s3 --home DIR --port N --instance ID` runs the server (key pair in DIR/keys.json);
`LocalRegion` is the handle that starts and stops it.
"""

import argparse
import asyncio
import json
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import httpx
import psutil
from botocore.client import Config
from botocore.exceptions import ClientError

from tidewatch.core import processes
from tidewatch.core.clock import utc_now
from tidewatch.core.files import write_private
from tidewatch.core.processes import Daemon, StackError
from tidewatch.local.s3_server import HEALTH_PATH, RegionApp

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_START_SECONDS = 90.0


class LocalRegion:
    """One server with its home directory. Safe to construct for a server that already runs."""

    def __init__(self, name: str, home: Path, port: int | None = None) -> None:
        self.name = name
        self.home = home.resolve()
        self.log = self.home / "s3.log"
        self._state_file = self.home / "s3.json"
        self.daemon: Daemon | None = None
        self.port = port
        self._client: S3Client | None = None
        try:
            state = json.loads(self._state_file.read_text(encoding="utf-8"))
            self.daemon = Daemon.from_json(state["daemon"]) if state.get("daemon") else None
            self.port = port or state.get("port")
        except (FileNotFoundError, ValueError):
            pass  # never started: `start` writes it

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def access_key(self) -> str:
        return self._keys()[0]

    @property
    def secret_key(self) -> str:
        return self._keys()[1]

    def running(self) -> bool:
        return self.daemon is not None and processes.alive(self.daemon)

    def answers(self) -> bool:
        """Whether it runs and its health page is its own."""
        return self.running() and self._answers(self._instance())

    def start(self) -> None:
        """Start unless it runs; after any death the objects, versions and locks are those that were."""
        self._keys()
        if self.answers():
            return
        self._end_strays()
        instance = secrets.token_hex(8)
        for last in (False, False, True):  # the free port can be taken between our look and the server's bind
            self.port = processes.free_port(self.port)
            try:
                return self._launch(instance)
            except StackError:
                if last or "ddress already in use" not in processes.tail(self.log):
                    raise
                self.port = None

    def stop(self) -> None:
        if self.daemon is not None:
            processes.stop(self.daemon)
        self._end_strays()
        self.daemon = None
        self._write_state("")

    def kill(self) -> None:
        """`kill -9`, as a crash would."""
        if self.daemon is not None:
            processes.kill(self.daemon)

    def pause(self) -> None:
        """Freeze the process: connections are accepted by the system, nothing answers."""
        if self.daemon is not None and self.running():
            psutil.Process(self.daemon.pid).suspend()

    def resume(self) -> None:
        if self.daemon is not None and self.running():
            psutil.Process(self.daemon.pid).resume()

    def client(self) -> "S3Client":
        """A plain boto3 client with this region's keys; the same one until the port changes."""
        if self._client is None or self._client.meta.endpoint_url != self.endpoint_url:
            self._client = boto3.client(
                "s3",
                endpoint_url=self.endpoint_url,
                aws_access_key_id=self.access_key,
                aws_secret_access_key=self.secret_key,
                region_name="us-east-1",
                config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
            )
        return self._client

    def create_bucket(self, bucket: str, *, object_lock: bool = True) -> None:
        """Create the bucket unless it is there; with object lock it is versioned too."""
        client = self.client()
        try:
            client.head_bucket(Bucket=bucket)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=object_lock)

    # -- inside ----------------------------------------------------------------------------------------------

    def _launch(self, instance: str) -> None:
        command = [
            sys.executable,
            "-m",
            "tidewatch.local.s3",
            "--home",
            str(self.home),
            "--port",
            str(self.port),
            "--instance",
            instance,
        ]
        daemon = self.daemon = processes.spawn(
            f"s3 {self.name}", command, log=self.log, part=self.home, cwd=self.home
        )
        self._write_state(instance)
        processes.wait_for(
            f"The local region {self.name}",
            lambda: self._answers(instance),
            seconds=_START_SECONDS,
            log=self.log,
            still=lambda: processes.alive(daemon),
        )

    def _answers(self, instance: str) -> bool:
        """Whether the server on our port is the one that we started."""
        try:
            address = self.endpoint_url + HEALTH_PATH
            answer = httpx.get(address, timeout=2.0, trust_env=False, verify=processes.NO_TLS)
            return bool(answer.json().get("instance") == instance)
        except (httpx.HTTPError, ValueError):
            return False

    def _end_strays(self) -> None:
        """End a dead server's leftovers, and servers here that an interrupted start did not record."""
        if self.daemon is not None:
            processes.stop(self.daemon)
        processes.stop_strays(self.home)

    def _keys(self) -> tuple[str, str]:
        """The key pair; made at first use."""
        path = self.home / "keys.json"
        if not path.exists():
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            pair = {
                "access_key": "TW" + secrets.token_hex(9).upper(),
                "secret_key": secrets.token_urlsafe(30),
            }
            write_private(path, json.dumps(pair))
        pair = json.loads(path.read_text(encoding="utf-8"))
        return pair["access_key"], pair["secret_key"]

    def _instance(self) -> str:
        return str(json.loads(self._state_file.read_text(encoding="utf-8")).get("instance", ""))

    def _write_state(self, instance: str) -> None:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        daemon = self.daemon.to_json() if self.daemon else None
        write_private(
            self._state_file, json.dumps({"port": self.port, "daemon": daemon, "instance": instance})
        )


def main() -> None:
    """Run the server in this process until it is told to stop."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config as ServerConfig

    parser = argparse.ArgumentParser(description="A local S3 region on 127.0.0.1 (keys in HOME/keys.json).")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--instance", default="", help="an id that the health page repeats")
    arguments = parser.parse_args()
    pair = json.loads((arguments.home / "keys.json").read_text(encoding="utf-8"))
    app = RegionApp(arguments.home, {pair["access_key"]: pair["secret_key"]}, arguments.instance, utc_now)
    config = ServerConfig()
    config.bind = [f"127.0.0.1:{arguments.port}"]
    config.keep_alive_timeout = 30.0
    config.h11_max_incomplete_size = 64 * 1024
    asyncio.run(serve(app, config))


if __name__ == "__main__":
    main()
