"""What the gate is shown: medians, bands, what is judged and what is not."""

from datetime import UTC, datetime, timedelta

import pytest

from tidewatch.backup.gate import frames, yardstick
from tidewatch.core.sources import GateBand
from tidewatch.vault.catalogue import Backup
from tidewatch.vault.facts import DatabaseFingerprint, LargeObjects, ObjectDigests, TableFingerprint
from tidewatch.vault.manifest import (
    CopyEntry,
    Encryption,
    FileEntry,
    Manifest,
    ObjectEntry,
    Policy,
    RunRef,
    Totals,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HASH = "0" * 64


def _table(name: str, rows: int, kind: str = "table") -> TableFingerprint:
    return TableFingerprint.model_validate(
        {"schema_name": "public", "name": name, "kind": kind, "columns": ["n"], "rows": rows, "sha256": HASH}
    )


def _manifest(
    number: int, tables: dict[str, int] | None = None, files: int | None = None, kind: str = "table"
) -> Manifest:
    backup_id = f"ops-20261122T00000{number}Z-00000000"
    database = None
    if tables is not None:
        empty = ObjectDigests(sha256=HASH, objects={})
        database = DatabaseFingerprint(
            database="ops",
            server_version="18",
            server_version_num=180000,
            encoding="UTF8",
            collation="C",
            tables=[_table(n, r, kind) for n, r in tables.items()],
            foreign_tables=[],
            sequences=[],
            large_objects=LargeObjects(count=0, size=0, sha256=HASH),
            extensions=[],
            schema_objects={},
            schema_sha256=HASH,
            grants=empty,
            roles=empty,
            content_sha256=HASH,
        )
    listed = (
        None
        if files is None
        else [FileEntry(path=str(n), size=0, mode=0, mtime=0, type="file", sha256=HASH) for n in range(files)]
    )
    return Manifest(
        backup_id=backup_id,
        source="ops",
        source_type="files" if listed is not None else "postgres",
        data_class="internal",
        policy=Policy(id="P", version="1"),
        snapshot_at=NOW - timedelta(minutes=5),
        started_at=NOW - timedelta(minutes=5),
        run=RunRef(dag_id="d", run_id="r"),
        tools={},
        objects=[
            ObjectEntry(
                name="dump.pgc.zst.age",
                role="dump",
                key=f"ops/2026/11/{backup_id}/objects/dump.pgc.zst.age",
                backup_id=backup_id,
                plain_size=1000,
                plain_sha256=HASH,
                cipher_size=700,
                cipher_sha256=HASH,
            )
        ],
        database=database,
        files=listed,
        encryption=Encryption(key_ids=["k"]),
        copies=[CopyEntry(region="cn-east", provider="s3", bucket="b", state="verified")],
        totals=Totals(
            objects=1,
            plain_size=1000,
            cipher_size=700,
            tables=len(tables) if tables is not None else None,
            rows=sum(tables.values()) if tables is not None else None,
            files=files,
        ),
    )


def _tables(draft: Manifest, history: list[Manifest], **band: object) -> dict[str, dict[str, object]]:
    frame = frames(draft, history, GateBand.model_validate(band), required={"cn-east": True}, now=NOW)[
        "tables"
    ]
    return {str(row["table"]): row for row in frame.to_dict("records")}


def test_a_table_is_judged_by_the_median_of_its_last_backups() -> None:
    history = [_manifest(n, {"posts": rows}) for n, rows in enumerate([100, 200, 90])]
    row = _tables(_manifest(9, {"posts": 70}), history)["posts"]
    assert row["median_rows"] == 100 and row["row_ratio"] == 0.7 and row["judged"]


@pytest.mark.parametrize(
    ("tables", "band"),
    [({"posts": 5}, {"min_rows": 200}), ({"posts": 5}, {"volatile": ["public.po*"]}), ({"fresh": 5}, {})],
)
def test_small_volatile_and_new_tables_are_not_judged_by_ratio(
    tables: dict[str, int], band: dict[str, object]
) -> None:
    rows = _tables(_manifest(9, tables), [_manifest(1, {"posts": 100})], may_vanish=["*"], **band)
    assert [r["judged"] for r in rows.values()] == [False]


def test_a_materialized_view_is_derived_and_not_judged() -> None:
    history = [_manifest(1, {"daily": 100}, kind="matview")]
    assert not _tables(_manifest(9, {"daily": 1}, kind="matview"), history)["daily"]["judged"]


def test_a_table_of_the_newest_good_backup_that_is_gone_is_a_row_of_its_own() -> None:
    history = [_manifest(2, {"posts": 10}), _manifest(1, {"posts": 10, "dropped_long_ago": 10})]
    rows = _tables(_manifest(9, {}), history)
    assert list(rows) == ["posts"] and rows["posts"]["present"] is False
    assert _tables(_manifest(9, {}), history, may_vanish=["public.posts"]) == {}


def test_required_regions_and_whether_they_are_verified_are_shown() -> None:
    required = {"cn-east": True, "cn-north": True, "cn-archive": False}
    frame = frames(_manifest(1, {"posts": 1}), [], GateBand(), required=required, now=NOW)["copies"]
    assert list(frame["verified"]) == [True, False, False]
    assert list(frame["required"]) == [True, True, False]


def test_the_summary_tells_age_missing_tables_and_the_ratio_of_files() -> None:
    draft = _manifest(9, files=3)
    summary = frames(draft, [_manifest(1, files=4)], GateBand(), required={}, now=NOW)["summary"].iloc[0]
    assert summary["snapshot_age_seconds"] == 300 and summary["files_ratio"] == 0.75
    assert summary["missing_tables"] == 0 and not summary["empty"]


def test_what_must_be_there_is_looked_for_among_tables_or_paths() -> None:
    def found(draft: Manifest, *patterns: str) -> dict[str, bool]:
        band = GateBand(must_have=list(patterns))
        frame = frames(draft, [], band, required={}, now=NOW)["expected"]
        return dict(zip(frame["pattern"], frame["present"], strict=True))

    tables = _manifest(1, {"posts": 0})
    assert found(tables, "public.posts", "public.comm*") == {"public.posts": True, "public.comm*": False}
    paths = [f.path for f in _manifest(1, files=2).files or []]
    assert found(_manifest(1, files=2), paths[1], "logo.*") == {paths[1]: True, "logo.*": False}
    assert found(tables) == {}


def test_what_a_person_accepted_is_the_new_measure() -> None:
    def row(number: int, status: str) -> Backup:
        m = _manifest(number, {"posts": number})
        return Backup(
            m.backup_id,
            "ops",
            "postgres",
            "internal",
            m.run,
            status,
            NOW,
            NOW,
            NOW,
            None,
            HASH,  # type: ignore[arg-type]
            None,
            None,
            None,
            m.totals,
            document=m.to_json(),
        )

    history = [row(5, "sealed"), row(4, "accepted"), row(3, "sealed")]
    assert [m.totals.rows for m in yardstick(history, GateBand())] == [5, 4]
    assert len(yardstick(history, GateBand(history=1))) == 1
