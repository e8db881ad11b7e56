"""Files: every kind of entry, and files that change under the reader."""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_rig import MIB, Rig
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatch.backup.files import Capture
from tidewatch.backup.packs import PullReader, member_header, padding, trailer
from tidewatch.backup.trees import Changed, DirectoryTree, Found
from tidewatch.core.errors import SourceChanged, SourceEmpty, SourcePermission, SourceUnreachable
from tidewatch.core.progress import silent
from tidewatch.core.regions import Region
from tidewatch.core.sources import FilesSource


def _capture(root: Path, known: set[str] | None = None, **options: object) -> Capture:
    source = FilesSource(type="files", name="media", data_class="internal", path=str(root), **options)  # type: ignore[arg-type]
    return Capture(
        DirectoryTree(source),
        known or set(),
        source="media",
        allow_empty=source.allow_empty,
        progress=silent,
        pack_size=MIB,
        in_memory=64 * 1024,
    )


def _drain(capture: Capture) -> dict[str, bytes]:
    """Every member of every pack; contents by name."""
    members: dict[str, bytes] = {}
    for pack in capture.packs():
        try:
            data = pack.reader.read()
        except Changed:
            capture.given_up(pack)
            continue
        capture.packed(pack)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None and member.name not in members
                members[member.name] = file.read()
    return members


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(0, 200_000), min_size=1, max_size=8), copies=st.integers(0, 3))
def test_every_file_is_whole_in_exactly_one_pack(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], copies: int
) -> None:
    root = tmp_path_factory.mktemp("tree")
    contents: dict[bytes, bytes] = {}
    for number, size in enumerate(sizes):
        for copy in range(copies + 1):
            name = f"{number}-{copy}"
            contents[name.encode()] = (b"%d" % number) * size if size else b""
            (root / name).write_bytes(contents[name.encode()])
    capture = _capture(root)
    members = _drain(capture)
    assert {x.found.path for x in capture.listing} == set(contents)
    for listed in capture.listing:
        if contents[listed.found.path]:
            assert members[str(listed.sha256)] == contents[listed.found.path]
    assert len(members) == len({c for c in contents.values() if c})


@given(data=st.binary(max_size=5000), step=st.integers(1, 700))
def test_a_pack_is_a_tar_that_the_standard_library_reads(data: bytes, step: int) -> None:
    def chunks() -> Iterator[bytes]:
        header = member_header("f" * 64, len(data))
        yield header
        yield data
        yield padding(len(data))
        yield trailer(len(header) + len(data) + len(padding(len(data))))

    reader, out = PullReader(chunks()), b""
    while block := reader.read(step):
        out += block
    assert len(out) % tarfile.RECORDSIZE == 0
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        member = tar.extractfile("f" * 64)
        assert member is not None and member.read() == data


def test_a_pack_of_more_than_eight_gigabytes_gets_a_header_that_says_so() -> None:
    header = member_header("a" * 64, 9 * 1024**3)
    assert tarfile.TarInfo.frombuf(header[-512:], "utf-8", "strict").name == "a" * 64
    assert b"size=9663676416" in header


def test_packs_are_closed_at_their_size_and_large_files_stand_alone(tmp_path: Path) -> None:
    for n in range(30):
        (tmp_path / f"small-{n:02}").write_bytes(os.urandom(60_000))
    (tmp_path / "large").write_bytes(os.urandom(3 * MIB))
    capture = _capture(tmp_path)
    sizes: list[int] = []
    for pack in capture.packs():
        sizes.append(len(pack.reader.read()))
        capture.packed(pack)
    assert sum(s > MIB + 20_000 for s in sizes) == 1 and len(sizes) == 3
    assert len(capture.placed) == 31


def test_names_that_are_not_utf8_and_strange_ones_are_kept(rig: Rig, tmp_path: Path) -> None:
    root = tmp_path / "media"
    root.mkdir()
    names = [b"caf\xe9.txt", "评论 %41.txt".encode(), b"new\nline", "🌊".encode(), b"-rf"]
    for name in names:
        with open(os.path.join(os.fsencode(root), name), "wb") as file:  # noqa: PTH118, PTH123 - bytes
            file.write(name)
    outcome = rig.back_up(rig.files_source("media", root))
    files = rig.manifest_in(rig.regions[0], outcome.backup_id).files
    assert files is not None and {f.path_bytes for f in files} == set(names)


def test_links_are_recorded_and_never_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("not ours")
    (root / "own").write_text("ours")
    (root / "out").symlink_to(outside)
    (root / "loop").symlink_to(".")
    (root / "broken").symlink_to("nowhere")
    capture = _capture(root)
    members = _drain(capture)
    kinds = {x.found.path: (x.found.kind, x.found.link_target) for x in capture.listing}
    assert kinds == {
        b"own": ("file", None),
        b"out": ("link", os.fsencode(outside)),
        b"loop": ("link", b"."),
        b"broken": ("link", b"nowhere"),
    }
    assert list(members.values()) == [b"ours"]


def test_special_files_are_skipped_and_listed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    capture = _capture(tmp_path)
    _drain(capture)
    assert capture.notes.special == ["pipe"]
    assert [x.found.path for x in capture.listing] == [b"file"]


def test_what_is_excluded_is_counted_and_its_directories_are_not_entered(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "a").write_text("a")
    (tmp_path / "keep.txt").write_text("k")
    (tmp_path / "drop.tmp").write_text("d")
    capture = _capture(tmp_path, exclude=["cache", "*.tmp"])
    _drain(capture)
    assert [x.found.path for x in capture.listing] == [b"keep.txt"] and capture.notes.excluded == 2


class _Restless(DirectoryTree):
    """A tree whose file `victim` is changed while it is read, `times` times."""

    def __init__(self, source: FilesSource, victim: Path, times: int) -> None:
        super().__init__(source)
        self._victim, self._times = victim, times

    def read(self, found: Found) -> Iterator[bytes]:
        for chunk in super().read(found):
            if found.path == os.fsencode(self._victim.name) and self._times > 0:
                self._times -= 1
                with self._victim.open("ab") as file:
                    file.write(b"more")
            yield chunk


def _restless(root: Path, victim: Path, times: int) -> Capture:
    source = FilesSource(type="files", name="media", data_class="internal", path=str(root))
    return Capture(
        _Restless(source, victim, times),
        set(),
        source="media",
        allow_empty=False,
        progress=silent,
        in_memory=64 * 1024,
    )


@pytest.mark.parametrize("size", [1000, 300_000])
def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path, size: int) -> None:
    victim = tmp_path / "log"
    victim.write_bytes(b"x" * size)
    (tmp_path / "quiet").write_bytes(b"quiet")
    capture = _restless(tmp_path, victim, 1)
    members = _drain(capture)
    listed = {x.found.path: x for x in capture.listing}
    assert members[str(listed[b"log"].sha256)] == victim.read_bytes() == b"x" * size + b"more"
    assert set(listed) == {b"log", b"quiet"}


def test_a_large_file_that_changes_between_hashing_and_packing_is_read_again(tmp_path: Path) -> None:
    victim = tmp_path / "film"
    victim.write_bytes(b"x" * 300_000)
    capture = _capture(tmp_path)
    packs = capture.packs()
    pack = next(packs)
    victim.write_bytes(b"y" * 300_000)
    with pytest.raises(Changed):
        pack.reader.read()
    capture.given_up(pack)
    second = next(packs)
    with tarfile.open(fileobj=io.BytesIO(second.reader.read())) as tar:
        member = tar.next()
        assert member is not None
        content = tar.extractfile(member)
        assert content is not None and content.read() == b"y" * 300_000
    capture.packed(second)
    assert next(packs, None) is None
    assert [x.sha256 for x in capture.listing] == list(capture.placed)


@pytest.mark.parametrize("size", [1000, 300_000])
def test_a_file_that_never_rests_fails_the_backup_and_is_named(tmp_path: Path, size: int) -> None:
    victim = tmp_path / "log"
    victim.write_bytes(b"x" * size)
    with pytest.raises(SourceChanged, match="log") as caught:
        _drain(_restless(tmp_path, victim, 99))
    assert "exclude" in caught.value.do


def test_a_file_that_is_gone_before_it_is_read_is_noted_not_invented(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 300_000)
    (tmp_path / "b").write_bytes(b"y" * 300_000)
    capture = _capture(tmp_path)
    packs = capture.packs()
    first = next(packs)
    (tmp_path / "b").unlink()
    first.reader.read()
    capture.packed(first)
    assert next(packs, None) is None
    assert [x.found.path for x in capture.listing] == [b"a"]


def test_a_directory_that_goes_away_is_not_a_backup_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable, match="not there"):
        _drain(_capture(tmp_path / "missing"))


def test_an_empty_directory_is_refused_unless_it_may_be_empty(tmp_path: Path) -> None:
    with pytest.raises(SourceEmpty, match="allow_empty"):
        _drain(_capture(tmp_path))
    assert _drain(_capture(tmp_path, allow_empty=True)) == {}


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody who may not read")
@pytest.mark.parametrize(("locked", "named"), [("private", "private"), (".", "permission to read")])
def test_what_may_not_be_read_is_named(locked: str, named: str) -> None:
    # Not below pytest's own directory, which nobody else may enter anyway.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as home:
        Path(home).chmod(0o755)
        root = Path(home) / "root"
        root.mkdir()
        (root / "open").write_text("x")
        (root / "private").write_text("x")
        (root / locked).chmod(0)
        pid = os.fork()
        if pid == 0:
            code = 6
            try:
                os.setuid(65534)
                _drain(_capture(root))
            except SourcePermission as error:
                code = 0 if named in str(error) else 5
            finally:
                os._exit(code)  # a child must not run on into pytest
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_memory_does_not_grow_with_the_size_of_a_file(tmp_path: Path) -> None:
    with (tmp_path / "film").open("wb") as file:
        file.truncate(200 * MIB)
    capture = _capture(tmp_path)
    tracemalloc.start()
    try:
        for pack in capture.packs():
            while pack.reader.read(65536):
                pass
            capture.packed(pack)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * MIB


def test_a_bucket_prefix_is_a_source_too(rig: Rig, three_regions: list[Region]) -> None:
    store = three_regions[0].store
    store.put("incoming/2026/a.jpg", b"alpha")
    store.put("incoming/b.jpg", b"beta")
    store.put("elsewhere/c.jpg", b"gamma")
    address = three_regions[0].address
    from tidewatch.core.connections import Connection

    rig.connections["media_bucket"] = Connection(
        "media_bucket",
        "aws",
        login=address.access_key,
        password=address.secret_key,
        extra={"endpoint_url": address.endpoint_url},
    )
    rig.sources.append(
        {
            "type": "files",
            "name": "media",
            "data_class": "internal",
            "connection": "media_bucket",
            "bucket": three_regions[0].config.bucket,
            "prefix": "incoming/",
        }
    )
    outcome = rig.back_up("media")
    manifest = rig.manifest_in(rig.regions[1], outcome.backup_id)
    assert manifest.files is not None
    assert [(f.path, f.size) for f in manifest.files] == [("2026/a.jpg", 5), ("b.jpg", 4)]
    with tarfile.open(fileobj=io.BytesIO(rig.plain(rig.regions[1], manifest.objects[0]))) as tar:
        assert sorted(tar.getnames()) == sorted(str(f.sha256) for f in manifest.files)


def test_the_backup_room_imports_no_great_expectations_and_no_airflow() -> None:
    code = (
        "import sys, tidewatch.backup.run, tidewatch.backup.heal, tidewatch.backup.probe; "
        "sys.exit(any(m in sys.modules for m in ('great_expectations', 'airflow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
