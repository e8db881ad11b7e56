"""`tidewatch retention` and `tidewatch holds`, as somebody types them."""

import pytest
import yaml
from backup_rig import run_sql
from cli_desk import Desk

from tidewatch.cli.common import moment
from tidewatch.core.errors import ConfigError


def _policy(desk: Desk, **rules: object) -> None:
    text = yaml.safe_dump({"default": {"timezone": "UTC", **rules}})
    (desk.home / "config" / "retention.yaml").write_text(text, encoding="utf-8")


def _older(desk: Desk, backup_id: str, days: int) -> None:
    """A backup of so many days ago whose locks are over, as far as we know."""
    run_sql(
        desk.rig.warehouse,
        f"update vault.backups set snapshot_at = now() - interval '{days} days' "
        f"where backup_id = '{backup_id}'",
        f"update vault.copies set retain_until = now() - interval '1 hour' where backup_id = '{backup_id}'",
    )


def test_what_would_go_is_shown_with_its_reasons_held_and_removed_when_somebody_says_so(
    backed_up: Desk,
) -> None:
    desk, old = backed_up, backed_up.backup_id
    refused = desk("retention", "plan")
    assert refused.code == 3 and "config/retention.yaml" in refused.err
    _policy(desk, daily=1)
    new = desk.rig.back_up("media", "run-2").backup_id
    _older(desk, old, 10)
    shown = desk("retention", "plan")
    assert shown.code == 0 and "media: 1 kept, 1 to remove (daily 1, suspect 90 d; UTC)" in shown.out
    assert "REMOVE" in shown.out and "the newest good backup" in shown.out
    first, second = desk("retention", "plan", "--json").json
    assert (first["backup_id"], first["keep"]) == (old, False) and "1 newer one is there" in first["reasons"][
        0
    ]
    assert (second["backup_id"], second["keep"], second["generations"]) == (new, True, ["daily"])
    assert desk("retention", "plan", "--at", "yesterday").code == 3
    assert desk("retention", "plan", "--source", "nothing").code == 3
    dry = desk("retention", "expire")
    assert dry.code == 0 and "Nothing was removed" in dry.out and "expired" not in desk("backup", "list").out

    who = ["--holder", "Legal\x1b[31m", "--reason", "case 7", "--by", "Li Wei"]
    held = desk("holds", "place", "--source", "media", "--backup", old, *who, "--json").json
    hold_id = held["hold"]["hold_id"]
    assert held["backups"] == 1 and [r["means"] for r in held["regions"]] == ["legal_hold"] * 3
    assert desk("retention", "plan", "--no-kept", "--json").json == []
    listed = desk("holds", "list")
    assert hold_id in listed.out and "Legal\\x1b[31m" in listed.out
    assert desk("holds", "apply").code == 0
    lifted = desk("holds", "lift", hold_id, "--reason", "settled", "--by", "Li Wei")
    assert lifted.code == 0 and "is lifted" in lifted.out
    assert "no hold in force" in desk("holds", "list").out
    assert "settled" in desk("holds", "list", "--all").out

    done = desk("retention", "expire", "--source", "media", "--yes", "--json")
    assert done.code == 0 and done.json["sources"] == [
        {"source": "media", "expired": [old], "kept": 1, "left": []}
    ]
    # The stores know better than our catalogue: they lock it for a day.
    assert [(r["finished"], r["locked"]) for r in done.json["regions"]] == [(0, 1)] * 3
    assert f"{old}" in desk("backup", "list").out and "sealed, expired 20" in desk("backup", "list").out
    assert desk("backup", "show", old, "--json").json["expired_at"] is not None
    assert desk("backup", "show", "latest:media", "--json").json["backup_id"] == new
    assert desk("retention", "plan", "--json").json == [
        {**second, "locked_until": desk("retention", "plan", "--json").json[0]["locked_until"]}
    ]


@pytest.mark.parametrize(
    "text", ["2026-01-01T00:00", "0001-01-01T00:00+23:59", "9999-12-31T23:59-12:00", "x"]
)
def test_a_time_that_is_none_anywhere_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="The time cannot be read"):
        moment(text)
