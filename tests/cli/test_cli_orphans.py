"""`tidewatch orphans`: shows first, removes when told to."""

import contextlib

import pytest
from cli_desk import Desk

from tidewatch.backup.run import RunRef, stage
from tidewatch.core.regions import RegionsFile
from tidewatch.local.s3 import LocalRegion


class _Killed(BaseException):
    pass


@pytest.fixture
def left(backed_up: Desk) -> Desk:
    """A killed attempt, given up by the backup after it."""

    class Said(list[str]):
        def append(self, line: str) -> None:
            if "everything is sent" in line:
                raise _Killed

    rig = backed_up.rig
    (backed_up.home / "media" / "c.txt").write_bytes(b"gamma" * 500)
    rig.said = Said()
    with contextlib.suppress(_Killed):
        stage(rig.ctx, "media", RunRef(dag_id="tests", run_id="killed"))
    rig.said = []
    rig.back_up("media", "run-2")
    return backed_up


def test_removing_needs_a_yes(left: Desk) -> None:
    shown = left("orphans", "list", "--region", "cn-east")
    assert shown.code == 0 and "cn-east: 1 versions to remove" in shown.out and "cn-north" not in shown.out
    tried = left("orphans", "remove")
    assert tried.code == 0 and "Nothing was removed" in tried.out
    assert [len(r["orphans"]) for r in left("orphans", "list", "--json").json] == [1, 1, 1]
    done = left("orphans", "remove", "--yes", "--json")
    assert done.code == 0 and [r["keys"] for r in done.json] == [1, 1, 1]
    assert left.rig.kinds().count("orphans.removed") == 3
    again = left("orphans", "remove", "--region", "cn-east", "--yes")
    assert again.code == 0 and "cn-east: 0 versions removed" in again.out


def test_what_is_in_question_is_named_and_kept(left: Desk, region_servers: list[LocalRegion]) -> None:
    left.rig.regions[0].store.put("tidewatch/readme.txt", b"x")
    strange = left("orphans", "list", "--region", "cn-east")
    assert strange.code == 1 and "not ours, left alone: tidewatch/readme.txt" in strange.out
    region_servers[1].stop()
    kept = left("orphans", "remove", "--region", "cn-south", "--yes")
    assert kept.code == 1 and "0 versions removed" in kept.out and "cn-north cannot be asked" in kept.out
    dead = left("orphans", "list", "--region", "cn-north")
    assert dead.code == 3 and "cn-north" in dead.err


def test_the_grace_is_configured_and_not_below_a_day() -> None:
    place = {"name": "east", "connection": "c", "bucket": "bucket", "jurisdiction": "CN"}
    file = {"policy_id": "P", "policy_version": "1", "residency": {}, "regions": [place]}
    assert RegionsFile.model_validate(file).orphan_grace_hours == 48
    with pytest.raises(ValueError, match="greater than or equal to 24"):
        RegionsFile.model_validate({**file, "orphan_grace_hours": 1})
