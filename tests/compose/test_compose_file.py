"""docker-compose.yaml is what it claims to be: valid, pinned, isolated, without a secret in it."""

import importlib.resources
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

REGIONS = ("cn-east", "cn-north", "cn-south")
REGION_SERVICES = {f"region-{name}" for name in REGIONS}
WORKERS = {"worker-1", "worker-2"}
ASK_REGIONS = WORKERS | {"doctor"}
ONE_SHOT = {"init", "volumes"}

Services = dict[str, dict[str, Any]]


def test_the_file_follows_the_compose_specification(compose: dict[str, Any]) -> None:
    vendor = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((vendor / "compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    problems = [
        f"{e.json_path}: {e.message}" for e in jsonschema.Draft7Validator(schema).iter_errors(compose)
    ]
    assert not problems


def test_docker_compose_itself_accepts_the_file_where_it_is_installed(project: Path) -> None:
    command = ["docker", "compose"]
    if (
        shutil.which("docker") is None
        or subprocess.run([*command, "version"], capture_output=True).returncode
    ):
        pytest.skip("docker compose is not installed here; the schema is tested without it")
    checked = subprocess.run(
        [*command, "--env-file", ".env.example", "--file", "docker-compose.yaml", "config", "--quiet"],
        cwd=project,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr


def test_everything_that_production_needs_is_a_service(services: Services) -> None:
    airflow = {"api-server", "scheduler", "dag-processor", "triggerer", "init"}
    assert set(services) == airflow | ASK_REGIONS | REGION_SERVICES | {"postgres", "redis", "mail", "volumes"}


def test_every_image_is_pinned(services: Services, example_settings: dict[str, str]) -> None:
    for name, service in services.items():
        image = service["image"]
        if image == example_settings["TIDEWATCH_IMAGE"]:
            assert re.fullmatch(r"tidewatch:\d+\.\d+\.\d+", image)
            continue
        assert re.fullmatch(r"[a-z0-9./-]+:[a-z]*\d[\w.-]*@sha256:[0-9a-f]{64}", image), name


def test_the_regions_run_a_seaweedfs_with_the_lock_fixes(services: Services) -> None:
    for name in REGION_SERVICES:
        version = re.search(r"seaweedfs:(\d+)\.(\d+)@", services[name]["image"])
        assert version is not None and tuple(map(int, version.groups())) >= (4, 41)


def test_a_region_is_reached_by_itself_the_workers_the_doctor_and_init_only(services: Services) -> None:
    for region in REGION_SERVICES:
        assert services[region]["networks"] == [region]
        members = {name for name, service in services.items() if region in service.get("networks", [])}
        assert members == {region} | ASK_REGIONS | {"init"}


def test_regions_and_data_have_no_way_out_and_publish_nothing(compose: dict[str, Any]) -> None:
    for network in (*REGION_SERVICES, "database", "broker", "execution", "mail"):
        assert compose["networks"][network]["internal"] is True
    published = {name: s["ports"] for name, s in compose["services"].items() if "ports" in s}
    assert set(published) == {"api-server", "mail"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_database_is_not_on_the_network_of_any_published_service_but_the_api(services: Services) -> None:
    outside = {n for n, s in services.items() if {"frontend", "outbound"} & set(s.get("networks", []))}
    assert outside == {"api-server", "mail"} | ASK_REGIONS
    assert "database" not in services["mail"]["networks"]


@pytest.mark.parametrize("kind", ["networks", "volumes", "secrets"])
def test_what_is_declared_is_used_and_what_is_used_is_declared(compose: dict[str, Any], kind: str) -> None:
    assert _used(compose["services"], kind) == set(compose[kind])


def _used(services: Services, kind: str) -> set[str]:
    used = set()
    for service in services.values():
        for entry in service.get(kind, []):
            name = entry["source"] if isinstance(entry, dict) else str(entry)
            if kind == "volumes":
                name = name.split(":")[0]
                if name.startswith("."):
                    continue
            used.add(name)
    return used


def test_every_lasting_service_has_a_health_check_and_comes_back(services: Services) -> None:
    for name, service in services.items():
        if name in ONE_SHOT:
            assert service["restart"] == "no"
            continue
        check = service["healthcheck"]
        assert check["test"][0] in {"CMD", "CMD-SHELL"} and len(check["test"]) > 1, name
        assert {"interval", "timeout", "retries", "start_period"} <= set(check), name
        assert service["restart"] == "unless-stopped", name


def test_whoever_is_waited_for_exists_and_can_become_what_is_waited_for(services: Services) -> None:
    for name, service in services.items():
        for other, wanted in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            assert wanted["condition"] == expected, f"{name} waits for {other}"


def test_no_service_can_do_more_than_it_must(services: Services) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service and "pid" not in service, name
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory", "pids"} <= set(limits), name
        if name != "volumes":
            assert int(service["user"].split(":")[0]) > 0, name
            assert "cap_add" not in service, name
    # The one that starts as root has nobody to talk to and may do one thing.
    assert services["volumes"]["network_mode"] == "none"
    assert services["volumes"]["cap_add"] == ["CHOWN"]
    assert "secrets" not in services["volumes"]


def test_a_stopping_worker_may_finish_its_backup(services: Services) -> None:
    for name in WORKERS:
        assert services[name]["stop_grace_period"] == "30m"
        # A shell around the worker would swallow the signal that asks it to finish.
        assert services[name]["command"][:3] == ["airflow", "celery", "worker"]


def test_workers_hold_no_key_to_airflows_database_and_only_they_sign(services: Services) -> None:
    secrets = {name: _secrets_of(service) for name, service in services.items()}
    airflow = {
        "airflow_sql_alchemy_conn",
        "airflow_fernet_key",
        "airflow_jwt_secret",
        "airflow_api_secret_key",
    }
    for worker in ASK_REGIONS:
        assert not secrets[worker] & airflow
        assert not any("SQL_ALCHEMY_CONN" in v for v in services[worker]["environment"])
    assert {n for n, held in secrets.items() if "signing.pem" in held} == WORKERS
    assert {n for n, held in secrets.items() if "connections.json" in held} == ASK_REGIONS
    assert {n for n, held in secrets.items() if "setup_connections.json" in held} == {"init"}
    assert {n for n, held in secrets.items() if "console_connections.json" in held} == {"api-server"}
    for region in REGION_SERVICES:
        assert secrets[region] == {region.replace("-", "_") + ".json"}


def test_the_doctor_is_a_health_check_that_nothing_waits_for(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    from tidewatch.cli import main

    doctor = services["doctor"]
    _, *command = doctor["healthcheck"]["test"]
    assert command[:2] == ["tidewatch", "doctor"] and command[-2:] == ["--skip", "signing-key"]
    assert main([*command[1:], "--help"]) == 0 and "--quiet" in capsys.readouterr().out
    assert not any("doctor" in service.get("depends_on", {}) for service in services.values())
    assert doctor["init"] is True, "sleep as process 1 would not hear that it is to stop"


def test_whatever_reads_a_secret_is_given_it(services: Services) -> None:
    for name, service in services.items():
        targets = {e["target"] if isinstance(e, dict) else str(e) for e in service.get("secrets", [])}
        text = json.dumps([service.get(k) for k in ("command", "environment", "healthcheck", "entrypoint")])
        assert set(re.findall(r"/run/secrets/([\w.]+)", text)) <= targets, name


def _secrets_of(service: dict[str, Any]) -> set[str]:
    return {e["source"] if isinstance(e, dict) else str(e) for e in service.get("secrets", [])}


def test_every_variable_is_explained_in_the_example_with_the_same_default(
    variables: dict[str, str | None], example_settings: dict[str, str], project: Path
) -> None:
    assert set(variables) == set(example_settings)
    for name, default in variables.items():
        assert default is None or default == example_settings[name], name
    page = (project / "docs" / "production.md").read_text(encoding="utf-8")
    comment = False
    for line in (project / ".env.example").read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            assert comment or line.split("=")[0] in page, f"{line} has no explanation"
        comment = line.startswith("#") or ("=" in line and comment)


def test_every_mounted_path_is_in_the_repository(compose: dict[str, Any], project: Path) -> None:
    mounted = set()
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source, target, *mode = str(volume).split(":")
            if source.startswith("."):
                mounted.add(source.removeprefix("./"))
                assert mode == ["ro"], f"{source} is mounted writable at {target}"
    assert {"config", "compose/postgres", "compose/config/sources.yaml"} <= mounted
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *sorted(mounted)],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for path in mounted:
        assert any(name == path or name.startswith(f"{path}/") for name in listed), path


SUSPICIOUS = re.compile(r"(password|secret|token|api_?key|fernet|private)", re.IGNORECASE)


def test_no_secret_is_written_in_the_file(services: Services) -> None:
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if SUSPICIOUS.search(variable):
                harmless = str(value).startswith(("cat /run/secrets/", "/run/secrets/", "/opt/airflow/"))
                assert harmless or variable in {"AIRFLOW__SECRETS__BACKEND"}, f"{name}: {variable}"
            assert not re.search(r"://[^/@\s?]+:[^/@\s?]+@", str(value)), (
                f"{name}: {variable} holds a password"
            )


def test_secret_files_never_reach_git_or_the_image(compose: dict[str, Any], project: Path) -> None:
    for secret in compose["secrets"].values():
        assert set(secret) == {"file"}
        ignored = subprocess.run(["git", "check-ignore", "--quiet", secret["file"]], cwd=project)
        assert ignored.returncode == 0, f"{secret['file']} could be committed"
    kept_out = (project / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert kept_out[1] == "*"
    assert kept_out.index("compose/secrets") > kept_out.index("!compose")
    assert kept_out.index("compose/offline") > kept_out.index("!compose")
