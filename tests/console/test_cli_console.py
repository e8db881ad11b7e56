"""`tidewatch console`: users by command, and the pages served by a process of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict

from tidewatch.cli import main


@pytest.fixture
def environment(warehouse: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    f = conninfo_to_dict(warehouse)
    address = f"postgres://{f['user']}:{f['password']}@{f['host']}:{f['port']}/{f['dbname']}"
    monkeypatch.setenv("AIRFLOW_CONN_TIDEWATCH_WAREHOUSE", address)
    monkeypatch.setenv("TIDEWATCH_HOME", str(tmp_path))


def test_users_are_added_changed_and_removed_by_command(
    environment: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["console", "add-user", "li.wei", "--role", "compliance", "--role", "auditor"]) == 0
    password = capsys.readouterr().out.strip()
    assert re.fullmatch(r"[a-z2-9]{5}(-[a-z2-9]{5}){4}", password)
    assert main(["console", "set-password", "li.wei"]) == 0
    assert capsys.readouterr().out.strip() != password
    assert main(["console", "set-roles", "li.wei", "--role", "engineer"]) == 0
    assert main(["console", "users"]) == 0
    assert re.search(r"li\.wei +engineer", capsys.readouterr().out)
    assert main(["console", "remove-user", "li.wei"]) == 0
    assert main(["console", "users"]) == 0
    assert "Nobody may sign in yet" in capsys.readouterr().out
    assert main(["console", "add-user", "li.wei", "--role", "king"]) == 3
    assert "auditor, compliance, engineer, analyst" in capsys.readouterr().err
    assert main(["console", "remove-user", "li.wei"]) == 3


def test_passwords_do_not_cross_a_network_as_they_are(
    environment: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["console", "--host", "0.0.0.0"]) == 3  # noqa: S104 - that is what is refused
    assert "https" in capsys.readouterr().err


def test_the_command_serves_the_pages_until_it_is_stopped(environment: None) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "tidewatch.cli", "console", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == f"http://127.0.0.1:{port}/"
        while True:
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/backups", trust_env=False)
                break
            except httpx.TransportError:
                assert process.poll() is None, process.communicate()
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?back=/backups")
        assert "server" not in answer.headers
    finally:
        process.terminate()
        process.communicate(timeout=60)
