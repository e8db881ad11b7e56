"""The page of the benchmarks tells what the kept results say."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_the_page_on_benchmarks_is_written_from_the_kept_results() -> None:
    command = [sys.executable, str(PROJECT / "benchmarks" / "report.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "the page and the results differ; run benchmarks/report.py " + done.stderr
