"""Run the tests: what needs no scheduler in parallel, and beside it the end-to-end runs on one stack, which
wait for their scheduler half of the time. What those say is shown once the others have ended.

`--fast` leaves the end-to-end runs out. Further arguments go to pytest, e.g. `-k ledger`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
NO_TESTS = 5  # pytest's exit code when a selection is empty
BROKEN_STACK = "--maxfail=2"
"""A scheduler that does nothing costs every test its whole patience: two of them say enough."""
E2E = "tests/e2e"
"""Reading all the others to leave them out takes longer than starting the stack; tests/conftest.py sees to it
that these are all."""


def main() -> int:
    arguments = [a for a in sys.argv[1:] if a != "--fast"]
    workers = str(max(2, min(8, os.cpu_count() or 2)))
    parallel = ["-m", "not e2e", "-n", workers, "--dist", "worksteal", *arguments]
    if "--fast" in sys.argv[1:]:
        codes = [_ended(_start(*parallel))]
    else:
        with tempfile.NamedTemporaryFile() as said:
            where = [] if any(map(_names_a_place, arguments)) else [E2E]
            through_airflow = _start(
                "-m", "e2e", "-v", BROKEN_STACK, *arguments, *where, output=said.fileno()
            )
            codes = [_ended(_start(*parallel))]
            print("\nThe end-to-end runs:", flush=True)
            codes.append(_followed(through_airflow, Path(said.name)))
    ran = [code for code in codes if code != NO_TESTS]
    if not ran:
        print("No test was selected", file=sys.stderr)
        return NO_TESTS
    return max(ran, key=abs)


def _names_a_place(argument: str) -> bool:
    """Whether it is a file, directory or test rather than an option or its value."""
    return (PROJECT / argument.split("::")[0]).exists() and not argument.startswith("-")


def _start(*arguments: str, output: int | None = None) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "GX_ANALYTICS_ENABLED": "false"}
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=output, stderr=output and subprocess.STDOUT
    )


def _ended(process: "subprocess.Popen[bytes]") -> int:
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # pytest got it too, and takes its servers down
            print("Interrupted: the tests are ending what they started ...", flush=True)


def _followed(process: "subprocess.Popen[bytes]", said: Path) -> int:
    """The exit code; what it has said and goes on saying is shown."""
    with said.open("rb") as stream:
        while True:
            running = process.poll() is None
            while data := stream.read(65536):
                sys.stdout.buffer.write(data)
                sys.stdout.flush()
            if not running:
                return process.returncode
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                continue
            except KeyboardInterrupt:
                print("Interrupted: the tests are ending what they started ...", flush=True)


if __name__ == "__main__":
    sys.exit(main())
