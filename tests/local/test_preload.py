"""The scheduler imports libraries for its tasks; nothing else does, and no code of our own is kept by it."""

import subprocess
import sys

import pytest

from tidewatch.local.preload import LIBRARIES, SETTINGS

ASKED = """
import threading
ours = [m for m in sys.modules if m.startswith("tidewatch.") and not m.startswith("tidewatch.local")]
print(set(%r) <= set(sys.modules), ours, threading.active_count(), __all__)
"""


@pytest.mark.parametrize(("command", "loaded"), [("scheduler", True), ("api-server", False)])
def test_what_tasks_need_is_loaded_in_the_scheduler_alone_and_starts_no_thread(
    command: str, loaded: bool
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SETTINGS + ASKED % (LIBRARIES,), command],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == f"{loaded} [] 1 []", done.stdout
