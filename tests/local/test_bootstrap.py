"""What the bootstrap writes works wherever the checkout lies."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bootstrap() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", PROJECT / "tools" / "bootstrap.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["plain", "with blank", "观潮 'quoted' $HOME"])
def test_the_command_starts_from_any_path(bootstrap: ModuleType, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    (folder / "tidewatch").mkdir(parents=True)
    (folder / "tidewatch" / "__init__.py").touch()
    (folder / "tidewatch" / "cli.py").write_text(
        "import sys\ndef main():\n    print(sys.argv[1:])\n    return 7\n"
    )
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    command = folder / "command"
    command.write_bytes(bootstrap.command_file(python))
    command.chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [command, "a b", "观"], env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert (done.returncode, done.stdout) == (7, "['a b', '观']\n"), done.stderr


@pytest.mark.parametrize("name", ["plain", "with blank", "观潮 'quoted'"])
def test_the_package_is_found_in_any_path_whatever_the_locale(
    bootstrap: ModuleType, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "found_by_pth.py").write_text("")
    site = tmp_path / "site"
    site.mkdir()
    (site / "tidewatch.pth").write_text(bootstrap.path_line(folder), encoding="ascii")
    program = "import site, sys; site.addsitedir(sys.argv[1]); import found_by_pth"
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-c", program, site], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_installer_uses_the_mirror_and_the_certificates_that_pip_uses(bootstrap: ModuleType) -> None:
    settings = {"global.index-url": "https://mirror.example.com/simple", "global.cert": "/etc/ca.pem"}

    def made(environ: dict[str, str], system: bool = True) -> dict[str, str]:
        pip_setting = lambda name: settings.get(name, "")  # noqa: E731
        return dict(bootstrap.installer_environment(environ, pip_setting, system_certificates=system))

    plain = made({"HOME": "/home/x"})
    assert plain["UV_DEFAULT_INDEX"] == settings["global.index-url"]
    assert plain["SSL_CERT_FILE"] == "/etc/ca.pem"
    assert plain["UV_SYSTEM_CERTS"] == "true" and plain["HOME"] == "/home/x"
    assert made({"PIP_INDEX_URL": "https://a.example.com"})["UV_DEFAULT_INDEX"] == "https://a.example.com"
    assert made({"UV_DEFAULT_INDEX": "https://b.example.com"})["UV_DEFAULT_INDEX"] == "https://b.example.com"
    settings.clear()
    assert "UV_DEFAULT_INDEX" not in made({}) and "UV_SYSTEM_CERTS" not in made({}, system=False)
