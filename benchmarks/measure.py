"""Clocks: wall time, CPU by whose it is, peak memory of a process and its children."""

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

SAMPLE_SECONDS = 0.1
Json = dict[str, Any]


class Failed(Exception):
    """A measured program ended badly; what it said is the message."""


@dataclass
class Taken:
    """What one run of something took."""

    seconds: float = 0.0
    cpu: float = 0.0
    """Of the client: the process and all its children."""
    peak_bytes: int = 0
    """The most that the process and its children held together, in samples 0.1 s apart."""
    postgres_cpu: float = 0.0
    endpoint_cpu: float = 0.0
    others_cores: float = 0.0
    """How many cores everybody else on the machine kept busy meanwhile: how quiet it was."""
    output: str = ""
    detail: Json = field(default_factory=dict)

    def as_json(self) -> Json:
        plain = {
            name: round(getattr(self, name), 3)
            for name in ("seconds", "cpu", "peak_bytes", "postgres_cpu", "endpoint_cpu", "others_cores")
        }
        return plain | self.detail


@dataclass(frozen=True)
class Servers:
    """Whose CPU is told apart from the client's: process ids."""

    postgres: Sequence[int] = ()
    endpoints: Sequence[int] = ()

    def cpu(self) -> tuple[float, float]:
        return sum(map(_cpu_of, self.postgres)), sum(map(_cpu_of, self.endpoints))


def run(
    command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, servers: Servers | None = None
) -> Taken:
    """Run a program to its end. Raises Failed with the end of what it wrote to stderr."""
    arguments = [str(c) for c in command]
    servers = servers or Servers()
    before, busy, began = servers.cpu(), _busy(), time.monotonic()
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | dict(env or {})
    )
    sampler = _Sampler(process.pid)
    sampler.start()
    errors = _Reader(process.stderr)
    errors.start()
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    sampler.done.set()
    errors.join()
    if process.returncode != 0:
        raise Failed(f"{arguments[0]} ended with {process.returncode}: {errors.text[-1500:]}")
    cpu = used.ru_utime + used.ru_stime
    postgres, endpoint = (now - then for now, then in zip(servers.cpu(), before, strict=True))
    others = max(0.0, _busy() - busy - cpu - postgres - endpoint) / seconds
    return Taken(seconds, cpu, sampler.peak, postgres, endpoint, others, output)


def shell(text: str, *, env: Mapping[str, str], servers: Servers) -> Taken:
    """Run a shell script that ends at its first failure."""
    return run(["/bin/bash", "-euo", "pipefail", "-c", text], env=env, servers=servers)


class _Reader(threading.Thread):
    """Takes in what a program writes, so that it never waits for us."""

    def __init__(self, stream: IO[str] | None) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self.text = ""

    def run(self) -> None:
        if self._stream is not None:
            self.text = self._stream.read()


class _Sampler(threading.Thread):
    """Resident memory of a process and its children, summed: pages that they share count for each."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.done = threading.Event()
        self.peak = 0
        self._pid = pid

    def run(self) -> None:
        while not self.done.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, sum(_resident(pid) for pid in _family(self._pid)))


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        # A child belongs to the thread that started it.
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))
    except OSError:
        return


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    except (OSError, IndexError):
        return 0


def _cpu_of(pid: int) -> float:
    """CPU seconds of a server, of its living children, and of those it has buried."""
    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        total = times.user + times.system + times.children_user + times.children_system
        for child in process.children(recursive=True):
            try:
                one = child.cpu_times()
                total += one.user + one.system
            except psutil.Error:
                continue
    except psutil.Error:
        return 0.0
    return float(total)


def _busy() -> float:
    """CPU seconds that the machine has not idled, of all cores, since it started."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def summary(runs: Sequence[Json]) -> Json:
    """Median of every number, with the shortest and the longest time."""
    numbers = [key for key, value in runs[0].items() if isinstance(value, int | float)]
    middle = {key: statistics.median(run[key] for run in runs) for key in numbers}
    seconds = [run["seconds"] for run in runs]
    return middle | {"runs": len(runs), "shortest": min(seconds), "longest": max(seconds)}
