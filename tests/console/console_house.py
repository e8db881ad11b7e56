"""The console as people meet it: signed in or not, with a warehouse full of history behind it."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import console_history
from fastapi import FastAPI
from psycopg.conninfo import conninfo_to_dict
from starlette.testclient import TestClient

from tidewatch.access import users
from tidewatch.access.roles import ROLES
from tidewatch.console.alone import own_door
from tidewatch.console.app import create_app
from tidewatch.console.desk import Desk
from tidewatch.core.connections import Connection, missing
from tidewatch.core.database import connect
from tidewatch.core.settings import Settings

PROJECT = Path(__file__).parents[2]
PASSWORD = "the tide comes in at seven"
CHEAP = 2**4
"""The cost of a hash, so that tests do not spend their time on it."""


class Clock:
    """The time of the history, plus what a test adds."""

    def __init__(self) -> None:
        self.now = console_history.NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **time: float) -> None:
        self.now += timedelta(**time)


class House:
    """`client(role)` is a browser of somebody who has signed in with that role; `client()` one of nobody."""

    def __init__(self, dsn: str, home: Path, **more: Any) -> None:
        self.dsn, self.clock = dsn, Clock()
        self.connections: dict[str, Connection] = {"tidewatch_warehouse": warehouse_connection(dsn)}
        self.settings = Settings(project=PROJECT, home=home, **more)
        self.desk = Desk(self.settings, self.resolve, self.clock, ZoneInfo("Asia/Shanghai"))
        self.app: FastAPI = create_app(self.desk, own_door(self.desk))
        with connect(dsn, application_name="tests") as conn:
            for role in ROLES:
                users.add_user(
                    conn, f"the.{role}", PASSWORD, [role], by="tests", now=self.clock(), cost=CHEAP
                )
        self._signed_in: dict[str, TestClient] = {}

    def resolve(self, conn_id: str) -> Connection:
        if conn_id not in self.connections:
            raise missing(conn_id)
        return self.connections[conn_id]

    def client(self, role: str | None = None, base: str = "https://console.test") -> TestClient:
        """One browser a role, kept; a new one of nobody each time."""
        if role is None:
            return TestClient(self.app, base_url=base, follow_redirects=False)
        if role not in self._signed_in:
            client = self.client(base=base)
            answer = sign_in(client, f"the.{role}", PASSWORD)
            assert answer.status_code == 303, answer.text
            self._signed_in[role] = client
        return self._signed_in[role]

    def query(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        with connect(self.dsn, application_name="tests") as conn:
            cursor = conn.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []


def warehouse_connection(dsn: str) -> Connection:
    fields = conninfo_to_dict(dsn)
    return Connection(
        "tidewatch_warehouse",
        "postgres",
        host=str(fields["host"]),
        port=int(str(fields["port"])),
        login=str(fields["user"]),
        password=str(fields["password"]),
        schema=str(fields["dbname"]),
    )


def sign_in(client: TestClient, name: str, password: str, **more: str) -> Any:
    return client.post("/sign-in", data={"name": name, "password": password, **more})


def form_token(client: TestClient, page: str = "/evidence") -> str:
    """What the forms of this session carry."""
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', client.get(page).text)
    assert found is not None, page
    return found[1]


def send(client: TestClient, address: str, page: str = "/evidence", **fields: str) -> Any:
    """Fill in a form and send it."""
    return client.post(address, data={"form_token": form_token(client, page), **fields})
