"""One question of the doctor, and its answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

State = Literal["ok", "warning", "problem", "unknown"]
STATES: tuple[State, ...] = ("ok", "warning", "problem", "unknown")


@dataclass(frozen=True)
class Check:
    """`problem`: somebody must act. `unknown`: it could not be asked, because of a problem told elsewhere."""

    name: str
    """What was asked, the same for every subject: `backup`, `region`, `ledger`, ..."""
    subject: str
    """Of what: a source, a region, a file; empty where there is only one."""
    state: State
    found: str
    do: str = ""
    """The next step; empty when it is ok."""

    @property
    def title(self) -> str:
        return f"{self.name}:{self.subject}" if self.subject else self.name


@dataclass(frozen=True)
class Failure:
    """Why facts could not be had. Already without secrets."""

    found: str
    do: str


def ok(name: str, subject: str, found: str) -> Check:
    return Check(name, subject, "ok", found)


def warning(name: str, subject: str, found: str, do: str) -> Check:
    return Check(name, subject, "warning", found, do)


def problem(name: str, subject: str, found: str, do: str) -> Check:
    return Check(name, subject, "problem", found, do)


def unknown(name: str, subject: str, why: str) -> Check:
    return Check(name, subject, "unknown", f"not asked: {why}")


def without(checks: Sequence[Check], skipped: Sequence[str]) -> list[Check]:
    """The checks but those whose name or title was skipped."""
    return [c for c in checks if c.name not in skipped and c.title not in skipped]


def span(length: timedelta) -> str:
    """`3 d 4 h`, `5 h 10 min`, `12 min`, `40 s`."""
    seconds = max(int(length.total_seconds()), 0)
    days, hours, minutes = seconds // 86_400, seconds % 86_400 // 3600, seconds % 3600 // 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"
