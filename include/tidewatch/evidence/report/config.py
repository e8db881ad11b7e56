"""What users set about the report: config/report.yaml and config/controls.yaml."""

from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from tidewatch.core.config import Strict


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("a time zone such as Asia/Shanghai or UTC") from None
    return name


class ReportFile(Strict):
    """config/report.yaml."""

    timezone: Annotated[str, AfterValidator(_known_zone)] = "Asia/Shanghai"
    """Whose midnights days and months begin at."""
    copy_to_regions: bool = False
    """Whether each version is also written, once and locked, into every region."""
    reports_lock_days: int = Field(400, ge=1, le=36_500)
    """For how long those copies are locked, counted from when they are made."""


class Control(Strict):
    """One control of somebody's catalogue, and what in the report speaks about it."""

    id: str = Field(min_length=1, max_length=40)
    name_zh: str = Field(min_length=1, max_length=200)
    name_en: str = Field(min_length=1, max_length=200)
    sections: list[str] = Field(min_length=1)
    """Of the report: `view.SECTIONS`."""
    why_zh: str = Field("", max_length=600)
    why_en: str = Field("", max_length=600)


class Framework(Strict):
    """A catalogue of controls."""

    name_zh: str = Field(min_length=1, max_length=200)
    name_en: str = Field(min_length=1, max_length=200)
    controls: list[Control] = Field(min_length=1)


class ControlsFile(Strict):
    """config/controls.yaml."""

    frameworks: list[Framework]


def zone_of(name: str) -> ZoneInfo:
    """The zone that `ReportFile` has checked."""
    return ZoneInfo(name)


def local(moment: datetime, zone: str) -> datetime:
    """`moment` by the clock of `zone`."""
    return moment.astimezone(zone_of(zone))
