"""What the tests of restoring share."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "backup"))  # for runs of this directory alone

if "AIRFLOW_HOME" not in os.environ:  # made when Airflow is first imported
    _home = tempfile.mkdtemp(prefix="tidewatch-airflow-")
    atexit.register(shutil.rmtree, _home, ignore_errors=True)
    os.environ["AIRFLOW_HOME"] = _home

from drill_rig import shop

__all__ = ["shop"]
