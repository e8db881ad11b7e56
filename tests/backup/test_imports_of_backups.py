"""What a task loads decides what it weighs: the heavy libraries belong to the gate alone."""

import subprocess
import sys


def test_staging_and_committing_load_neither_pandas_nor_great_expectations() -> None:
    program = "import sys, tidewatch.backup.run as r; assert r.stage and r.commit; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    ).stdout.split()
    assert not {"pandas", "great_expectations", "boto3"} & set(loaded)
