"""Make the secret files of docker-compose.yaml, each once; what exists is kept.

    python compose/make_secrets.py --dir compose/secrets --offline-dir compose/offline

Passwords are made first; files that quote them (connection strings) are made from the files that are there,
so that a lost one can be made again. Files have mode 0640 in a directory of mode 0700: other users of the
host cannot reach them, the containers read them as members of their group.
"""

import argparse
import base64
import json
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidewatch.cli.app import main as tidewatch

REGIONS = ("cn-east", "cn-north", "cn-south")
_WORKER_ACTIONS = (
    "Read",
    "Write",
    "List",
    "GetObjectRetention",
    "PutObjectRetention",
    "GetBucketObjectLockConfiguration",
)


def main(arguments: list[str]) -> int:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True, help="for the files that containers read")
    parser.add_argument("--offline-dir", type=Path, required=True, help="for the key that opens backups")
    given = parser.parse_args(arguments)
    for directory in (given.dir, given.offline_dir):
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
    code = tidewatch(["keys", "create", "--dir", str(given.dir), "--offline-dir", str(given.offline_dir)])
    if code:
        return code
    for name, make in _FILES.items():
        _once(given.dir, name, make)
    for path in given.dir.iterdir():
        path.chmod(0o640)
    identity = given.offline_dir / "identity.txt"
    if identity.exists():
        print(
            f"\nMove {identity} to two safe places away from this machine. It is the only key that opens the"
        )
        print("backups; nothing that runs here needs it.")
    return 0


def _once(directory: Path, name: str, make: Callable[[Path], str]) -> None:
    """Write `name` whole or not at all, unless it is there."""
    target = directory / name
    if target.exists():
        print(f"kept    {target}")
        return
    draft = directory / f".{name}.{os.getpid()}"
    draft.touch(mode=0o600)
    draft.write_text(make(directory), encoding="utf-8")
    draft.rename(target)
    print(f"created {target}")


def _password(_directory: Path) -> str:
    """256 random bits in characters that need no quoting in URLs, SQL and configuration files."""
    return secrets.token_urlsafe(32)


def _fernet_key(_directory: Path) -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _users(_directory: Path) -> str:
    return json.dumps({"admin": secrets.token_urlsafe(18)}) + "\n"


def _redis(_directory: Path) -> str:
    # noeviction: a queue that forgets messages under memory pressure loses backups silently.
    return (
        f"requirepass {secrets.token_urlsafe(32)}\nappendonly yes\ndir /data\n"
        "maxmemory 384mb\nmaxmemory-policy noeviction\n"
    )


def _region(name: str) -> Callable[[Path], str]:
    """Two identities: `setup` makes the bucket, `tidewatch` may work in it but neither delete it, nor change
    its configuration, nor bypass a lock."""
    bucket = f"tidewatch-{name}"
    actions = [f"{action}:{bucket}" for action in _WORKER_ACTIONS]

    def make(_directory: Path) -> str:
        identities = [_identity("setup", ["Admin"]), _identity("tidewatch", actions)]
        return json.dumps({"identities": identities}, indent=2) + "\n"

    return make


def _identity(name: str, actions: list[str]) -> dict[str, Any]:
    pair = {"accessKey": secrets.token_hex(10).upper(), "secretKey": secrets.token_urlsafe(30)}
    return {"name": name, "credentials": [pair], "actions": actions}


def _airflow_database(directory: Path) -> str:
    return (
        f"postgresql+psycopg2://airflow:{_read(directory, 'postgres_airflow_password')}@postgres:5432/airflow"
    )


def _redis_url(database: int) -> Callable[[Path], str]:
    def make(directory: Path) -> str:
        line = next(x for x in _read(directory, "redis.conf").splitlines() if x.startswith("requirepass "))
        return f"redis://:{line.removeprefix('requirepass ')}@redis:6379/{database}"

    return make


def _connections(directory: Path) -> str:
    """What the workers know; people add their own sources here."""
    reader = {"login": "tidewatch_backup", "password": _read(directory, "postgres_backup_password")}
    entries = {
        "tidewatch_warehouse": _warehouse(directory),
        "tidewatch_source_airflow": _postgres("airflow", **reader),
        "tidewatch_source_tidewatch": _postgres("tidewatch", **reader),
    }
    return json.dumps(entries | _region_connections(directory, "tidewatch"), indent=2) + "\n"


def _console_connections(directory: Path) -> str:
    """What the console in the api-server knows: the warehouse alone."""
    return json.dumps({"tidewatch_warehouse": _warehouse(directory)}, indent=2) + "\n"


def _setup_connections(directory: Path) -> str:
    """What `init` knows: the warehouse's owner, and the identities that may create buckets."""
    entries = {"tidewatch_warehouse": _warehouse(directory)}
    return json.dumps(entries | _region_connections(directory, "setup"), indent=2) + "\n"


def _warehouse(directory: Path) -> dict[str, Any]:
    return _postgres("tidewatch", "tidewatch", _read(directory, "postgres_tidewatch_password"))


def _postgres(schema: str, login: str, password: str) -> dict[str, Any]:
    fields = {"conn_type": "postgres", "host": "postgres", "port": 5432, "schema": schema}
    return fields | {"login": login, "password": password}


def _region_connections(directory: Path, identity: str) -> dict[str, Any]:
    entries = {}
    for name in REGIONS:
        known = json.loads(_read(directory, _region_file(name)))["identities"]
        pair = next(i for i in known if i["name"] == identity)["credentials"][0]
        entries[f"tidewatch_region_{name.replace('-', '_')}"] = {
            "conn_type": "aws",
            "login": pair["accessKey"],
            "password": pair["secretKey"],
            "extra": {"endpoint_url": f"http://region-{name}:8333", "region_name": "us-east-1"},
        }
    return entries


def _region_file(name: str) -> str:
    return f"region_{name.replace('-', '_')}.json"


def _read(directory: Path, name: str) -> str:
    return (directory / name).read_text(encoding="utf-8").strip()


_FILES: dict[str, Callable[[Path], str]] = {
    "postgres_superuser_password": _password,
    "postgres_tidewatch_password": _password,
    "postgres_airflow_password": _password,
    "postgres_backup_password": _password,
    "redis.conf": _redis,
    **{_region_file(name): _region(name) for name in REGIONS},
    "airflow_fernet_key": _fernet_key,
    "airflow_api_secret_key": _password,
    "airflow_jwt_secret": _password,
    "airflow_users.json": _users,
    # From here on files that quote those above.
    "airflow_sql_alchemy_conn": _airflow_database,
    "celery_broker_url": _redis_url(0),
    "celery_result_backend": _redis_url(1),
    "connections.json": _connections,
    "console_connections.json": _console_connections,
    "setup_connections.json": _setup_connections,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
