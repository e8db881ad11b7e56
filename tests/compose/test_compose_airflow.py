"""What docker-compose.yaml says to Airflow is understood by the Airflow that is installed."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from tidewatch.cli.app import app as tidewatch
from tidewatch.core.connections import from_environment

# One process for all questions: importing Airflow takes seconds.
_ASK = """
import json, sys
commands, variables, conn_ids = json.load(sys.stdin)
facts = {"commands": {}, "options": {}}

from airflow.cli.cli_parser import get_parser
for command in commands:
    try:
        get_parser().parse_args(command)
        facts["commands"][" ".join(command)] = "understood"
    except SystemExit:
        facts["commands"][" ".join(command)] = "refused"

from airflow.configuration import conf
for section, option in variables:
    known = conf.configuration_description.get(section, {}).get("options", {}).get(option)
    facts["options"][f"{section}.{option}"] = None if known is None else bool(known.get("sensitive"))

from airflow.providers.celery.executors import celery_executor
facts["executor"] = celery_executor.CeleryExecutor.__name__
facts["broker"] = conf.get("celery", "broker_url")
facts["result_backend"] = celery_executor.app.conf.result_backend

from airflow.sdk import Connection
facts["connections"] = {}
for conn_id in conn_ids:
    c = Connection.get(conn_id)
    known = [c.conn_type, c.host, c.port, c.login, c.password, c.schema, c.extra_dejson]
    facts["connections"][conn_id] = known
print("FACTS" + json.dumps(facts))
"""


def _airflow_commands(services: dict[str, Any]) -> list[list[str]]:
    commands = []
    for service in services.values():
        for words in (service.get("command", []), service.get("healthcheck", {}).get("test", [])[1:]):
            if words and words[0] == "airflow":
                commands.append(words[1:])
            if words and words[0].endswith("/api-server.sh"):
                commands.append(["api-server", *words[1:]])
    return [*commands, ["db", "migrate"]]


def _variables(services: dict[str, Any]) -> set[str]:
    return {v for s in services.values() for v in s.get("environment", {}) if v.startswith("AIRFLOW__")}


@pytest.fixture(scope="module")
def facts(
    services: dict[str, Any], secrets_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Answers of an Airflow with the environment of worker-1, its secrets where the test has them."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "TIDEWATCH"))}
    for name, value in services["worker-1"]["environment"].items():
        environment[name] = str(value).replace("/run/secrets/", f"{secrets_directory}/")
    environment["AIRFLOW_HOME"] = str(tmp_path_factory.mktemp("airflow"))
    environment["AIRFLOW__LOGGING__BASE_LOG_FOLDER"] = environment["AIRFLOW_HOME"]
    options = [_option(v) for v in sorted(_variables(services)) if "_KWARG__" not in v]
    question = [_airflow_commands(services), options, _conn_ids(secrets_directory)]
    asked = subprocess.run(
        [sys.executable, "-c", _ASK],
        input=json.dumps(question),
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert asked.returncode == 0, asked.stderr[-3000:]
    answer: dict[str, Any] = json.loads(asked.stdout.rpartition("FACTS")[2])
    return answer


def _option(variable: str) -> tuple[str, str]:
    _, section, option = variable.lower().split("__", 2)
    return section, option.removesuffix("_cmd")


def _conn_ids(secrets_directory: Path) -> list[str]:
    return sorted(json.loads((secrets_directory / "connections.json").read_text()))


def test_airflow_understands_every_command_of_the_file(
    services: dict[str, Any], facts: dict[str, Any]
) -> None:
    asked = _airflow_commands(services)
    assert {"celery worker --skip-serve-logs", "scheduler --skip-serve-logs", "dag-processor"} <= {
        " ".join(command) for command in asked
    }
    assert facts["commands"] == {" ".join(command): "understood" for command in asked}


def test_airflow_knows_every_setting_of_the_file(services: dict[str, Any], facts: dict[str, Any]) -> None:
    unknown = [option for option, sensitive in facts["options"].items() if sensitive is None]
    assert not unknown
    for variable in _variables(services):
        if variable.endswith("_CMD"):
            # Airflow reads a command's output for sensitive options only, and ignores it for others.
            assert facts["options"][".".join(_option(variable))], f"{variable} would be ignored"


def test_the_celery_executor_starts_with_the_pinned_packages(
    facts: dict[str, Any], secrets_directory: Path
) -> None:
    assert facts["executor"] == "CeleryExecutor"
    assert facts["broker"] == (secrets_directory / "celery_broker_url").read_text()
    assert facts["result_backend"] == (secrets_directory / "celery_result_backend").read_text()


def test_tasks_and_the_cli_see_the_same_connections(
    facts: dict[str, Any], secrets_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEWATCH_CONNECTIONS_FILE", str(secrets_directory / "connections.json"))
    for conn_id in _conn_ids(secrets_directory):
        c = from_environment(conn_id)
        ours = [c.conn_type, c.host, c.port, c.login, c.password, c.schema, dict(c.extra)]
        theirs = facts["connections"][conn_id]
        assert [v or None for v in ours] == [v or None for v in theirs]


def test_our_own_commands_exist(project: Path) -> None:
    """Every `tidewatch ...` of the scripts and of the page names a command that there is."""
    group = typer.main.get_command(tidewatch)
    lines = [
        *(project / "compose/init.sh").read_text().splitlines(),
        *(
            x
            for x in (project / "docs/production.md").read_text().splitlines()
            if x.startswith("docker compose ")
        ),
    ]
    checked = 0
    for line in lines:
        words = shlex.split(line, comments=True)
        if "tidewatch" not in words:
            continue
        command: Any = group
        for word in words[words.index("tidewatch") + 1 :]:
            if not hasattr(command, "commands"):
                break
            assert word in command.commands, line
            command = command.commands[word]
        checked += 1
    assert checked >= 1


def test_scripts_of_the_file_exist_and_can_be_run(services: dict[str, Any], project: Path) -> None:
    words = set()
    for service in services.values():
        for part in (service.get("command", []), service.get("healthcheck", {}).get("test", [])):
            words |= {w for w in part if str(w).startswith("/opt/tidewatch/")}
    assert words
    for word in words:
        script = project / word.removeprefix("/opt/tidewatch/")
        assert script.is_file(), word
        assert script.suffix == ".py" or os.access(script, os.X_OK), word
    for script in (project / "compose").glob("*.sh"):
        assert subprocess.run(["sh", "-n", script]).returncode == 0


def test_settings_of_ours_are_settings_that_there_are(services: dict[str, Any], project: Path) -> None:
    from tidewatch.core.settings import Settings

    known = {f"TIDEWATCH_{name.upper()}" for name in Settings.model_fields}
    notices = (project / "config/notices.yaml").read_text()
    for service in services.values():
        for variable in service.get("environment", {}):
            if variable.startswith("TIDEWATCH_") and variable != "TIDEWATCH_CONNECTIONS_FILE":
                assert variable in known or variable in notices, variable


def test_the_password_file_of_airflow_is_a_copy_that_it_may_write(
    services: dict[str, Any], project: Path
) -> None:
    api = services["api-server"]
    place = Path(api["environment"]["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    assert any(entry.startswith(f"{place.parent}:") for entry in api["tmpfs"])
    assert "airflow_users.json" in (project / "compose/api-server.sh").read_text()
