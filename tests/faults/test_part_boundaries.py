"""Objects that end exactly at, just before and just after the end of a part, through a whole backup."""

import hashlib
import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from worlds import Maker, Small

from tidewatch.backup.heal import heal
from tidewatch.vault import envelope
from tidewatch.vault.layout import region_key

SIZE = 50_000


def _one_file(s: Small, root: Path, size: int = SIZE, **more: object) -> None:
    """A source with one file of noise, backed up."""
    root.mkdir(exist_ok=True)
    if not (root / "noise").exists():
        (root / "noise").write_bytes(os.urandom(size))
    s.rig.sources.clear()
    s.rig.files_source(s.source, root, **more)
    s.back_up()


@pytest.fixture
def same_ciphertext(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same content has the same ciphertext in this test: age pads its header by chance."""
    made: dict[str, tuple[bytes, object]] = {}

    def seal(reader: Any, sink: Any, *more: Any, **options: Any) -> object:
        plain = b"".join(iter(lambda: reader.read(1 << 20), b""))
        name = hashlib.sha256(plain).hexdigest()
        if name not in made:
            sealed = io.BytesIO()
            result = envelope.seal(io.BytesIO(plain), sealed.write, *more, **options)
            made[name] = sealed.getvalue(), result
        sink(made[name][0])
        return made[name][1]

    monkeypatch.setattr("tidewatch.backup.upload.seal", seal)


@pytest.mark.parametrize("parts", ["C + 1", "C", "C - 1", "-(-C // 2)", "C // 2", "-(-C // 4)", "C // 5 - 1"])
def test_an_object_that_ends_about_where_a_part_ends_is_whole_everywhere_and_healed_as_it_was(
    make: Maker, tmp_path: Path, same_ciphertext: None, parts: str
) -> None:
    first = make("a backup of files")
    _one_file(first, tmp_path / "noise")
    [row] = first.rig.query("select document from vault.backups")
    length = int(row["document"]["totals"]["cipher_size"])
    s = make("a backup of files")
    part_size = int(eval(parts, {"C": length}))  # noqa: S307 - an expression of this file
    s.rig.tuning = replace(s.rig.tuning, part_size=part_size)
    s.without("cn-south", lambda: _one_file(s, tmp_path / "noise"))
    [row] = s.rig.query("select backup_id, document from vault.backups")
    (entry,) = s.rig.get(row["backup_id"]).manifest.objects
    assert entry.cipher_size == length
    assert entry.parts == (0 if part_size > length else -(-length // part_size))
    assert heal(s.rig.ctx, row["backup_id"]).verdict == "sealed"
    s.world.require(settled=True)
    heads = {r.store.head(region_key(r.config.prefix, entry.key)).checksum_sha256 for r in s.world.regions}
    assert len(heads) == 1, "the healed copy was cut into the same parts"


def test_a_source_of_nothing_is_sealed_and_healed_with_a_manifest_alone(make: Maker, tmp_path: Path) -> None:
    s = make("a backup of files")
    (tmp_path / "nothing").mkdir()
    s.rig.sources.clear()
    s.rig.files_source(s.source, tmp_path / "nothing", allow_empty=True)
    s.without("cn-south", s.back_up)
    [row] = s.rig.query("select backup_id, status, document from vault.backups")
    assert row["document"]["objects"] == []
    result = heal(s.rig.ctx, row["backup_id"])
    assert result.verdict == "sealed", (row["status"], result)
    s.world.require(settled=True)


def test_a_file_of_nothing_has_no_object_and_is_in_the_manifest(make: Maker, tmp_path: Path) -> None:
    s = make("a backup of files")
    _one_file(s, tmp_path / "empty", 0)
    [row] = s.rig.query("select backup_id, status from vault.backups")
    manifest = s.rig.manifest_in(s.world.regions[0], row["backup_id"])
    assert manifest.objects == [] and [f.path for f in manifest.files or []] == ["noise"]
    assert row["status"] == "sealed"
    s.world.require(settled=True)
