"""How the cost grows: the same rows in 1, 10 and 100 tables, and directories of 1,000 to 100,000 files.

The second backup of unchanged files must upload manifests only; that is asserted, not reported.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import ours
import psycopg
from contest import Say
from database import GB, Shape, fill
from measure import Json
from place import context
from rig import Running, running

FILE_BYTES = 2000
SPARSE = 64 << 20
"""Files of so many bytes and more are holes: they cost no disk and next to no endpoint."""
_WRITES = ("put", "upload_part", "create_upload", "complete_upload")


def tables(size: int, counts: list[int], say: Say) -> list[Json]:
    """The same rows in so many tables; one backup each."""
    rows = []
    for count in counts:
        with running("free", reserve_gib=size / GB) as place:
            fill(place.rig.database, Shape(size, tables=count))
            ours.backup(place)  # the first one finds the server's caches cold
            place.forget()
            taken = ours.backup(place)
            say(f"  {count} tables: {taken['all'].seconds:.2f} s")
            rows.append({"tables": count} | _phases(taken))
    return rows


def files(counts: list[int], size: int, say: Say) -> list[Json]:
    """First and second backup of a directory of so many files of `size` bytes."""
    rows = []
    for count in counts:
        with running("free") as place:
            _write(place.rig.files, count, size)
            for which in ("first", "second"):
                before = place.usage()
                taken = ours.backup(place, "media")
                sent = _sent(before, place.usage())
                backup_id = taken["stage"].detail["result"]["backup_id"]
                if which == "second":
                    _only_manifests(place, backup_id, sent)
                say(f"  {count} files, {which}: {taken['all'].seconds:.2f} s, {sent['bytes']} bytes sent")
                facts = {"files": count, "file_bytes": size, "backup": which, "sent": sent}
                rows.append(facts | _catalogue(place, backup_id) | _phases(taken))
            shutil.rmtree(place.rig.files)
    return rows


def _catalogue(place: Running, backup_id: str) -> Json:
    """What the manifest weighs, and the row of the catalogue, which PostgreSQL keeps compressed."""
    region = context(place.rig).regions[0]
    listed = {row.key: row.size for row in region.store.list("tidewatch/media/")}
    manifest = next(size for key, size in listed.items() if key.endswith(f"{backup_id}/manifest.json"))
    with psycopg.connect(place.rig.warehouse) as conn:
        row = conn.execute(
            "select pg_column_size(document) from vault.backups where backup_id = %s", [backup_id]
        ).fetchone()
    assert row is not None
    return {"manifest_bytes": manifest, "row_bytes": row[0]}


def _write(root: Path, count: int, size: int) -> None:
    """Half of each file repeats, half is random: media and text in one."""
    for number in range(count):
        folder = root / f"{number // 10_000:03}" / f"{number // 100:05}"
        if number % 100 == 0:
            folder.mkdir(parents=True)
        with (folder / f"picture-{number:07}.jpg").open("wb") as file:
            if size < SPARSE:
                file.write((os.urandom(size // 2) + (b"%d " % number) * size)[:size])
            else:
                file.truncate(size)


def _sent(before: Json, after: Json) -> Json:
    calls = {name: after["calls"].get(name, 0) - before["calls"].get(name, 0) for name in _WRITES}
    return {"bytes": after["bytes_in"] - before["bytes_in"], **calls}


def _only_manifests(place: Running, backup_id: str, sent: Json) -> None:
    regions = len(place.rig.stores)
    assert sent["put"] == regions and sent["upload_part"] == 0, f"more than manifests was sent: {sent}"
    for region in context(place.rig).regions:
        keys = [row.key for row in region.store.list("tidewatch/media/") if backup_id in row.key]
        assert [key.rpartition("/")[2] for key in keys] == ["manifest.json"], keys


def _phases(taken: dict[str, Any]) -> Json:
    kept = ("seconds", "cpu", "own_peak_bytes", "loaded_bytes")
    return {phase: {k: v for k, v in one.as_json().items() if k in kept} for phase, one in taken.items()}
