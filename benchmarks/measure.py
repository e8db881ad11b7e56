"""Clocks: wall time, CPU by whose it is, peak memory of a process and its children."""

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    output: str = ""
    detail: Json = field(default_factory=dict)

    def as_json(self) -> Json:
        return {
            "seconds": round(self.seconds, 3),
            "cpu": round(self.cpu, 2),
            "peak_bytes": self.peak_bytes,
            "postgres_cpu": round(self.postgres_cpu, 2),
            "endpoint_cpu": round(self.endpoint_cpu, 2),
            **self.detail,
        }


def run(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> Taken:
    """Run a program to its end. Raises Failed with the end of what it wrote to stderr."""
    arguments = [str(c) for c in command]
    began = time.monotonic()
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )
    sampler = _Sampler(process.pid)
    sampler.start()
    said: list[str] = []
    assert process.stderr is not None and process.stdout is not None
    listener = threading.Thread(target=lambda: said.append(process.stderr.read()), daemon=True)  # type: ignore[union-attr]
    listener.start()
    output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    sampler.done.set()
    listener.join()
    if process.returncode != 0:
        raise Failed(f"{arguments[0]} ended with {process.returncode}: {''.join(said)[-1500:]}")
    return Taken(seconds, used.ru_utime + used.ru_stime, sampler.peak, output=output)


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


def cpu_of(pid: int) -> float:
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


@dataclass(frozen=True)
class Servers:
    """Whose CPU is told apart from the client's."""

    postgres: Sequence[int]
    endpoints: Sequence[int]

    @contextmanager
    def watched(self, taken: Taken) -> Iterator[None]:
        """Add to `taken` what the servers spend meanwhile."""
        before = self._sums()
        yield
        after = self._sums()
        taken.postgres_cpu += after[0] - before[0]
        taken.endpoint_cpu += after[1] - before[1]

    def _sums(self) -> tuple[float, float]:
        return sum(map(cpu_of, self.postgres)), sum(map(cpu_of, self.endpoints))


def summary(runs: Sequence[Json]) -> Json:
    """Median of every number, with the shortest and the longest time."""
    numbers = [key for key, value in runs[0].items() if isinstance(value, int | float)]
    middle = {key: statistics.median(run[key] for run in runs) for key in numbers}
    seconds = [run["seconds"] for run in runs]
    return middle | {"runs": len(runs), "shortest": min(seconds), "longest": max(seconds)}
