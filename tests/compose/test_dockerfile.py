"""The image is made of pinned parts, holds what the compose file runs, and nothing secret."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tidewatch.core.settings import Settings


@pytest.fixture(scope="module")
def dockerfile(project: Path) -> str:
    """Without comments, one instruction a line."""
    text = (project / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return re.sub(r"\\\n\s*", " ", "\n".join(lines))


def _instructions(dockerfile: str, word: str) -> list[str]:
    return [
        line.removeprefix(word).strip() for line in dockerfile.splitlines() if line.startswith(f"{word} ")
    ]


def test_the_base_is_pinned_and_is_the_python_that_tests_run_on(dockerfile: str, project: Path) -> None:
    bases = _instructions(dockerfile, "FROM")
    assert len({base.split(" ")[0] for base in bases}) == 1
    found = re.match(r"python:(\d+\.\d+)\.\d+-slim-\w+@sha256:[0-9a-f]{64}", bases[0])
    assert found is not None
    target = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["mypy"]["python_version"]
    assert found[1] == target


def test_packages_are_installed_by_hash(dockerfile: str) -> None:
    installs = [line for line in _instructions(dockerfile, "RUN") if "pip install" in line]
    assert len(installs) == 1
    assert "--require-hashes" in installs[0] and "requirements.txt" in installs[0]


def test_all_that_is_copied_exists_and_is_let_through(dockerfile: str, project: Path) -> None:
    let_through = [
        line.removeprefix("!")
        for line in (project / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    ]
    copied = set()
    for instruction in _instructions(dockerfile, "COPY"):
        if not instruction.startswith("--from"):
            copied |= set(instruction.split()[:-1])
    for path in copied:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", path],
            cwd=project,
            capture_output=True,
            text=True,
        ).stdout
        assert listed, f"{path} is not in the repository"
        assert path.split("/")[0] in let_through, path
    assert {"include", "sql", "config", "plugins", "dags"} <= copied


def test_all_that_the_compose_file_runs_is_copied(dockerfile: str, services: dict[str, Any]) -> None:
    copied = " ".join(_instructions(dockerfile, "COPY"))
    for service in services.values():
        for part in (service.get("command", []), service.get("healthcheck", {}).get("test", [])):
            for word in part:
                if str(word).startswith("/opt/tidewatch/compose/"):
                    assert word.removeprefix("/opt/tidewatch/") in copied
    assert "compose/create_buckets.py" in copied and "compose/make_secrets.py" in copied


def test_it_runs_as_the_user_of_the_compose_file_under_an_init(
    dockerfile: str, services: dict[str, Any]
) -> None:
    (user,) = _instructions(dockerfile, "USER")
    assert user == services["worker-1"]["user"] == "50000:0"
    assert _instructions(dockerfile, "ENTRYPOINT") == ['["/usr/bin/tini", "--"]']
    assert "HEALTHCHECK" in dockerfile
    # New volumes get the owner of these directories; another owner would make them read-only for us.
    for volume in services["worker-1"]["volumes"]:
        source, target, *_ = volume.split(":")
        if not source.startswith("."):
            assert re.search(rf"install --directory --owner 50000 .*{target}\b", dockerfile), target


def test_it_looks_for_the_project_where_the_compose_file_mounts_it(
    dockerfile: str, services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = dict(re.findall(r"(\w+)=(\S+)", " ".join(_instructions(dockerfile, "ENV"))))
    for name, value in services["worker-1"]["environment"].items():
        assert environment.get(name, str(value)) == str(value), name
        if name.startswith("TIDEWATCH_"):
            monkeypatch.setenv(name, str(value))
    settings = Settings()
    targets = [v.split(":")[1] for v in services["worker-1"]["volumes"]]
    assert str(settings.config_dir) in targets and str(settings.home) in targets
    assert str(settings.signing_key_file).startswith("/run/secrets/")
    assert environment["AIRFLOW__CORE__DAGS_FOLDER"] == str(settings.project / "dags")
