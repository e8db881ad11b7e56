"""A prefix in a bucket as a source: real buckets, whose objects change between listing and reading."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from backup_rig import Rig
from plain_restore import restore

from tidewatch.backup.run import Outcome
from tidewatch.backup.trees import Found, PrefixTree
from tidewatch.core.connections import Connection
from tidewatch.core.errors import SourceError
from tidewatch.core.objectstore import ObjectStore
from tidewatch.vault.layout import region_key

Contents = dict[str, bytes]


class Bucket:
    """The source's bucket, with or without versions."""

    def __init__(self, rig: Rig, name: str, *, versions: bool) -> None:
        address = rig.regions[0].address
        self.store = ObjectStore("source", address, name)
        if versions:
            self.store.ensure_bucket()
        else:
            self.store.client.create_bucket(Bucket=name)
        rig.connections["uploads"] = Connection(
            "uploads", "aws", login=address.access_key, password=address.secret_key,
            extra={"endpoint_url": address.endpoint_url},
        )  # fmt: skip
        source = {"type": "files", "name": "uploads", "data_class": "internal", "connection": "uploads"}
        rig.sources.append({**source, "bucket": name, "prefix": "in"})

    def put(self, contents: Contents) -> None:
        for key, body in contents.items():
            self.store.put(key, body, if_absent=False)


@pytest.fixture(params=[True, False], ids=["versions", "no-versions"])
def bucket(request: pytest.FixtureRequest, rig: Rig) -> Bucket:
    name = f"source-{rig.regions[0].config.bucket}-{'v' if request.param else 'n'}"[:63]
    return Bucket(rig, name, versions=request.param)


def _restored(rig: Rig, outcome: Outcome, target: Path) -> Contents:
    region = rig.regions[2]
    path = rig.get(outcome.backup_id).manifest.path
    manifest = restore(
        region.store.read(region_key(region.config.prefix, path.manifest_key)),
        lambda key: region.store.read(region_key(region.config.prefix, key)),
        rig.keys.identity_file,
        target,
    )
    assert {(f["mode"], f["type"]) for f in manifest["files"]} <= {(0o644, "file"), (0o755, "directory")}
    return {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()}


ODD = [
    "a b",
    "ä/ö",
    "😀",
    "100%",
    "%41",
    "new\nline",
    "quote'\"",
    "plus+",
    "a=b&c",
    "~tilde",
    "x" * 200,
    "-rf",
    ";*?",
]


def test_odd_keys_empty_objects_and_many_pages_are_backed_up_and_rebuilt(
    rig: Rig, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ObjectStore._page

    def small(self: ObjectStore, prefix: str, page: Any) -> Any:
        return real(self, prefix, {**page, "MaxKeys": 4})

    monkeypatch.setattr(ObjectStore, "_page", small)
    wanted = {f"odd/{name}": name.encode() for name in ODD} | {"empty": b"", "big": bytes(9 << 20)}
    bucket.put({f"in/{key}": body for key, body in wanted.items()})
    bucket.put({"in/": b"", "in/folder/": b"", "inside/not ours": b"x", "other": b"x"})
    outcome = rig.back_up("uploads")
    assert outcome.verdict == "sealed" and outcome.files == len(wanted)
    assert _restored(rig, outcome, tmp_path / "restored") == wanted
    [note] = rig.manifest_in(rig.regions[0], outcome.backup_id).notes
    assert note.startswith("2 empty object(s) whose keys end with a slash")
    second = rig.back_up("uploads", "run-2")
    assert second.verdict == "sealed" and second.new_stored_bytes == 0


def test_objects_replaced_or_deleted_between_listing_and_reading(
    rig: Rig, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {
        f"in/{name}": f"old {name}".encode() for name in ("1 goes", "2 is read", "3 goes", "4 new", "5 stays")
    }
    bucket.put(before)
    left: dict[bytes, Callable[[], object]] = {
        b"2 is read": lambda: (bucket.store.delete("in/3 goes"), bucket.put({"in/4 new": b"new content"})),
        b"5 stays": lambda: bucket.put({"in/2 is read": b"later"}),
    }
    looked, read = PrefixTree.again, PrefixTree.read

    def again(tree: PrefixTree, found: Found) -> Found:
        if found.path == b"1 goes":
            bucket.store.delete("in/1 goes")
        return looked(tree, found)

    def reading(tree: PrefixTree, found: Found) -> Iterator[bytes]:
        if found.path in left:
            left.pop(found.path)()
        return read(tree, found)

    monkeypatch.setattr(PrefixTree, "again", again)
    monkeypatch.setattr(PrefixTree, "read", reading)
    outcome = rig.back_up("uploads")
    monkeypatch.undo()
    assert outcome.verdict == "sealed" and left == {}
    assert _restored(rig, outcome, tmp_path / "restored") == {
        "2 is read": b"old 2 is read", "4 new": b"new content", "5 stays": b"old 5 stays",
    }  # fmt: skip
    [note] = rig.manifest_in(rig.regions[0], outcome.backup_id).notes
    assert note.startswith("2 entry(ies) gone") and "1 goes" in note and "3 goes" in note


def test_an_object_replaced_after_we_looked_is_read_as_it_was_or_read_again(
    rig: Rig, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    bucket.put({"in/a": b"old a", "in/b": b"old b"})
    real, left = PrefixTree.read, {b"a": b"new content", b"b": b"new b"}  # of another size, of the same size

    def reading(tree: PrefixTree, found: Found) -> Iterator[bytes]:
        if found.path in left:
            bucket.put({f"in/{found.path.decode()}": left.pop(found.path)})
        return real(tree, found)

    monkeypatch.setattr(PrefixTree, "read", reading)
    outcome = rig.back_up("uploads")
    versions = "no-versions" not in request.node.name
    assert _restored(rig, outcome, tmp_path / "restored") == (
        {"a": b"old a", "b": b"old b"} if versions else {"a": b"new content", "b": b"new b"}
    )
    assert versions or any("changed while it was read" in line for line in rig.said)


@pytest.mark.parametrize("key", ["in/x//y", "in//x", "in/../up", "in/./x", "in/folder with content/"])
def test_a_key_that_no_file_can_have_fails_the_backup_by_name_unless_it_is_excluded(
    rig: Rig, key: str, tmp_path: Path
) -> None:
    bucket = Bucket(rig, f"source-{rig.regions[0].config.bucket}"[:63], versions=False)
    listed = [("in/good", 4), (key, 4)]
    # The client library rewrites some of these keys: what another client could have stored is listed here.
    store = _Listing(bucket.store, listed)
    from tidewatch.core.sources import FilesSource

    def paths(**more: Any) -> list[bytes]:
        fields = {"type": "files", "name": "uploads", "data_class": "internal", "connection": "uploads"}
        source = FilesSource.model_validate({**fields, "bucket": "b", "prefix": "in/", **more})
        return [f.path for f in PrefixTree(source, store).walk()]

    bucket.put({"in/good": b"good"})
    with pytest.raises(SourceError, match="cannot be the path of a file") as caught:
        paths()
    assert repr(key) in str(caught.value)
    assert paths(exclude=[key.removeprefix("in/")]) == [b"good"]


class _Listing(ObjectStore):
    """A bucket whose listing is given."""

    def __init__(self, real: ObjectStore, rows: list[tuple[str, int]]) -> None:
        super().__init__(real.region, real._address, real.bucket)
        self._rows = rows

    def list(self, prefix: str) -> Iterator[Any]:
        from datetime import UTC, datetime

        from tidewatch.core.objectstore import Listed

        for key, size in self._rows:
            yield Listed(key, size, datetime(2026, 1, 1, tzinfo=UTC))
