"""The console behind Airflow's login: what the plugin registers, what loading it takes, whose session counts.

Each test runs a process of its own: Airflow's settings are those of the process that imports it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]


def in_airflow(home: Path, code: str, **variables: str) -> Any:
    """What `code` puts into `result`, with an Airflow whose home and database are in `home`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "vera:viewer,uma:user,otto:op,ada:admin",
        "AIRFLOW__API__SECRET_KEY": "x" * 32,
        "AIRFLOW__API_AUTH__JWT_SECRET": "y" * 64,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "PYTHONPATH": str(PROJECT / "include"),
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-c", code + "\nimport json; print('RESULT', json.dumps(result))"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.rpartition("RESULT ")[2])


PLUGINS = """
import sys, time
import airflow.plugins_manager as manager, airflow.configuration
before, began = set(sys.modules), time.process_time()
plugins, errors = manager._get_plugins()
cost = time.process_time() - began
ours = [p for p in plugins if p.name == "tidewatch"]
result = {
    "errors": errors, "cost": cost, "names": [p.name for p in ours],
    "apps": [{k: v for k, v in a.items() if k != "app"} for p in ours for a in p.fastapi_apps],
    "views": [v for p in ours for v in p.external_views],
    "loaded": sorted(m for m in set(sys.modules) - before if m.split(".")[0] in
                     ("tidewatch", "jinja2", "psycopg", "boto3", "fastapi", "great_expectations")),
}
"""


def test_the_plugin_registers_the_console_and_loading_it_imports_nothing_of_it(tmp_path: Path) -> None:
    found = in_airflow(tmp_path, PLUGINS, AIRFLOW__API__BASE_URL="https://host.test/airflow")
    assert found["errors"] == {} and found["names"] == ["tidewatch"]
    assert found["apps"] == [{"url_prefix": "/tidewatch", "name": "Tidewatch"}]
    (view,) = found["views"]
    assert view["href"] == "/airflow/tidewatch/"
    # A link of the first level, and one in a frame, do not work: docs/decisions/0040.
    assert view["category"] == "browse" and "url_route" not in view and "nav_top_level" not in view
    assert not any(m.startswith("tidewatch") for m in found["loaded"]), found["loaded"]


LOGIN = """
import asyncio, time
from starlette.requests import Request
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.revoked_token import RevokedToken
from airflow.settings import engine
from tidewatch.orchestration import console_login

RevokedToken.metadata.create_all(engine, tables=[RevokedToken.__table__])
manager = create_auth_manager()

def request(**headers):
    pairs = [(k.encode(), v.encode()) for k, v in headers.items()]
    return Request({
        "type": "http", "method": "GET", "path": "/tidewatch/backups", "root_path": "/tidewatch",
        "query_string": b"source=ops", "headers": pairs, "scheme": "https", "server": ("h.test", 443)})

def seen(**headers):
    person = asyncio.run(console_login.who(request(**headers)))
    return person and [person.name, sorted(person.roles), person.form_key.hex()]

def token(name, role, seconds=600):
    user = SimpleAuthManagerUser(username=name, role=role)
    return manager.generate_jwt(user, expiration_time_in_seconds=seconds)

people = (("vera", "viewer"), ("uma", "user"), ("otto", "op"), ("ada", "admin"))
mine = {role: token(name, role) for name, role in people}
other = token("vera", "viewer")
result = {
    "roles": {role: seen(cookie=f"_token={t}")[1] for role, t in mine.items()},
    "bearer": seen(authorization=f"Bearer {mine['op']}", cookie=f"_token={mine['viewer']}")[:2],
    "nobody": [seen(), seen(cookie="_token="), seen(cookie="_token=a.b.c"), seen(authorization="Basic eDp5")],
    "no role": seen(cookie=f"_token={token('eve', None)}")[:2],
    "expired": seen(cookie=f"_token={token('vera', 'viewer', -100)}"),
    "tampered": seen(cookie=f"_token={mine['viewer'][:-4]}AAAA"),
    "form keys differ": seen(cookie=f"_token={other}")[2] != seen(cookie=f"_token={mine['viewer']}")[2],
    "form key stays": seen(cookie=f"_token={other}")[2] == seen(cookie=f"_token={other}")[2],
    "sign in": console_login.sign_in_url(request()),
}
manager.revoke_token(mine["admin"])
result["revoked"] = seen(cookie=f"_token={mine['admin']}")
"""


@pytest.fixture(scope="module")
def login(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return in_airflow(tmp_path_factory.mktemp("airflow"), LOGIN)


def test_what_airflow_permits_decides_about_our_roles(login: Any) -> None:
    assert login["roles"] == {
        "viewer": ["auditor"],
        "user": ["analyst", "auditor", "compliance"],
        "op": ["analyst", "auditor", "compliance", "engineer"],
        "admin": ["analyst", "auditor", "compliance", "engineer"],
    }
    assert login["no role"] == ["eve", []]
    assert login["bearer"] == ["otto", ["analyst", "auditor", "compliance", "engineer"]], (
        "what is explicit goes first"
    )


def test_only_a_valid_session_of_airflow_is_somebody(login: Any) -> None:
    assert login["nobody"] == [None] * 4
    assert (login["expired"], login["tampered"], login["revoked"]) == (None, None, None)


def test_forms_belong_to_one_session_and_the_way_back_is_kept(login: Any) -> None:
    assert login["form keys differ"] and login["form key stays"]
    assert login["sign in"] == "/auth/login?next=%2Ftidewatch%2Fbackups%3Fsource%3Dops"
