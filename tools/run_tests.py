"""Run the tests: first everything that needs no scheduler, in parallel; then the end-to-end runs, one
stack at a time, because a scheduler and three regions fill two cores.

`--fast` leaves the end-to-end runs out. Further arguments go to pytest, e.g. `-k ledger`.
"""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
NO_TESTS = 5  # pytest's exit code when a selection is empty


def main() -> int:
    arguments = [a for a in sys.argv[1:] if a != "--fast"]
    fast = "--fast" in sys.argv[1:]
    workers = str(max(2, min(8, os.cpu_count() or 2)))
    codes = [_pytest("-m", "not e2e", "-n", workers, "--dist", "worksteal", *arguments)]
    if not fast:
        codes.append(_pytest("-m", "e2e", *arguments))
    ran = [code for code in codes if code != NO_TESTS]
    if not ran:
        print("No test was selected", file=sys.stderr)
        return NO_TESTS
    return max(ran)


def _pytest(*arguments: str) -> int:
    environment = {**os.environ, "GX_ANALYTICS_ENABLED": "false"}
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, cwd=PROJECT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
