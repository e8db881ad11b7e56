"""A mail server that delivers to nobody: messages land in a Maildir folder, where people and tests read them.

`python -m tidewatch.local.smtp --maildir DIR --port N` on 127.0.0.1; `LocalMail` is the handle.
"""

import argparse
import json
import mailbox
import signal
import sys
import threading
from email.message import Message
from pathlib import Path

from tidewatch.core import processes
from tidewatch.core.files import write_private
from tidewatch.core.processes import Daemon, StackError


class LocalMail:
    """The catcher with its home directory. Safe to construct for one that already runs."""

    def __init__(self, home: Path, port: int | None = None) -> None:
        self.home = home.resolve()
        self.maildir = self.home / "Maildir"
        self.log = self.home / "smtp.log"
        self._state_file = self.home / "smtp.json"
        self.daemon: Daemon | None = None
        self.port = port
        try:
            state = json.loads(self._state_file.read_text(encoding="utf-8"))
            self.daemon = Daemon.from_json(state["daemon"]) if state.get("daemon") else None
            self.port = port or state.get("port")
        except (FileNotFoundError, ValueError):
            pass  # never started: `start` writes it

    def running(self) -> bool:
        return self.daemon is not None and processes.alive(self.daemon)

    def start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.running():
            return
        processes.stop_strays(self.home)
        for last in (False, False, True):  # the free port can be taken between our look and the server's bind
            self.port = processes.free_port(self.port)
            try:
                return self._launch()
            except StackError:
                if last or "ddress already in use" not in processes.tail(self.log):
                    raise
                self.port = None

    def stop(self) -> None:
        if self.daemon is not None:
            processes.stop(self.daemon)
        processes.stop_strays(self.home)
        self.daemon = None
        self._write_state()

    def messages(self) -> list[Message]:
        """All mail received so far, oldest first."""
        if not self.maildir.exists():
            return []
        box = mailbox.Maildir(self.maildir, create=False)
        return [box[key] for key in sorted(box.keys())]

    def _launch(self) -> None:
        command = [
            sys.executable,
            "-m",
            "tidewatch.local.smtp",
            "--maildir",
            str(self.maildir),
            "--port",
            str(self.port),
        ]
        daemon = self.daemon = processes.spawn("mail", command, log=self.log, part=self.home, cwd=self.home)
        self._write_state()
        port = self.port or 0
        processes.wait_for(
            "The mail catcher",
            lambda: processes.alive(daemon) and processes.port_open(port),
            seconds=90.0,
            log=self.log,
            still=lambda: processes.alive(daemon),
        )

    def _write_state(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        daemon = self.daemon.to_json() if self.daemon else None
        write_private(self._state_file, json.dumps({"port": self.port, "daemon": daemon}))


def main() -> None:
    """Catch mail in this process until it is told to stop."""
    from aiosmtpd.controller import Controller
    from aiosmtpd.handlers import Mailbox

    parser = argparse.ArgumentParser(
        description="An SMTP server on 127.0.0.1 that files every message in a Maildir."
    )
    parser.add_argument("--maildir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    over = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: over.set())
    controller = Controller(Mailbox(str(arguments.maildir)), hostname="127.0.0.1", port=arguments.port)
    controller.start()
    over.wait()
    controller.stop()


if __name__ == "__main__":
    main()
