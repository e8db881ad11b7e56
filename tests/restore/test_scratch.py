"""Scratch servers: of the right version, private, and gone afterwards even when their process was killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from tidewatch.core.errors import Busy, ToolMissing
from tidewatch.core.settings import Settings
from tidewatch.restore.scratch import (
    end_leftovers,
    find_server,
    scratch_directory,
    scratch_server,
)

MAJOR = 18


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "state")


def ended(pid: int) -> bool:
    """Whether the process runs no more; whoever adopted it need not have buried it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_server_is_of_the_version_asked_for_listens_to_this_machine_and_goes(settings: Settings) -> None:
    with scratch_directory(settings, "one") as place, scratch_server(settings, place, MAJOR) as scratch:
        with psycopg.connect(scratch.server.dsn()) as conn:
            assert conn.info.server_version // 10000 == MAJOR
            row = conn.execute(
                "select current_setting('listen_addresses'), current_setting('unix_socket_directories')"
            ).fetchone()
        assert row == ("127.0.0.1", "")
        daemon = scratch.server.daemon
        assert daemon is not None and psutil.Process(daemon.pid).uids().real != 0
        data = scratch.server.data
    assert ended(daemon.pid) and not data.exists() and not place.exists()


KILLED = """
import os, sys
from pathlib import Path
from tidewatch.core.settings import Settings
from tidewatch.restore.scratch import scratch_directory, scratch_server
settings = Settings(home=Path(sys.argv[1]))
with scratch_directory(settings, "dies") as place, scratch_server(settings, place, 18) as scratch:
    (scratch.work / "dump.pgc").write_text("what was decrypted")
    print(scratch.server.daemon.pid, scratch.server.data, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_test_left_is_ended_by_the_next_run_and_what_lives_is_left_alone(
    settings: Settings,
) -> None:
    running = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(settings.home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    pid, data = running.stdout.readline().split(maxsplit=1)
    assert end_leftovers(settings) == [], "its process lives"
    with pytest.raises(Busy), scratch_directory(settings, "dies"):
        pass
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    assert not ended(int(pid)), "the server leads a session of its own and outlives its starter"
    assert end_leftovers(settings) == ["dies"]
    assert ended(int(pid)) and not Path(data.strip()).exists()
    assert list((settings.home / "scratch").iterdir()) == []
    assert end_leftovers(settings) == []


def test_a_version_that_is_not_installed_is_said_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing) as missing:
        find_server(tmp_path, 12)
    assert "version 12" in missing.value.what and "18 in " in missing.value.found
