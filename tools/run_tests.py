"""Run the tests: what needs no scheduler in parallel, and beside it the end-to-end runs on one stack, which
wait for their scheduler half of the time. What those said is shown when all have ended.

`--fast` leaves the end-to-end runs out. Further arguments go to pytest, e.g. `-k ledger`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

PROJECT = Path(__file__).resolve().parents[1]
NO_TESTS = 5  # pytest's exit code when a selection is empty


def main() -> int:
    arguments = [a for a in sys.argv[1:] if a != "--fast"]
    workers = str(max(2, min(8, os.cpu_count() or 2)))
    parallel = ["-m", "not e2e", "-n", workers, "--dist", "worksteal", *arguments]
    with tempfile.TemporaryFile() as said:
        through_airflow = None if "--fast" in sys.argv[1:] else _start("-m", "e2e", *arguments, output=said)
        codes = [_ended(_start(*parallel))]
        if through_airflow is not None:
            print("Waiting for the end-to-end runs ...", flush=True)
            codes.append(_ended(through_airflow))
            said.seek(0)
            sys.stdout.buffer.write(said.read())
            sys.stdout.flush()
    ran = [code for code in codes if code != NO_TESTS]
    if not ran:
        print("No test was selected", file=sys.stderr)
        return NO_TESTS
    return max(ran, key=abs)


def _start(*arguments: str, output: IO[bytes] | None = None) -> "subprocess.Popen[bytes]":
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


if __name__ == "__main__":
    sys.exit(main())
