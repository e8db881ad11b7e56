"""The pins: compile `requirements*.txt` from pyproject.toml, or check that they agree.

`compile` keeps the pins that still fit; `compile --upgrade` takes the newest. `check` needs no network: it
compares what pyproject.toml asks for with what is pinned.
"""

import argparse
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[1]
HEADER = "# Compiled from pyproject.toml by `make requirements`; do not edit.\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["compile", "check"])
    parser.add_argument("--upgrade", action="store_true")
    arguments = parser.parse_args()
    if arguments.action == "check":
        return _check()
    _compile("requirements.txt", [], arguments.upgrade)
    _compile("requirements-dev.txt", ["--group", "dev"], arguments.upgrade)
    return _check()


def _compile(name: str, extra: list[str], upgrade: bool) -> None:
    constraint = [] if name == "requirements.txt" else ["-c", "requirements.txt"]
    subprocess.run(
        [Path(sys.executable).with_name("uv"), "pip", "compile", "pyproject.toml", *extra, *constraint,
         "--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate",
         "--no-emit-index-url", "--quiet", *(["--upgrade"] if upgrade else []), "-o", name],
        check=True, cwd=PROJECT, env={**os.environ, "UV_SYSTEM_PYTHON": "0"},
    )  # fmt: skip
    file = PROJECT / name
    file.write_text(HEADER + file.read_text())


def _pins(name: str) -> dict[str, str]:
    pins = {}
    for line in (PROJECT / name).read_text().splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            requirement = Requirement(line.split("\\")[0].strip())
            if requirement.marker is None or requirement.marker.evaluate():
                pins[canonicalize_name(requirement.name)] = next(iter(requirement.specifier)).version
    return pins


def _check() -> int:
    asked = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    runtime = asked["project"]["dependencies"]
    problems = _differences("requirements.txt", runtime)
    problems += _differences("requirements-dev.txt", runtime + asked["dependency-groups"]["dev"])
    base, dev = _pins("requirements.txt"), _pins("requirements-dev.txt")
    problems += [f"requirements-dev.txt has {n} {dev.get(n)}, requirements.txt {v}"
                 for n, v in base.items() if dev.get(n) != v]  # fmt: skip
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _differences(name: str, asked: list[str]) -> list[str]:
    pins = _pins(name)
    problems = []
    for text in asked:
        requirement = Requirement(text)
        pinned = pins.get(canonicalize_name(requirement.name))
        if pinned is None:
            problems.append(f"{name} lacks {requirement.name}: run `make requirements`")
        elif not requirement.specifier.contains(pinned, prereleases=True):
            problems.append(f"{name} pins {requirement.name} {pinned}, outside {requirement.specifier}")
    return problems


if __name__ == "__main__":
    sys.exit(main())
