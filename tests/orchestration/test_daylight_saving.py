"""A daily schedule in a zone that changes its clocks: every day has its one backup, none is doubled or lost.

The Dags here run on Asia/Shanghai, which has no daylight saving; whoever sets another zone gets this.
"""

from itertools import pairwise

import pendulum
import pytest
from airflow.timetables.base import DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable

ZONE = "Europe/Berlin"


@pytest.mark.parametrize("hour", [2, 3])
@pytest.mark.parametrize("start", ["2027-03-26", "2027-10-29", "2028-02-27", "2027-12-30"])
def test_every_day_is_covered_once_also_when_an_hour_is_missing_or_comes_twice(start: str, hour: int) -> None:
    timetable = CronDataIntervalTimetable(f"0 {hour} * * *", timezone=ZONE)
    since = TimeRestriction(pendulum.parse(start, tz=ZONE), None, catchup=True)  # type: ignore[arg-type]
    intervals: list[DataInterval] = []
    for _ in range(5):
        info = timetable.next_dagrun_info(
            last_automated_data_interval=intervals[-1] if intervals else None, restriction=since
        )
        assert info is not None
        intervals.append(info.data_interval)
    days = [i.end.in_timezone(ZONE).date() for i in intervals]
    assert [b - a for a, b in pairwise(days)] == [pendulum.duration(days=1)] * 4, "one run a local day"
    assert all(a.end == b.start for a, b in pairwise(intervals)), "no hour is left out, none counts twice"
    assert len({(i.start, i.end) for i in intervals}) == 5
