"""Memory is flat whatever the size of the source."""

import hashlib
import os
from pathlib import Path

import pytest
from backup_rig import MIB, Rig

from tidewatch.backup.context import Tuning
from tidewatch.backup.packs import PullReader
from tidewatch.backup.run import RunRef, stage
from tidewatch.core.regions import Region
from tidewatch.vault.envelope import load_identities, open_sealed
from tidewatch.vault.layout import region_key


def _peak_of_stage(rig: Rig, source: str, run_id: str) -> int:
    """Peak resident bytes that staging adds, measured in a process of its own."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            rig.regions = [Region(r.config, r.address) for r in rig.regions]
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
            before = _kib("VmRSS")  # what the tests of this process have loaded by now is not the backup's
            stage(rig.ctx, source, RunRef(dag_id="tests", run_id=run_id))
            os.write(writing, str(_kib("VmHWM") - before).encode())
        finally:
            os._exit(0)  # a child must not run on into pytest
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    assert answer, "staging failed in the child"
    return int(answer) * 1024


def _kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field)))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_a_source_ten_times_as_large_takes_no_more_memory(rig: Rig, tmp_path: Path) -> None:
    rig.tuning = Tuning(part_size=5 * MIB, queue_parts=2, stall_seconds=60)
    peaks = []
    for size in (40, 400):
        root = tmp_path / f"media{size}"
        root.mkdir()
        block = os.urandom(MIB)
        with (root / "film").open("wb") as film:
            for n in range(size):
                film.write(n.to_bytes(8, "big") + block[8:])
        source = rig.files_source(f"media{size}", root)
        peaks.append(_peak_of_stage(rig, source, "run-1"))
        (root / "film").unlink()
    assert peaks[1] < peaks[0] + 30 * MIB, [p // MIB for p in peaks]
    assert peaks[1] < 150 * MIB, f"{peaks[1] / MIB:.0f} MiB on top of the imported program"


@pytest.mark.skipif("LARGE_TESTS" not in os.environ, reason="takes a minute: LARGE_TESTS=1 runs it")
def test_a_file_of_five_gigabytes_is_sealed_and_opens_again_in_little_memory(
    rig: Rig, tmp_path: Path
) -> None:
    root, size = tmp_path / "media", 5 * 1024 * MIB + 1
    root.mkdir()
    with (root / "film").open("wb") as film:
        film.truncate(size)
        film.seek(3 * 1024 * MIB)
        film.write(os.urandom(20 * MIB))  # so that there are several parts
    with (root / "film").open("rb") as film:
        expected = hashlib.file_digest(film, "sha256").hexdigest()
    rig.tuning = Tuning()
    source = rig.files_source("media", root)
    peak = _peak_of_stage(rig, source, "run-1")
    outcome = rig.back_up(source, "run-1")  # takes up what the child staged
    assert outcome.verdict == "sealed"
    manifest = rig.manifest_in(rig.regions[1], outcome.backup_id)
    [entry] = [f for f in manifest.files or [] if f.path == "film"]
    [pack] = manifest.objects
    assert (entry.size, entry.sha256) == (size, expected)
    assert pack.parts > 1
    content, seen = hashlib.sha256(), 0

    def member(block: bytes) -> None:  # the pack is a tar with this one member
        nonlocal seen
        start, end = max(512 - seen, 0), max(512 + size - seen, 0)
        content.update(block[start:end])
        seen += len(block)

    blocks = rig.regions[1].store.get(region_key(rig.regions[1].config.prefix, pack.key))
    open_sealed(PullReader(iter(blocks)), member, *load_identities(rig.keys.identity_file).items)
    assert content.hexdigest() == expected
    assert peak < 200 * MIB, f"{peak / MIB:.0f} MiB on top of the imported program"
