"""A restore from plan to record: what is there meanwhile, what is recorded, where it may not go."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drill_rig import Shop
from plain_restore import look
from restore_desk import forked

from tidewatch.core.database import execute
from tidewatch.core.errors import ConfigError
from tidewatch.restore import files
from tidewatch.restore.context import RestoreContext
from tidewatch.restore.plan import Request, make_plan
from tidewatch.restore.run import restore


@pytest.fixture
def ctx(shop: Shop, tmp_path: Path) -> RestoreContext:
    """Restores that may write, and overwrite, below `tmp_path`."""
    place = f"'directory:{tmp_path}/*'"
    (tmp_path / "restore.yaml").write_text(f"scratch: [{place}]\noverwrite: ['directory:{tmp_path}/old*']\n")
    settings = shop.rig.settings.model_copy(update={"config_dir": tmp_path, "home": tmp_path / "home"})
    return replace(shop.ctx, settings=settings)


def asked(target: Path, **more: Any) -> Request:
    return Request("pictures", f"directory:{target}", confirm=target.name, by="li.na", **more)


def body_of(ctx: RestoreContext, seq: int | None) -> dict[str, Any]:
    with ctx.connect() as conn:
        row = execute(conn, "console/record", {"seq": seq}).fetchone()
    assert row is not None
    body: dict[str, Any] = json.loads(row["entry"])["body"]
    return body


def test_what_is_overwritten_is_there_until_the_new_tree_is_complete(
    shop: Shop, ctx: RestoreContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "old"
    target.mkdir()
    (target / "mine").write_text("mine")

    def killed() -> None:
        files._Tree.make = lambda self: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
        restore(ctx, make_plan(ctx, asked(target)))

    assert os.WTERMSIG(forked(killed)) == signal.SIGKILL
    assert look(target).keys() == {b"mine"}
    done = restore(ctx, make_plan(ctx, asked(target)))
    assert look(target) == look(shop.rig.home / "pictures")
    [kept] = tmp_path.glob("old.before-*")
    assert look(kept).keys() == {b"mine"}
    assert done.remarks[-1] == f"what was {target} before is now {kept}"
    (tmp_path / "old_file").write_text("mine")
    with pytest.raises(ConfigError, match="cannot be restored to"):
        restore(ctx, make_plan(ctx, asked(tmp_path / "old_file")))
    assert (tmp_path / "old_file").read_text() == "mine"


def test_a_restore_is_recorded_however_long_or_odd_the_names_are(ctx: RestoreContext, tmp_path: Path) -> None:
    target = tmp_path.joinpath(*["d" * 100] * 5)
    done = restore(ctx, make_plan(ctx, asked(target)))
    shown = body_of(ctx, done.recorded)["target"]
    assert len(shown) == 400 and shown.startswith(f"directory:{tmp_path}") and shown.endswith("…")
    # A name that is no UTF-8, as a command line gives it.
    plan = make_plan(ctx, asked(tmp_path / "odd", paths=("2026/b.bin",)))
    [content] = [f for f in plan.chosen.manifest.files or [] if f.path == "2026/b.bin"]
    odd = replace(content, path="%FF", path_encoded=True)
    manifest = plan.chosen.manifest.model_copy(update={"files": [odd]})
    chosen = replace(plan.chosen, manifest=manifest)
    name = os.fsdecode(b"\xff")
    done = restore(ctx, replace(plan, chosen=chosen, request=replace(plan.request, paths=(name,))))
    assert body_of(ctx, done.recorded)["paths"] == ["%FF"] and (tmp_path / "odd" / name).is_file()


def test_a_target_from_where_others_remove_what_they_find_is_refused(
    ctx: RestoreContext, tmp_path: Path
) -> None:
    home = ctx.settings.home
    for place in (home / "scratch" / "mine", home / "scratch", home / "restore" / "mine" / "below"):
        with pytest.raises(ConfigError, match=r"would not last.*restored"):
            make_plan(ctx, asked(place))
    assert make_plan(ctx, asked(home / "restored" / "mine")).entries > 0
