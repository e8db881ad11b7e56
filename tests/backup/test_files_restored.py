"""Trees of every kind through the real path: backed up, fetched from a region, rebuilt with plain Python."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backup_rig import MIB, Rig
from plain_restore import look, restore
from restore_desk import context, newest

from tidewatch.backup.context import Tuning
from tidewatch.backup.run import Outcome
from tidewatch.backup.trees import DirectoryTree, Found
from tidewatch.core.errors import SourceChanged
from tidewatch.core.regions import Region
from tidewatch.restore.fetch import fetch
from tidewatch.restore.files import remove_tree, unpack
from tidewatch.vault.layout import region_key

DEEP = 1050
"""More levels than Python recurses."""


def _restored(rig: Rig, outcome: Outcome, target: Path, region: Region | None = None) -> Path:
    region = region or rig.regions[1]
    prefix = region.config.prefix
    path = rig.get(outcome.backup_id).manifest.path
    restore(
        region.store.read(region_key(prefix, path.manifest_key)),
        lambda key: region.store.read(region_key(prefix, key)),
        rig.keys.identity_file,
        target,
    )
    return target


def _enter(here: int, name: bytes) -> int:
    """Make a directory and go into it; closes where we came from."""
    os.mkdir(name, dir_fd=here)
    below = os.open(name, os.O_RDONLY, dir_fd=here)
    os.close(here)
    return below


def _bottom(root: Path, names: list[bytes], content: bytes) -> None:
    here = os.open(root, os.O_RDONLY)
    for name in names:
        here = _enter(here, name)
    with os.fdopen(os.open(b"bottom", os.O_WRONLY | os.O_CREAT, dir_fd=here), "wb") as file:
        file.write(content)
    os.close(here)


def _names(root: Path) -> None:
    names = [
        b"caf\xe9", b"\xff\xfe", b"100%", b"%41", b"new\nline", b"quote\"'`", b"back\\slash", b"-rf", b" ",
        b"tab\t", b"\x01\x1b[31m\x7f", "😀".encode(), "\u00e9".encode(), "e\u0301".encode(),
        b"Case", b"case", b"CASE", b"x" * 255, b"...", b"$HOME", b"*?[", b"a;b", b"\xc3",
    ]  # fmt: skip
    for name in names:
        folder = os.fsencode(root) + b"/" + name
        os.mkdir(folder)  # noqa: PTH102 - bytes
        with open(folder + b"/" + name, "wb") as file:  # noqa: PTH123 - bytes
            file.write(name)
        os.symlink(name, folder + b"/link")  # noqa: PTH211 - bytes


def _links(root: Path) -> None:
    (root / "one").write_bytes(b"shared")
    (root / "below").mkdir()
    os.link(root / "one", root / "below" / "three")
    os.link(root / "one", root / "a-name-before")
    (root / "twin").write_bytes(b"shared")
    for name, target in (
        ("dangling", "nowhere"), ("loop-a", "loop-b"), ("loop-b", "loop-a"), ("self", "."), ("up", "../.."),
        ("outside", "/etc/passwd"), ("directory", "below"),
    ):  # fmt: skip
        (root / name).symlink_to(target)
    os.symlink(b"\xe9", os.fsencode(root) + b"/odd target")  # noqa: PTH211 - bytes


def _sizes(root: Path) -> None:
    for size in (0, 1, 511, 512, 513, 10_240, 8 * MIB, 8 * MIB + 1):
        (root / f"{size}").write_bytes(os.urandom(1) * size)
    # Larger than a pack, with holes, and 11 MiB that do not compress: several parts.
    with (root / "film").open("wb") as film:
        film.seek(100 * MIB)
        film.write(b"island")
        film.seek(250 * MIB)
        film.write(os.urandom(11 * MIB))
        film.truncate(262 * MIB)
    with (root / "only a hole").open("wb") as hole:
        hole.truncate(50 * MIB)


def _modes(root: Path) -> None:
    for mode in (0o600, 0o444, 0o755, 0o4755, 0o2755):
        (root / f"{mode:o}").write_text(f"{mode:o}")
        (root / f"{mode:o}").chmod(mode)
    for mode in (0o1777, 0o500, 0o700):
        (root / f"d{mode:o}").mkdir()
        (root / f"d{mode:o}").chmod(mode)
    os.utime(root / "600", ns=(0, 1))
    os.utime(root / "444", ns=(0, -1_000_000_001))
    os.utime(root / "755", ns=(0, 4_102_444_800_123_456_789))


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "tree"
    for make in (_names, _links, _sizes, _modes):
        (folder := root / make.__name__).mkdir(parents=True)
        make(folder)
    (root / "empty").mkdir()
    _bottom(root, [bytes([n]) * 250 for n in range(97, 117)], b"at the end of 5,000 bytes of path")
    _bottom(root, [b"d"] * DEEP, b"at the end of a thousand directories")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(root)  # names of sockets are short
        server.bind("socket")
        os.chdir(here)
    yield root
    # Python's own rmtree recurses, and pytest's with it.
    subprocess.run(["rm", "-rf", root, tmp_path / "restored"], check=True)


def test_a_tree_of_everything_is_rebuilt_from_a_region_as_it_was(
    rig: Rig, tree: Path, tmp_path: Path
) -> None:
    before = look(tree)
    outcome = rig.back_up(rig.files_source("media", tree))
    assert outcome.verdict == "sealed"
    target = _restored(rig, outcome, tmp_path / "restored")
    after = look(target)
    assert before.keys() == after.keys()
    assert {path: (before[path], after[path]) for path in before if before[path] != after[path]} == {}
    assert max(map(len, before)) > 4096 and max(p.count(b"/") for p in before) >= DEEP
    ctx = context(rig)
    chosen = newest(ctx, "media", 1)
    unpack(ctx, chosen, fetch(ctx, chosen, tmp_path / "fetched"), tmp_path / "again")
    assert look(tmp_path / "again") == after, "and so does the command"
    for film in (root / "_sizes" / "film" for root in (target, tmp_path / "again")):
        assert film.stat().st_blocks * 512 < 20 * MIB, "holes are holes again"
    remove_tree(tmp_path / "again")
    assert not (tmp_path / "again").exists()
    manifest = rig.manifest_in(rig.regions[1], outcome.backup_id)
    [note] = [n for n in manifest.notes if "skipped" in n]
    assert note.startswith("2 ") and "pipe" in note and "socket" in note
    assert max(o.parts for o in manifest.objects) >= 3
    assert all(o.plain_size < 256 * MIB + 20_480 for o in manifest.objects if o.parts < 3)
    second = rig.back_up("media", "run-2")
    assert second.verdict == "sealed" and second.new_stored_bytes == 0


def test_a_second_backup_sees_content_behind_an_old_time_and_no_content_behind_a_new_one(
    rig: Rig, tmp_path: Path
) -> None:
    root = tmp_path / "media"
    root.mkdir()
    for name in ("same time", "same content", "same all", "other mode"):
        (root / name).write_bytes(os.urandom(4000))
    first = rig.back_up(rig.files_source("media", root))
    before = (root / "same time").stat()
    (root / "same time").write_bytes(os.urandom(4000))
    os.utime(root / "same time", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(root / "same content", ns=(0, 10**18))
    (root / "other mode").chmod(0o400)
    second = rig.back_up("media", "run-2")
    assert 4000 < second.new_stored_bytes < 6000 < first.new_stored_bytes
    assert look(_restored(rig, second, tmp_path / "restored")) == look(root)


Event = Callable[[Path], object]


def _move_in(victim: Path, content: bytes) -> None:
    other = victim.with_name("moved in")
    other.write_bytes(content)
    other.rename(victim)


def _rewrite_in_the_past(victim: Path) -> None:
    before = victim.stat()
    with victim.open("r+b") as file:
        file.write(b"changed")
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))


def _become_directory(victim: Path) -> None:
    victim.unlink()
    (victim / "deeper").mkdir(parents=True)
    (victim / "deeper" / "child").write_text("the content of a file that was none")


def _become_link(victim: Path) -> None:
    victim.unlink()
    victim.symlink_to("/etc/passwd")


DURING: dict[str, Event] = {
    "grows": lambda f: f.open("ab").write(b"more"),
    "shrinks": lambda f: os.truncate(f, 10),
    "is emptied": lambda f: os.truncate(f, 0),
    "is touched": lambda f: os.utime(f, ns=(0, 10**18)),
    "gets another mode": lambda f: f.chmod(0o600),
    "is rewritten, its time kept": _rewrite_in_the_past,
    "is replaced": lambda f: _move_in(f, b"another file"),
    "becomes a directory": _become_directory,
    "becomes a link": _become_link,
    "gets a second name": lambda f: os.link(f, f.with_name(f.name + " too")),
}
GONE = {"is deleted": Path.unlink, "becomes a pipe": lambda f: (f.unlink(), os.mkfifo(f))}


class _Eventful:
    """Makes something happen to each file of the right name when its first byte was read; once each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path, events: dict[bytes, Event]) -> None:
        self.left = dict(events)
        real = DirectoryTree.read

        def read(tree: DirectoryTree, found: Found) -> Iterator[bytes]:
            for number, chunk in enumerate(real(tree, found)):
                if number == 0 and (event := self.left.pop(found.path, None)):
                    event(root / os.fsdecode(found.path))
                yield chunk

        monkeypatch.setattr(DirectoryTree, "read", read)


def test_what_happens_to_files_while_they_are_read_ends_in_what_is_there_then(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "media"
    events: dict[bytes, Event] = {}
    for kind, size in (("small", 5000), ("large", 9 * MIB)):
        (root / kind).mkdir(parents=True)
        for name, event in DURING.items():
            if kind == "large" and name not in ("grows", "shrinks", "is replaced", "becomes a directory"):
                continue
            (root / kind / name).write_bytes(name.encode() + bytes(size))
            events[f"{kind}/{name}".encode()] = event
    # One file by two names, changed after it was read by the first.
    (root / "z").mkdir()
    (root / "z" / "1").write_bytes(b"before")
    os.link(root / "z" / "1", root / "z" / "3")
    (root / "z" / "2").write_bytes(b"between")
    events[b"z/2"] = lambda _: (root / "z" / "1").write_bytes(b"after!")
    (root / "y").mkdir()
    for name, event in GONE.items():
        (root / "y" / name).write_bytes(name.encode() * 100)
        (root / "y" / f"a {name}").write_bytes(name.encode())
        events[f"y/a {name}".encode()] = lambda _, n=name, e=event: e(root / "y" / n)  # type: ignore[misc]
    eventful = _Eventful(monkeypatch, root, events)
    outcome = rig.back_up(rig.files_source("media", root))
    assert eventful.left == {} and outcome.verdict == "sealed"
    monkeypatch.undo()
    after, found = look(root), look(_restored(rig, outcome, tmp_path / "restored"))
    # Times of directories are those of when they were listed; what was new then belongs to the next backup.
    late = {b"small/gets a second name too"}
    assert found.keys() == after.keys() - late
    different = {p for p in found if found[p] != after[p] and after[p][0] != "directory"}
    assert different == {b"small/gets a second name"}, "it has the second name in the next backup"
    notes = " ".join(rig.manifest_in(rig.regions[0], outcome.backup_id).notes)
    assert "y/is deleted" in notes and "y/becomes a pipe" in notes
    assert any("changed while it was read" in line for line in rig.said)
    second = rig.back_up("media", "run-2")
    assert look(_restored(rig, second, tmp_path / "again")) == after


def test_a_tree_that_shrinks_while_it_is_walked_is_backed_up_as_far_as_it_was_there_and_says_so(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, outside = tmp_path / "media", tmp_path / "outside"
    for name in ("b goes", "c is moved", "d becomes a link", "e stays"):
        (root / name / "deeper").mkdir(parents=True)
        for n in range(3):
            (root / name / "deeper" / f"{n}").write_text(f"{name} {n}")
    (outside / "deeper").mkdir(parents=True)
    (outside / "deeper" / "0").write_text("secret")
    (root / "z").write_text("read when the names of the others are known")

    def shrink(_: Path) -> None:
        for n in range(3):
            (root / "b goes" / "deeper" / f"{n}").unlink()
        (root / "b goes" / "deeper").rmdir()
        (root / "b goes").rmdir()
        (root / "c is moved").rename(tmp_path / "elsewhere")
        (root / "d becomes a link").rename(tmp_path / "kept")
        (root / "d becomes a link").symlink_to(outside)

    _Eventful(monkeypatch, root, {b"z": shrink})
    outcome = rig.back_up(rig.files_source("media", root))
    monkeypatch.undo()
    manifest = rig.manifest_in(rig.regions[0], outcome.backup_id)
    paths = {f.path for f in manifest.files or []}
    assert {f"e stays/deeper/{n}" for n in range(3)} <= paths
    assert not [p for p in paths if p.startswith(("b goes/", "c is moved/", "d becomes a link/"))]
    [note] = [n for n in manifest.notes if "gone before they could be read" in n]
    for name in ("b goes", "c is moved", "d becomes a link"):
        assert name in note
    assert b"secret" not in b"".join(
        (_restored(rig, outcome, tmp_path / "restored") / p).read_bytes() for p in paths if p.endswith("0")
    )


def test_a_file_that_never_rests_fails_the_backup_by_name_everywhere(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "media"
    root.mkdir()
    (root / "restless.log").write_bytes(b"x" * 5000)
    real = DirectoryTree.read

    def read(tree: DirectoryTree, found: Found) -> Iterator[bytes]:
        for chunk in real(tree, found):
            with (root / "restless.log").open("ab") as log:
                log.write(b"line\n")
            yield chunk

    monkeypatch.setattr(DirectoryTree, "read", read)
    with pytest.raises(SourceChanged, match=r"restless\.log"):
        rig.back_up(rig.files_source("media", root))
    [row] = rig.query("select status, error from vault.backups")
    assert row["status"] == "failed" and "restless.log" in row["error"]
    assert rig.kinds()[-2:] == ["backup.started", "backup.failed"]
    assert "restless.log" in str(rig.notices()[0])
    assert not any(rig.manifests(region) for region in rig.regions)


def test_ten_thousand_small_files_cost_little_and_a_second_backup_only_a_manifest(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "media"
    for n in range(10_000):
        if n % 500 == 0:
            (folder := root / f"{n}").mkdir(parents=True)
        (folder / f"{n}.txt").write_bytes(b"%d" % n * (n % 7))
    rig.tuning = Tuning(part_size=5 * MIB)
    # A statement that unpacks the list of files once a file takes ten seconds and more.
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=5s")
    began = time.process_time()
    first = rig.back_up(rig.files_source("media", root))
    second = rig.back_up("media", "run-2")
    assert time.process_time() - began < 30
    assert (first.verdict, second.verdict) == ("sealed", "sealed") and first.files == second.files == 10_000
    assert second.new_stored_bytes == 0
    under_second = [x.key for x in rig.regions[0].store.list("") if second.backup_id in x.key]
    assert len(under_second) == 1 and under_second[0].endswith("manifest.json")
    [size] = rig.query("select max(pg_column_size(document)) as bytes from vault.backups")
    assert size["bytes"] < 20_000, "the list is not in the row"
    assert len(rig.query("select sha256 from vault.listings")) == 1, "the same list is kept once"
    assert look(_restored(rig, second, tmp_path / "restored")) == look(root)
