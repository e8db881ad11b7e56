"""Real parts for every test: a PostgreSQL server and three S3 regions a worker, started when first asked for.

All of it lives in one temporary directory and ends with the test session; what a killed session left behind
is ended by the next one.
"""

import fcntl
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

os.environ["GX_ANALYTICS_ENABLED"] = "false"
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts so what runs in the background; programs that tests stop with Ctrl-C would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Where tools/fetch_postgres.py put the older servers, and where screenshots go.
_KEPT = {"TIDEWATCH_POSTGRES_DIR", "TIDEWATCH_SHOTS"}
for _name in {n for n in os.environ if n.startswith(("TIDEWATCH_", "AIRFLOW_CONN_"))} - _KEPT:
    del os.environ[_name]  # a developer's running stack must not leak into the tests

from tidewatch.core.regions import Region, RegionConfig  # noqa: E402
from tidewatch.core.settings import load_settings  # noqa: E402
from tidewatch.core.signing import SigningKey  # noqa: E402
from tidewatch.local.postgres import LocalPostgres  # noqa: E402
from tidewatch.local.s3 import LocalRegion  # noqa: E402

REGION_NAMES = ("cn-east", "cn-north", "cn-south")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """tools/run_tests.py looks for the end-to-end runs in their directory alone."""
    place = Path(__file__).parent / "e2e"
    elsewhere = [i.nodeid for i in items if i.get_closest_marker("e2e") and place not in i.path.parents]
    if elsewhere:
        raise pytest.UsageError(f"marked e2e and not in tests/e2e: {', '.join(elsewhere)}")


@pytest.fixture(scope="session")
def stack_home() -> Iterator[Path]:
    """The directory of this session's servers."""
    base = Path(tempfile.gettempdir()) / f"tidewatch-tests-{os.getuid()}"
    base.mkdir(exist_ok=True, mode=0o711)
    home = base / str(os.getpid())
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # sessions that start together must not clean up the same one
        for left in base.iterdir():
            if left == home or (left.name.isdigit() and not psutil.pid_exists(int(left.name))):
                _remove(left)
    home.mkdir(mode=0o711)
    yield home
    _remove(home)


def _remove(home: Path) -> None:
    """End the servers of a session, this one's or a killed one's, and remove its directory."""
    for server in home.glob("pg*"):  # a session may have been killed before it had one
        LocalPostgres(server).destroy()
    for region in sorted((home / "regions").glob("*")):
        LocalRegion(region.name, region).stop()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def pg_server(stack_home: Path) -> LocalPostgres:
    """A PostgreSQL server: `.dsn(dbname)`, `.bin_dir`. Tests that kill it start one of their own."""
    server = LocalPostgres(stack_home / "pg", fsync=False)
    server.start()
    return server


@pytest.fixture
def database(pg_server: LocalPostgres) -> Iterator[str]:
    """DSN of a fresh, empty database."""
    yield from _database(pg_server, template="template0")


@pytest.fixture(scope="session")
def _migrated(pg_server: LocalPostgres) -> str:
    from tidewatch.core.database import connect, migrate

    pg_server.create_database("migrated")
    with connect(pg_server.dsn("migrated"), application_name="tests") as conn:
        migrate(conn, load_settings().sql_dir / "migrations")
    return "migrated"


@pytest.fixture
def warehouse(pg_server: LocalPostgres, _migrated: str) -> Iterator[str]:
    """DSN of a fresh database with all migrations applied."""
    yield from _database(pg_server, template=_migrated)


def _database(server: LocalPostgres, template: str) -> Iterator[str]:
    name = f"t_{secrets.token_hex(6)}"
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        # Copying files costs half of writing every page to the log.
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY".encode())
    yield server.dsn(name)
    server.drop_database(name)


@pytest.fixture(scope="session")
def region_servers(stack_home: Path) -> list[LocalRegion]:
    """The three S3 servers behind `three_regions`; each has a process, folder and key pair of its own."""
    servers = [LocalRegion(name, stack_home / "regions" / name) for name in REGION_NAMES]
    for server in servers:
        server.start()
    return servers


@pytest.fixture
def three_regions(region_servers: list[LocalRegion]) -> list[Region]:
    """Three regions with object lock, in buckets that only this test uses.

    A test may kill or pause a server of `region_servers`; the next test finds it running again.
    """
    bucket = f"t-{secrets.token_hex(8)}"
    regions = []
    for server in region_servers:
        server.resume()
        server.start()
        server.create_bucket(bucket)
        regions.append(open_local_region(server, bucket))
    return regions


def open_local_region(server: LocalRegion, bucket: str, **config: object) -> Region:
    """A `Region` on a local server; `config` overrides fields of RegionConfig."""
    from tidewatch.core.connections import Connection
    from tidewatch.core.regions import RegionsFile, open_regions

    name = str(config.pop("name", server.name))
    settings = {
        "name": name,
        "connection": f"tidewatch_region_{name.replace('-', '_')}",
        "bucket": bucket,
        "jurisdiction": "CN",
        "lock_days": 1,
    } | config
    file = RegionsFile(
        policy_id="TEST",
        policy_version="1",
        residency={"public": ["CN"]},
        regions=[RegionConfig.model_validate(settings)],
    )
    extra = {"endpoint_url": server.endpoint_url, "region_name": "us-east-1"}
    return open_regions(
        file,
        lambda conn_id: Connection(
            conn_id, "aws", login=server.access_key, password=server.secret_key, extra=extra
        ),
    )[0]


@pytest.fixture(scope="session")
def local_region_factory() -> Callable[..., Region]:
    """`open_local_region`, for tests that need odd regions."""
    return open_local_region


@dataclass(frozen=True)
class Keys:
    """The keys of an installation: signing pair, and the age pair whose secret half is kept elsewhere."""

    signing_key: SigningKey
    signing_key_file: Path
    verify_key_file: Path
    recipients_file: Path
    identity_file: Path
    recipient: str
    identity: str


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    from pyrage import x25519

    home = tmp_path_factory.mktemp("keys")
    signing_key = SigningKey.generate()
    signing_key.save(home / "signing.pem")
    signing_key.public.save(home / "signing.pub.pem")
    identity = x25519.Identity.generate()
    (home / "recipients.txt").write_text(f"{identity.to_public()}\n", encoding="ascii")
    (home / "identity.txt").write_text(f"{identity}\n", encoding="ascii")
    return Keys(
        signing_key,
        home / "signing.pem",
        home / "signing.pub.pem",
        home / "recipients.txt",
        home / "identity.txt",
        str(identity.to_public()),
        str(identity),
    )


_findings: dict[str, Any] = {}


@pytest.fixture
def remembered_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Great Expectations is asked once for batches between which it sees no difference: it takes more time
    than all the rest of a small backup. tests/quality asks it every time."""
    from tidewatch.quality import run as quality_run

    real = quality_run.run_expectations

    def remembered(name: str, rules: Any, batch: Any, columns: Any, now: Any) -> Any:
        seen = _what_a_gate_sees(rules, batch)
        if seen is None:
            return real(name, rules, batch, columns, now)
        key = f"{name} {columns} {rules!r} {seen}"
        if key not in _findings:
            _findings[key] = real(name, rules, batch, columns, now)
        return _findings[key]

    monkeypatch.setattr(quality_run, "run_expectations", remembered)


def _what_a_gate_sees(rules: Any, batch: Any) -> str | None:
    """Of each expectation about rows, which rows it judges and which it refuses; of others, the columns that
    they read. None: it has to look for itself."""
    from tidewatch.quality.predicates import bad_rows

    seen = [str(len(batch)), str(batch.dtypes.to_dict())] if hasattr(batch, "dtypes") else []
    for expectation in rules.expectations if seen else ():
        if not {*expectation.columns, *expectation.where} <= set(batch.columns):
            return None
        columns = list(expectation.where)
        if expectation.kind.level == "row":
            seen.append(str(bad_rows(batch, expectation).tolist()))
        else:
            columns += expectation.columns
        seen += [f"{column}: {batch[column].tolist()}" for column in columns]
    return "; ".join(seen) or None
