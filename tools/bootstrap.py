"""Make the virtual environment `.venv` hold exactly what the pinned requirements say.

Standard library only: this runs before anything is installed. Usage: `python3 tools/bootstrap.py [--dev]`.
A finished environment is recognised by a stamp and costs no time; an interrupted one is completed.
"""

import argparse
import fcntl
import hashlib
import os
import shlex
import shutil
import ssl
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
VENV = PROJECT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "tidewatch-requirements.sha256"
OLDEST = (3, 11)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also what tests and linters need")
    dev = parser.parse_args().dev
    if sys.version_info < OLDEST:
        return _fail(
            f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed, this is {sys.version.split()[0]}. "
            "Install one and run again, e.g. `make demo PYTHON=python3.12`."
        )
    with (PROJECT / ".bootstrap.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two `make` at once: the second waits and finds it done
        return _bootstrap(dev)


def _bootstrap(dev: bool) -> int:
    files = [PROJECT / "requirements.txt"] + ([PROJECT / "requirements-dev.txt"] if dev else [])
    wanted = _fingerprint(files)
    if STAMP.exists() and PYTHON.exists() and wanted in STAMP.read_text().split():
        return 0
    print(f"Setting up {VENV}: about 200 packages, 300 MB to download (once) ...", flush=True)
    began = time.monotonic()
    if not _usable():
        try:
            venv.EnvBuilder(with_pip=True, clear=VENV.exists()).create(VENV)
        except (subprocess.CalledProcessError, OSError) as error:
            shutil.rmtree(VENV, ignore_errors=True)
            return _fail(
                f"The virtual environment could not be created ({error}). On Debian and Ubuntu the package "
                f"is missing: `apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv`."
            )
    try:
        _pip("install", "--quiet", "--require-hashes", "-r", str(PROJECT / "tools" / "uv.txt"))
        _install(files[-1])
    except subprocess.CalledProcessError as error:
        return _fail(
            f"The packages could not be installed (exit code {error.returncode}, see above). Check the "
            "network and, if you use a mirror, `pip config list`; then run the same command again."
        )
    _make_importable()
    print(f"... done in {time.monotonic() - began:.0f} s", flush=True)
    STAMP.write_text("\n".join(_fingerprint(files[:n]) for n in range(1, len(files) + 1)) + "\n")
    return 0


def _usable() -> bool:
    """A virtual environment whose Python starts and has pip; a moved or half-made one is made anew."""
    if not PYTHON.exists():
        return False
    probe = subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, check=False)
    return probe.returncode == 0


def _install(requirements: Path) -> None:
    system = ssl.get_default_verify_paths()
    known = bool(system.cafile or system.capath)
    subprocess.run(
        # Without --quiet it lists two hundred packages when it has finished; errors are still shown.
        [VENV / "bin" / "uv", "pip", "install", "--quiet", "--python", PYTHON,
         "--require-hashes", "--compile-bytecode", "-r", requirements],
        check=True, env=installer_environment(os.environ, _pip_setting, system_certificates=known),
    )  # fmt: skip


def installer_environment(
    environ: Mapping[str, str], pip_setting: Callable[[str], str], *, system_certificates: bool
) -> dict[str, str]:
    """uv does not read pip's configuration: hand it the user's mirror and certificates. What the caller set
    for uv goes before it."""
    chosen = {
        "UV_DEFAULT_INDEX": environ.get("PIP_INDEX_URL") or pip_setting("global.index-url"),
        "SSL_CERT_FILE": environ.get("PIP_CERT") or pip_setting("global.cert"),
        "UV_HTTP_TIMEOUT": "120",
        # A company's own certificate authority is known to the system and not to uv's bundled list.
        "UV_SYSTEM_CERTS": "true" if system_certificates else "",
    }
    return {name: value for name, value in chosen.items() if value} | dict(environ)


def _pip_setting(option: str) -> str:
    found = subprocess.run(
        [PYTHON, "-m", "pip", "config", "get", option], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def _pip(*arguments: str) -> None:
    subprocess.run([PYTHON, "-m", "pip", "--disable-pip-version-check", *arguments], check=True)


def _make_importable() -> None:
    """`import tidewatch` and the command `tidewatch`, from this checkout: an edit is live at once."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = VENV / "lib" / version / "site-packages"
    (site / "tidewatch.pth").write_text(path_line(PROJECT / "include"), encoding="ascii")
    command = VENV / "bin" / "tidewatch"
    command.write_bytes(command_file(PYTHON))
    command.chmod(0o755)


def path_line(folder: Path) -> str:
    """The line of a .pth file. Python reads such a file in the encoding of the locale: with LC_ALL=C a path
    in Chinese, written as it is, keeps Python from starting at all."""
    text = str(folder)
    return f"{text}\n" if text.isascii() else f"import sys; sys.path.append({text!a})\n"


def command_file(python: Path) -> bytes:
    """The command `tidewatch`. A `#!` line ends at a blank and knows no quotes, so a shell starts Python."""
    shell = f"#!/bin/sh\n'''exec' {shlex.quote(str(python))} \"$0\" \"$@\"\n' '''\n"
    return os.fsencode(shell + "import sys\nfrom tidewatch.cli import main\nsys.exit(main())\n")


def _fingerprint(files: list[Path]) -> str:
    digest = hashlib.sha256(f"{sys.version_info[:2]} {PROJECT}".encode())
    for file in [PROJECT / "tools" / "uv.txt", *files]:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
