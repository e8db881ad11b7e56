"""The compose file as it is written, and the secrets that its script makes."""

import importlib.util
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
_VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>[A-Z_]+)(?::(?P<how>[-?])(?P<rest>[^}]*))?\}")


@pytest.fixture(scope="session")
def project() -> Path:
    return PROJECT


@pytest.fixture(scope="session")
def written() -> dict[str, Any]:
    """docker-compose.yaml with its variables as written."""
    return _load((PROJECT / "docker-compose.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def compose(example_settings: Mapping[str, str]) -> dict[str, Any]:
    """docker-compose.yaml with the variables of .env.example filled in."""
    text = (PROJECT / "docker-compose.yaml").read_text(encoding="utf-8")
    return _load(_VARIABLE.sub(lambda found: example_settings[found["name"]], text))


@pytest.fixture(scope="session")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return dict(compose["services"])


@pytest.fixture(scope="session")
def variables() -> dict[str, str | None]:
    """Each ${VARIABLE} of docker-compose.yaml with its default; None: it has to be given."""
    text = (PROJECT / "docker-compose.yaml").read_text(encoding="utf-8")
    return {m["name"]: m["rest"] if m["how"] == "-" else None for m in _VARIABLE.finditer(text)}


@pytest.fixture(scope="session")
def example_settings() -> dict[str, str]:
    """.env.example."""
    lines = (PROJECT / ".env.example").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name: value for name, value in pairs}


@pytest.fixture(scope="session")
def secrets_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What compose/make-secrets.sh makes: `secrets/`, and `offline/` beside it."""
    home = tmp_path_factory.mktemp("made")
    arguments = ["--dir", str(home / "secrets"), "--offline-dir", str(home / "offline")]
    assert script("make_secrets").main(arguments) == 0
    return home / "secrets"


def script(name: str) -> ModuleType:
    """The module compose/<name>.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location(f"compose_{name}", PROJECT / "compose" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make_secrets() -> ModuleType:
    return script("make_secrets")


@pytest.fixture(scope="session")
def create_buckets() -> ModuleType:
    return script("create_buckets")


@pytest.fixture(scope="session")
def healthcheck() -> ModuleType:
    return script("healthcheck")


def _load(text: str) -> dict[str, Any]:
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded
