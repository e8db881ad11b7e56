"""Files back as directories and buckets: part of them, beside what is there, never outside of the target."""

import os
import secrets
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drill_rig import Shop
from plain_restore import look
from restore_desk import context, forked, newest

from tidewatch.core.errors import Busy, ConfigError, NotFound, TidewatchError
from tidewatch.core.files import directory_lock
from tidewatch.core.objectstore import ObjectStore
from tidewatch.restore import bucket
from tidewatch.restore.choose import Chosen
from tidewatch.restore.context import RestoreContext
from tidewatch.restore.fetch import Fetched, fetch
from tidewatch.restore.files import unpack, unseal
from tidewatch.vault.manifest import FileEntry


@pytest.fixture
def ctx(shop: Shop) -> RestoreContext:
    return context(shop.rig)


@pytest.fixture
def chosen(ctx: RestoreContext) -> Chosen:
    return newest(ctx, "pictures")


@pytest.fixture
def fetched(ctx: RestoreContext, chosen: Chosen, tmp_path: Path) -> Fetched:
    return fetch(ctx, chosen, tmp_path / "fetched")


def with_files(chosen: Chosen, *files: FileEntry) -> Chosen:
    return replace(chosen, manifest=chosen.manifest.model_copy(update={"files": list(files)}))


def test_one_file_or_directory_comes_with_the_directories_that_lead_to_it(
    shop: Shop, ctx: RestoreContext, chosen: Chosen, fetched: Fetched, tmp_path: Path
) -> None:
    whole = look(shop.rig.home / "pictures")
    unpack(ctx, chosen, fetched, tmp_path / "one", prefixes=["2026/春.txt"])
    spring = "2026/春.txt".encode()
    assert look(tmp_path / "one") == {path: whole[path] for path in (b"2026", spring)}
    unpack(ctx, chosen, fetched, tmp_path / "some", prefixes=["2026/", "empty"])
    below = {p: f for p, f in whole.items() if p.startswith(b"2026") or p == b"empty"}
    assert look(tmp_path / "some") == below
    with pytest.raises(NotFound, match="has nothing at 2026/spring"):
        unpack(ctx, chosen, fetched, tmp_path / "none", prefixes=["2026/b.bin", "2026/spring"])
    assert not (tmp_path / "none").exists()


def test_a_hard_link_without_its_first_name_becomes_a_file(
    ctx: RestoreContext, chosen: Chosen, fetched: Fetched, tmp_path: Path
) -> None:
    [first] = [f for f in chosen.manifest.files or [] if f.path == "2026/b.bin"]
    link = replace(first, path="other/link", type="hardlink", link_target=first.path)
    linked = with_files(chosen, first, link)
    unpack(ctx, linked, fetched, tmp_path / "both")
    both = [tmp_path / "both" / name for name in (first.path, link.path)]
    assert both[0].samefile(both[1])
    unpack(ctx, linked, fetched, tmp_path / "one", prefixes=["other"])
    assert (tmp_path / "one" / "other" / "link").read_bytes() == both[0].read_bytes()
    assert not (tmp_path / "one" / "2026").exists()


def test_nothing_is_written_outside_of_the_target(
    ctx: RestoreContext, chosen: Chosen, fetched: Fetched, tmp_path: Path
) -> None:
    """A signed manifest may still come from a source that somebody prepared."""
    outside = tmp_path / "outside"
    outside.mkdir()
    [content] = [f for f in chosen.manifest.files or [] if f.path == "2026/b.bin"]
    link = replace(content, path="way", type="symlink", link_target=str(outside), sha256=None, object=None)
    through = replace(content, path="way/in")
    for files in ((link, through), (through, link)):
        with pytest.raises(TidewatchError):
            unpack(ctx, with_files(chosen, *files), fetched, tmp_path / "target")
        assert list(outside.iterdir()) == [] and not (tmp_path / "target").exists()
        assert not (tmp_path / ".target.restoring").exists()


def test_a_directory_with_something_in_it_is_left_alone_and_an_empty_one_is_taken(
    ctx: RestoreContext, chosen: Chosen, fetched: Fetched, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "mine").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty"):
        unpack(ctx, chosen, fetched, target)
    assert look(target).keys() == {b"mine"}
    (target / "mine").unlink()
    unpack(ctx, chosen, fetched, target)
    assert b"2026/b.bin" in look(target)
    (tmp_path / "file").write_text("a file")
    with pytest.raises(ConfigError, match="cannot be restored to"):
        unpack(ctx, chosen, fetched, tmp_path / "file")
    with pytest.raises(ConfigError):
        unpack(ctx, chosen, fetched, tmp_path / "file" / "below")


def test_killed_while_unpacking_there_is_no_half_directory_and_the_next_run_completes_it(
    shop: Shop, ctx: RestoreContext, chosen: Chosen, fetched: Fetched, tmp_path: Path
) -> None:
    target = tmp_path / "target"

    def killed() -> None:
        real: Any = os.utime

        def utime(*given: Any, **more: Any) -> None:
            real(*given, **more)
            os.kill(os.getpid(), signal.SIGKILL)

        os.utime = utime
        unpack(ctx, chosen, fetched, target)

    assert os.WTERMSIG(forked(killed)) == signal.SIGKILL
    assert not target.exists()
    unpack(ctx, chosen, fetched, target)
    assert look(target) == look(shop.rig.home / "pictures")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".target")] == []


def test_of_a_database_a_directory_gets_what_stock_tools_take(ctx: RestoreContext, tmp_path: Path) -> None:
    chosen = newest(ctx, "shop")
    got = unseal(ctx, chosen, fetch(ctx, chosen, tmp_path / "work"), tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["dump.pgc", "roles.sql"]
    assert (tmp_path / "out" / "dump.pgc").read_bytes()[:5] == b"PGDMP"
    assert got.bytes == sum(o.plain_size for o in chosen.manifest.objects)


@pytest.fixture
def store(shop: Shop) -> ObjectStore:
    return shop.rig.regions[2].store


def test_a_bucket_gets_the_contents_and_a_second_run_finds_them_there(
    shop: Shop, ctx: RestoreContext, chosen: Chosen, fetched: Fetched, tmp_path: Path, store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(bucket, "_PART", 5 << 20)
    prefix = f"again-{secrets.token_hex(4)}"
    tree = tmp_path / "tree"
    unpack(ctx, chosen, fetched, tree)
    (tree / "film").write_bytes(os.urandom(1 << 20) * 6)
    (tree / "empty").chmod(0)
    names = {b"2026/b.bin", "2026/春.txt".encode(), b"empty", b"film"}
    bucket.require_free(store, prefix, names)
    count, _ = bucket.upload(store, prefix, tree, shop.said.append)
    assert count == 4
    assert {x.key for x in store.list(prefix)} == {f"{prefix}/{n.decode()}" for n in names}
    assert store.read(f"{prefix}/film") == (tree / "film").read_bytes()
    versions = len(list(store.list_versions(prefix)))
    bucket.require_free(store, prefix, names)
    bucket.upload(store, prefix, tree, shop.said.append)
    assert len(list(store.list_versions(prefix))) == versions, "what is there already is left"
    (tree / "film").write_bytes(b"other")
    with pytest.raises(TidewatchError):
        bucket.upload(store, prefix, tree, shop.said.append)
    store.put(f"{prefix}/stranger", b"x")
    with pytest.raises(ConfigError, match="is not empty"):
        bucket.require_free(store, prefix, names)
    with pytest.raises(ConfigError, match="cannot be the key"):
        bucket.require_free(store, prefix + "-2", {b"\xff"})


def test_two_restores_to_one_directory_do_not_touch_each_other(
    ctx: RestoreContext, chosen: Chosen, fetched: Fetched, tmp_path: Path
) -> None:
    beside = tmp_path / ".target.restoring"
    beside.mkdir()
    (beside / "half").write_text("of the other one")
    with directory_lock(beside), pytest.raises(Busy, match="is being restored to"):
        unpack(ctx, chosen, fetched, tmp_path / "target")
    assert (beside / "half").read_text() == "of the other one"
    unpack(ctx, chosen, fetched, tmp_path / "target")
    assert not beside.exists() and not (tmp_path / "target" / "half").exists()


def test_a_link_that_lies_where_the_tree_is_built_is_not_followed(
    ctx: RestoreContext, chosen: Chosen, fetched: Fetched, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("mine")
    (tmp_path / ".target.restoring").symlink_to(outside)
    unpack(ctx, chosen, fetched, tmp_path / "target")
    assert (outside / "mine").read_text() == "mine" and not (tmp_path / "target").is_symlink()
