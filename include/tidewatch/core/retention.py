"""Retention: for how long backups are kept. `config/retention.yaml` is read here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from tidewatch.core.config import Strict

Generation = Literal["daily", "weekly", "monthly", "yearly"]
GENERATIONS: tuple[Generation, ...] = get_args(Generation)
_CENTURY: Mapping[str, int] = {"daily": 36_500, "weekly": 5_200, "monthly": 1_200, "yearly": 100}


class Days(Strict):
    """So many days, counted from the local day of the snapshot."""

    days: int = Field(ge=1, le=36_500)


Count = Annotated[int, Field(ge=0, le=36_500)]
Keep = Count | Days
"""The newest so many periods that have a backup (0: none), or so many days."""


class _Rules(Strict):
    """What may be said for all sources and for one."""

    daily: Keep | None = None
    weekly: Keep | None = None
    monthly: Keep | None = None
    yearly: Keep | None = None
    suspect_days: int | None = Field(None, ge=1, le=36_500)
    """How long a backup that the gate refused is kept while nobody accepts it."""
    timezone: str | None = None
    """In which days, ISO weeks, months and years begin."""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"a time zone such as Asia/Shanghai, Europe/Berlin or UTC, not {value!r}"
            ) from None
        return value

    @model_validator(mode="after")
    def _no_longer_than_a_century(self) -> "_Rules":
        for generation in GENERATIONS:
            keep = getattr(self, generation)
            if isinstance(keep, int) and keep > _CENTURY[generation]:
                raise ValueError(f"{generation}: at most {_CENTURY[generation]}, a hundred years")
        return self


class RetentionFile(Strict):
    """config/retention.yaml."""

    default: _Rules
    """For every source; what a source does not say for itself stands here."""
    sources: dict[str, _Rules] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _something_is_kept(self) -> "RetentionFile":
        for name in ("", *self.sources):
            if not any(keep != 0 for keep in self.policy(name).keep.values()):
                where = f"sources.{name}" if name else "default"
                raise ValueError(f"{where}: at least one generation; only the last good backup would be kept")
        return self

    def policy(self, source: str) -> "RetentionPolicy":
        """What holds for one source, also for one that the file does not name."""
        own = self.sources.get(source, _Rules())

        def said(name: str, otherwise: object) -> object:
            for rules in (own, self.default):
                if (value := getattr(rules, name)) is not None:
                    return value
            return otherwise

        keep = {g: said(g, 0) for g in GENERATIONS}
        return RetentionPolicy(
            timezone=str(said("timezone", "Asia/Shanghai")),
            keep={g: k for g, k in keep.items() if isinstance(k, int | Days)},
            suspect=timedelta(days=int(str(said("suspect_days", 90)))),
        )


@dataclass(frozen=True)
class RetentionPolicy:
    """The rules of one source."""

    timezone: str
    keep: Mapping[Generation, int | Days]
    suspect: timedelta

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def __str__(self) -> str:
        """One line, for people and for the ledger: `daily 35, weekly 60 d, ...; Asia/Shanghai`."""
        rules = [
            f"{g} {k.days} d" if isinstance(k, Days) else f"{g} {k}" for g, k in self.keep.items() if k != 0
        ]
        return f"{', '.join(rules)}, suspect {self.suspect.days} d; {self.timezone}"
