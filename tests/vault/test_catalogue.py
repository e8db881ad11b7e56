"""The catalogue against a real PostgreSQL."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from psycopg.types.json import Jsonb
from vault_samples import NOW, REGIONS, backup_id, entry, file_entry, files_draft, finished, sha

from tidewatch.core.database import Connection, connect
from tidewatch.core.errors import IntegrityError, NotFound
from tidewatch.vault import catalogue, contents
from tidewatch.vault.catalogue import Copy
from tidewatch.vault.manifest import Manifest, ObjectEntry, RunRef


@pytest.fixture
def conn(warehouse: str) -> Iterator[Connection]:
    with connect(warehouse, application_name="tests") as conn:
        yield conn


def draft(number: int = 1, names: tuple[str, ...] = ("a", "b")) -> Manifest:
    own = entry(backup_id(number))
    return files_draft(number, files=[file_entry(f"{c}.jpg", c) for c in names], objects=[own])


def begin(conn: Connection, number: int = 1, run_id: str | None = None) -> str:
    catalogue.begin(
        conn,
        backup_id=backup_id(number),
        source="media",
        source_type="files",
        data_class="public",
        run=RunRef(dag_id="back_up_sources", run_id=run_id or f"run {number}"),
        now=NOW + timedelta(days=number),
    )
    return backup_id(number)


def stage_and_commit(
    conn: Connection, number: int, verdict: str = "sealed", **how: tuple[str, ...]
) -> Manifest:
    begin(conn, number)
    catalogue.mark_staged(conn, draft(number))
    manifest = finished(draft(number), verdict, **how)
    catalogue.commit(conn, manifest, sha(f"file {number}"))
    return manifest


def status(conn: Connection, number: int = 1) -> str:
    return catalogue.get(conn, backup_id(number)).status


def test_a_backup_goes_from_staging_over_staged_to_sealed_and_every_step_may_be_repeated(
    conn: Connection,
) -> None:
    for _ in range(2):
        begin(conn)
    assert status(conn) == "staging"
    for _ in range(2):
        catalogue.mark_staged(conn, draft())
    assert status(conn) == "staged"
    assert catalogue.get(conn, backup_id(1)).manifest == draft()
    manifest = finished(draft())
    for _ in range(2):
        catalogue.commit(conn, manifest, sha("file"))
    row = catalogue.get(conn, backup_id(1))
    assert (row.status, row.manifest, row.manifest_sha256) == ("sealed", manifest, sha("file"))
    assert (row.started_at, row.ended_at, row.totals.files) == (manifest.started_at, manifest.ended_at, 2)
    assert [(c.region, c.state) for c in catalogue.copies(conn, backup_id(1))] == [
        (region, "verified") for region in REGIONS
    ]


def test_another_manifest_for_a_committed_backup_is_refused(conn: Connection) -> None:
    manifest = stage_and_commit(conn, 1)
    with pytest.raises(IntegrityError, match="another manifest"):
        catalogue.commit(conn, manifest, sha("other file"))


def test_another_draft_for_a_staged_backup_is_refused(conn: Connection) -> None:
    begin(conn)
    catalogue.mark_staged(conn, draft())
    with pytest.raises(IntegrityError, match="cannot become staged"):
        catalogue.mark_staged(conn, draft(names=("c",)))


def test_nothing_is_committed_that_was_not_staged(conn: Connection) -> None:
    begin(conn)
    with pytest.raises(IntegrityError, match="status staged"):
        catalogue.commit(conn, finished(draft()), sha("file"))


_FACTS = {
    "staging": "",
    "staged": "document = %(document)s",
    "abandoned": "ended_at = now(), error = 'dead'",
    "failed": "ended_at = now(), error = 'broken'",
    "accepted": "ended_at = now(), decided_at = now(), decided_by = 'Li', decision_reason = 'campaign'",
}
_ALLOWED = {
    ("staging", "staged"),
    ("staging", "failed"),
    ("staging", "abandoned"),
    ("staged", "sealed"),
    ("staged", "degraded"),
    ("staged", "failed"),
    ("staged", "suspect"),
    ("staged", "abandoned"),
    ("degraded", "sealed"),
    ("sealed", "degraded"),
    ("suspect", "accepted"),
    ("suspect", "rejected"),
}


def test_the_database_itself_allows_exactly_the_transitions_of_the_state_machine(conn: Connection) -> None:
    """Rows are put into each status with triggers off, then every change is tried with them on."""
    from psycopg.types.json import Jsonb

    document = Jsonb(finished(draft()).to_json())
    begin(conn)
    found = set()
    for old in catalogue.STATUSES:
        for new in catalogue.STATUSES:
            if old == new:
                continue
            try:
                with conn.transaction(force_rollback=True):
                    conn.execute("set local session_replication_role = replica")
                    _put(conn, old, document)
                    conn.execute("set local session_replication_role = origin")
                    _put(conn, new, document)
                    found.add((old, new))
            except psycopg.errors.CheckViolation as error:
                assert error.diag.constraint_name == "status_transition"
    assert found == _ALLOWED


def _put(conn: Connection, status: str, document: object) -> None:
    open_ = status in ("staging", "staged")
    decided = status in ("accepted", "rejected")
    conn.execute(
        "update vault.backups set status = %(status)s, document = %(document)s, snapshot_at = started_at,"
        " manifest_sha256 = %(sha)s, error = %(error)s, ended_at = case when %(open)s then null else"
        " started_at end, decided_at = case when %(decided)s then started_at end,"
        " decided_by = case when %(decided)s then 'Li' end,"
        " decision_reason = case when %(decided)s then 'campaign' end",
        {
            "status": status,
            "document": document,
            "sha": sha("file"),
            "error": "broken" if status in ("failed", "abandoned") else None,
            "open": open_,
            "decided": decided,
        },
    )


def test_a_row_cannot_be_born_sealed_without_a_manifest(conn: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="begins as staging"):
        conn.execute(
            "insert into vault.backups (backup_id, source, source_type, data_class, dag_id, run_id,"
            " try_number, status, started_at)"
            " values (%s, 'media', 'files', 'public', 'd', 'r', 1, 'sealed', now())",
            (backup_id(1),),
        )


def test_the_manifest_of_a_committed_backup_cannot_be_replaced_in_the_table(conn: Connection) -> None:
    stage_and_commit(conn, 1)
    with pytest.raises(psycopg.errors.CheckViolation, match="written once"):
        conn.execute("""update vault.backups set document = jsonb_set(document, '{data_class}', '"x"')""")


def test_a_second_live_attempt_of_the_same_run_is_refused_until_the_first_is_given_up(
    conn: Connection,
) -> None:
    begin(conn, 1, run_id="run")
    conn.commit()
    with pytest.raises(IntegrityError, match="backups_one_live_attempt"):
        begin(conn, 2, run_id="run")
    conn.rollback()
    assert catalogue.abandon_dead(conn, "media", "run", now=NOW + timedelta(days=2)) == [backup_id(1)]
    assert catalogue.find(conn, "media", "run") is None
    begin(conn, 2, run_id="run")
    live = catalogue.find(conn, "media", "run")
    assert live is not None
    assert live.backup_id == backup_id(2)


def test_only_staging_attempts_count_as_dead(conn: Connection) -> None:
    begin(conn, 1)
    begin(conn, 2)
    catalogue.mark_staged(conn, draft(2))
    assert catalogue.abandon_dead(conn, "media", now=NOW + timedelta(days=5)) == [backup_id(1)]
    assert (status(conn, 1), status(conn, 2)) == ("abandoned", "staged")
    assert catalogue.abandon_dead(conn, "media", now=NOW + timedelta(days=5)) == []


def test_a_staged_backup_can_be_given_up_by_name(conn: Connection) -> None:
    begin(conn)
    catalogue.mark_staged(conn, draft())
    for _ in range(2):
        catalogue.abandon(conn, backup_id(1), "superseded", now=NOW + timedelta(days=5))
    assert status(conn) == "abandoned"


def test_a_failed_attempt_says_why_and_is_not_found_as_live(conn: Connection) -> None:
    begin(conn)
    for _ in range(2):
        catalogue.fail(conn, backup_id(1), "no region answered", now=NOW + timedelta(days=2))
    row = catalogue.get(conn, backup_id(1))
    assert (row.status, row.error) == ("failed", "no region answered")
    assert catalogue.find(conn, "media", "run 1") is None


def test_a_backup_verified_nowhere_fails_with_the_words_of_its_regions(conn: Connection) -> None:
    stage_and_commit(conn, 1, "failed", dead=REGIONS)
    row = catalogue.get(conn, backup_id(1))
    assert row.status == "failed"
    assert row.error == "; ".join(f"{r}: 1 object differs" for r in REGIONS)


def test_a_degraded_backup_becomes_sealed_only_when_every_copy_is_verified(conn: Connection) -> None:
    manifest = stage_and_commit(conn, 1, "degraded", dead=("cn-north",))
    assert [b.backup_id for b in catalogue.degraded(conn)] == [backup_id(1)]
    with pytest.raises(IntegrityError, match=r"1 not verified, the first tidewatch/media/.* in cn-north"):
        catalogue.healed(conn, backup_id(1), now=NOW)
    answer = finished(draft()).copies[1].objects[0]
    catalogue.set_copy(conn, Copy.from_read_back(backup_id(1), "cn-north", answer))
    for _ in range(2):
        catalogue.healed(conn, backup_id(1), now=NOW)
    assert status(conn) == "sealed"
    assert catalogue.degraded(conn) == []
    assert catalogue.get(conn, backup_id(1)).manifest == manifest, "the manifest stays as it was written"


def test_a_sealed_backup_whose_copy_was_lost_is_degraded_again(conn: Connection) -> None:
    stage_and_commit(conn, 1)
    for _ in range(2):
        catalogue.damaged(conn, backup_id(1), now=NOW)
    assert status(conn) == "degraded"


def test_a_person_decides_once_on_a_suspect(conn: Connection) -> None:
    stage_and_commit(conn, 1, "suspect")
    for _ in range(2):
        catalogue.decide(conn, backup_id(1), accept=True, by="李", reason="活动结束", now=NOW)
    row = catalogue.get(conn, backup_id(1))
    assert (row.status, row.decided_by, row.decision_reason) == ("accepted", "李", "活动结束")
    with pytest.raises(IntegrityError, match="cannot become rejected"):
        catalogue.decide(conn, backup_id(1), accept=False, by="李", reason="活动结束", now=NOW)


def test_a_sealed_backup_cannot_be_decided_on(conn: Connection) -> None:
    stage_and_commit(conn, 1)
    with pytest.raises(IntegrityError, match="status suspect"):
        catalogue.decide(conn, backup_id(1), accept=True, by="Li", reason="why not", now=NOW)


def test_history_holds_the_newest_good_backups_without_their_file_lists(conn: Connection) -> None:
    for number, verdict in enumerate(("sealed", "suspect", "degraded", "sealed"), start=1):
        stage_and_commit(conn, number, verdict)
    found = catalogue.history(conn, "media", 2)
    assert [b.backup_id for b in found] == [backup_id(4), backup_id(3)]
    assert [(b.manifest.files, b.manifest.totals.files) for b in found] == [([], 2)] * 2
    assert [b.status for b in catalogue.history(conn, "media", 9)] == ["sealed", "degraded", "sealed"]
    assert catalogue.get(conn, backup_id(4)).manifest == finished(draft(4))
    assert catalogue.history(conn, "ops", 9) == []


def test_lists_are_filtered_by_source_status_and_time(conn: Connection) -> None:
    for number, verdict in enumerate(("sealed", "suspect", "degraded"), start=1):
        stage_and_commit(conn, number, verdict)

    def ids(**filters: object) -> list[str]:
        return [b.backup_id for b in catalogue.list_backups(conn, **filters)]  # type: ignore[arg-type]

    assert ids() == [backup_id(n) for n in (3, 2, 1)]
    assert ids(n=1) == [backup_id(3)]
    assert ids(statuses=["suspect"]) == [backup_id(2)]
    assert ids(since=NOW + timedelta(days=2)) == [backup_id(3), backup_id(2)]
    assert ids(source="ops") == []


def test_a_row_of_a_list_does_not_pretend_to_have_a_manifest(conn: Connection) -> None:
    stage_and_commit(conn, 1)
    with pytest.raises(NotFound, match="carries no manifest"):
        _ = catalogue.list_backups(conn)[0].manifest


def known(conn: Connection, source: str = "media") -> dict[str, ObjectEntry]:
    return contents.contents_in(conn, contents.holdings(conn, source))


def test_contents_are_known_from_committed_backups_only_and_from_where_they_were_uploaded(
    conn: Connection,
) -> None:
    stage_and_commit(conn, 1, "sealed")
    first = entry(backup_id(1))
    assert known(conn) == {sha("a"): first, sha("b"): first}

    # the second backup refers to "a" in the first one's pack and uploads "c" itself
    begin(conn, 2)
    second = entry(backup_id(2))
    both = files_draft(
        2, files=[file_entry("a.jpg", "a", 0), file_entry("c.jpg", "c", 1)], objects=[first, second]
    )
    catalogue.mark_staged(conn, both)
    assert sha("c") not in known(conn), "staged is not committed"
    catalogue.commit(conn, finished(both), sha("file 2"))
    assert known(conn) == {sha("a"): first, sha("b"): first, sha("c"): second}
    assert known(conn, "ops") == {}
    rows = conn.execute("select sha256 from vault.contents where backup_id = %s", (backup_id(2),)).fetchall()
    assert rows == [{"sha256": sha("c")}], "what the first backup uploaded is entered once"


def test_an_object_is_held_where_it_was_verified_for_any_backup(conn: Connection) -> None:
    manifest = stage_and_commit(conn, 1, "degraded", dead=("cn-east",))
    [holding] = contents.holdings(conn, "media")
    assert holding.regions == set(REGIONS) - {"cn-east"}
    answer = finished(draft()).copies[0].objects[0]
    begin(conn, 2)
    second = files_draft(2, files=[file_entry("a.jpg", "a", 0)], objects=manifest.objects)
    catalogue.mark_staged(conn, second)
    catalogue.set_copy(
        conn,
        replace(
            Copy.from_read_back(backup_id(2), "cn-east", answer),
            object_key=f"other/prefix/{manifest.objects[0].key}",
        ),
    )
    [holding] = contents.holdings(conn, "media")
    assert holding.regions == set(REGIONS)


def test_what_was_encrypted_to_others_is_not_known(conn: Connection) -> None:
    stage_and_commit(conn, 1)
    assert len(contents.holdings(conn, "media", ["0" * 16])) == 1
    assert contents.holdings(conn, "media", ["1" * 16]) == []
    assert contents.holdings(conn, "media", ["0" * 16, "1" * 16]) == []


def test_of_a_content_in_two_objects_the_first_that_was_chosen_counts(conn: Connection) -> None:
    for number in (1, 2):
        stage_and_commit(conn, number)
    newest, oldest = contents.holdings(conn, "media")
    assert newest.entry.backup_id == backup_id(2)
    for order in ([newest, oldest], [oldest, newest]):
        assert contents.contents_in(conn, order)[sha("a")] == order[0].entry
    assert contents.contents_in(conn, []) == {}


def test_the_same_list_of_files_is_kept_once_and_goes_with_its_last_backup(conn: Connection) -> None:
    begin(conn, 1)
    begin(conn, 2)
    objects = [entry(backup_id(1))]
    for number in (1, 2):
        catalogue.mark_staged(conn, files_draft(number, files=[file_entry("a.jpg", "a")], objects=objects))
    rows = conn.execute("select distinct listing from vault.backups").fetchall()
    kept = conn.execute("select sha256 from vault.listings").fetchall()
    assert [r["listing"] for r in rows] == [r["sha256"] for r in kept] and len(kept) == 1
    document = catalogue.get(conn, backup_id(2)).document
    assert document is not None and document["files"] == []
    for number, left in ((1, 1), (2, 0)):
        conn.execute("delete from vault.backups where backup_id = %s", (backup_id(number),))
        assert len(conn.execute("select from vault.listings").fetchall()) == left


def test_a_backup_whose_document_has_the_files_itself_is_read_as_before(conn: Connection) -> None:
    manifest = stage_and_commit(conn, 1)
    with conn.transaction(force_rollback=True):
        conn.execute("alter table vault.backups disable trigger user")
        conn.execute("update vault.backups set listing = null, document = %s", (Jsonb(manifest.to_json()),))
        assert catalogue.get(conn, backup_id(1)).manifest == manifest


def test_the_catalogue_is_rebuilt_from_manifests_alone(conn: Connection) -> None:
    manifest = stage_and_commit(conn, 1, "degraded", dead=("cn-east",))
    before = (catalogue.get(conn, backup_id(1)), catalogue.copies(conn, backup_id(1)))
    conn.execute("delete from vault.backups")
    assert catalogue.copies(conn, backup_id(1)) == []
    assert catalogue.adopt(conn, manifest, sha("file 1")) is True
    assert catalogue.adopt(conn, manifest, sha("file 1")) is False
    assert (catalogue.get(conn, backup_id(1)), catalogue.copies(conn, backup_id(1))) == before


def test_a_copy_is_called_verified_only_with_everything_a_read_back_gives(conn: Connection) -> None:
    begin(conn)
    with pytest.raises(IntegrityError, match="verified_was_read_back"):
        catalogue.set_copy(conn, Copy(backup_id(1), "cn-east", "k", "verified", size=1))


def test_a_copy_of_an_unknown_backup_is_refused(conn: Connection) -> None:
    with pytest.raises(NotFound):
        catalogue.set_copy(conn, Copy(backup_id(7), "cn-east", "k", "pending"))


def test_an_unknown_backup_is_an_error_that_names_it(conn: Connection) -> None:
    for call in (
        lambda: catalogue.get(conn, backup_id(9)),
        lambda: catalogue.mark_staged(conn, draft(9)),
        lambda: catalogue.fail(conn, backup_id(9), "x", now=NOW),
    ):
        with pytest.raises(NotFound, match=backup_id(9)):
            call()


def test_two_commits_at_once_take_turns_and_leave_one_backup(conn: Connection, warehouse: str) -> None:
    """The second waits for the first's row lock, then sees what was committed."""
    import threading

    begin(conn)
    catalogue.mark_staged(conn, draft())
    conn.commit()
    manifest = finished(draft())
    catalogue.commit(conn, manifest, sha("file"))  # not committed yet: holds the row
    outcome: list[object] = []

    def second() -> None:
        with connect(warehouse, application_name="tests second") as other:
            catalogue.commit(other, manifest, sha("file"))
            outcome.append(other.info.transaction_status)

    thread = threading.Thread(target=second)
    thread.start()
    with connect(warehouse, application_name="tests watch", autocommit=True) as watch:
        waiting = (
            "select from pg_stat_activity"
            " where application_name = 'tests second' and wait_event_type = 'Lock'"
        )
        while thread.is_alive() and not watch.execute(waiting).rowcount:
            thread.join(0.01)
    assert outcome == []
    conn.commit()
    thread.join()
    assert outcome == [psycopg.pq.TransactionStatus.INTRANS]
    assert status(conn) == "sealed"


def test_the_newest_probe_of_a_region_is_found(conn: Connection) -> None:
    assert catalogue.latest_probe(conn, "cn-east") is None
    catalogue.save_probe(conn, "cn-east", NOW, {"conditional_writes": True})
    catalogue.save_probe(conn, "cn-east", NOW - timedelta(days=1), {"conditional_writes": False})
    catalogue.save_probe(conn, "cn-north", NOW + timedelta(days=1), {})
    probe = catalogue.latest_probe(conn, "cn-east")
    assert probe is not None
    assert (probe.at, probe.report) == (NOW, {"conditional_writes": True})
