"""What a restored database differs in is named, in words for a report."""

from typing import Any

import pytest
from vault_samples import database_fingerprint, sha

from tidewatch.vault.compare import Difference, compare
from tidewatch.vault.facts import (
    DatabaseFingerprint,
    Extension,
    LargeObjects,
    ObjectDigests,
    SequenceFingerprint,
    TableFingerprint,
)


def table(name: str, rows: int = 3, **more: Any) -> TableFingerprint:
    values = {
        "schema_name": "public",
        "name": name,
        "kind": "table",
        "columns": ["id", "v"],
        "rows": rows,
        "sha256": sha(f"{rows}"),
    }
    return TableFingerprint(**(values | more))


def sequence(last: int, called: bool = True, after: int | None = None) -> SequenceFingerprint:
    return SequenceFingerprint(
        schema_name="public",
        name="s",
        last_value=last,
        is_called=called,
        last_value_after=after,
        is_called_after=None if after is None else True,
    )


def objects(**definitions: str) -> ObjectDigests:
    each = {name.replace("__", " "): sha(text) for name, text in definitions.items()}
    return ObjectDigests(sha256=sha(str(each)), objects=each)


BACKUP = database_fingerprint().model_copy(
    update={
        "tables": [
            table("authors"),
            table("counted", kind="matview"),
            table("posts", 1000),
            table("b.c", schema_name="a"),
            table("c", schema_name="a.b", rows=5),
        ],
        "sequences": [sequence(10)],
        "large_objects": LargeObjects(count=2, size=9, sha256=sha("large")),
        "extensions": [Extension(name="citext", version="1.6", schema_name="public")],
        "foreign_tables": ["public.remote"],
        "schema_objects": {"view": objects(v="select 1", w="select 2"), "extension": objects(citext="1.6")},
        "grants": objects(table__posts="owner", schema__public="all"),
        "roles": objects(role__owner="login"),
    }
)


def changed(**update: Any) -> DatabaseFingerprint:
    return BACKUP.model_copy(update=update)


def differences(found: DatabaseFingerprint, backup: DatabaseFingerprint = BACKUP) -> list[str]:
    return [str(d) for d in compare(backup, found).differences]


def test_equal_fingerprints_are_equal_and_the_sentence_counts_what_was_compared() -> None:
    comparison = compare(BACKUP, BACKUP.model_copy(update={"database": "restored"}))
    assert comparison.equal and comparison.same_content
    assert comparison.remarks == ()
    assert comparison.sentence() == "equal: 5 tables, 1 sequences and 3 definitions are as in the backup"


def test_a_table_with_other_rows_is_named_with_both_counts_and_digests() -> None:
    tables = [table("posts", 999) if t.name == "posts" else t for t in BACKUP.tables]
    comparison = compare(BACKUP, changed(tables=tables))
    assert comparison.differences == (
        Difference(
            "content",
            "table",
            "public.posts",
            f"1000 rows with digest {sha('1000')[:16]}",
            f"999 rows with digest {sha('999')[:16]}",
        ),
    )
    assert not comparison.same_content
    assert comparison.sentence().startswith("1 differences: table public.posts: expected 1000 rows with")


def test_as_many_rows_of_another_content_differ_too() -> None:
    tables = [table("authors", sha256=sha("other")), *BACKUP.tables[1:]]
    [difference] = compare(BACKUP, changed(tables=tables)).differences
    assert difference.name == "public.authors"
    assert difference.expected != difference.found


def test_missing_and_extra_tables_are_named_and_dots_in_names_do_not_confuse() -> None:
    tables = [t for t in BACKUP.tables if (t.schema_name, t.name) != ("a", "b.c")] + [table("new", 0)]
    found = differences(changed(tables=tables))
    assert found[0].startswith("table a.b.c: expected 3 rows") and found[0].endswith("found no such table")
    assert found[1].startswith("table public.new: expected no such table, found 0 rows")
    assert len(found) == 2


def test_lost_and_added_columns_are_named() -> None:
    tables = [table("authors", columns=["id", "w"]), *BACKUP.tables[1:]]
    assert differences(changed(tables=tables)) == [
        "table public.authors: expected 2 columns, found 2, without v, with w"
    ]


def test_another_kind_of_table_is_a_difference() -> None:
    tables = [table("authors", kind="partition"), *BACKUP.tables[1:]]
    assert differences(changed(tables=tables)) == [
        "table public.authors: expected a table, found a partition"
    ]


def test_other_rows_in_a_materialized_view_are_a_remark_since_a_restore_fills_it_anew() -> None:
    tables = [table("counted", 7, kind="matview") if t.kind == "matview" else t for t in BACKUP.tables]
    comparison = compare(BACKUP, changed(tables=tables))
    assert comparison.equal
    assert [d.name for d in comparison.remarks] == ["public.counted"]


def test_a_materialized_view_that_was_not_filled_is_a_difference() -> None:
    tables = [
        table("counted", 0, kind="matview", populated=False) if t.kind == "matview" else t
        for t in BACKUP.tables
    ]
    assert differences(changed(tables=tables)) == [
        "materialized view public.counted: expected filled, found not filled"
    ]


@pytest.mark.parametrize(
    ("backup", "found", "within"),
    [
        (sequence(10), sequence(10), True),
        (sequence(10), sequence(11), False),
        (sequence(10), sequence(10, called=False), False),
        (sequence(10, called=False), sequence(10), False),
        (sequence(10, called=False, after=10), sequence(10), True),
        (sequence(10, called=False, after=12), sequence(10, called=False), True),
        (sequence(10, after=15), sequence(12), True),
        (sequence(10, after=15), sequence(10), True),
        (sequence(10, after=15), sequence(15), True),
        (sequence(10, after=15), sequence(9), False),
        (sequence(10, after=15), sequence(16), False),
        (sequence(10, after=15), sequence(10, called=False), False),
        (sequence(-10, after=-15), sequence(-12), True),
        (sequence(-10, after=-15), sequence(-16), False),
    ],
)
def test_a_sequence_must_lie_between_its_values_before_and_after_the_dump(
    backup: SequenceFingerprint, found: SequenceFingerprint, within: bool
) -> None:
    comparison = compare(changed(sequences=[backup]), changed(sequences=[found]))
    assert comparison.equal == within


def test_sequences_are_named_with_their_values() -> None:
    backup = changed(sequences=[sequence(10, after=15)])
    assert differences(changed(sequences=[sequence(1, called=False)]), backup) == [
        "sequence public.s: expected 10 to 15, found 1 (not used yet)"
    ]
    assert differences(changed(sequences=[]), backup) == [
        "sequence public.s: expected 10 to 15, found no such sequence"
    ]
    assert differences(backup, changed(sequences=[])) == [
        "sequence public.s: expected no such sequence, found 10"
    ]


def test_large_objects_are_told_by_number_and_size() -> None:
    [difference] = differences(changed(large_objects=LargeObjects(count=1, size=4, sha256=sha("x"))))
    assert difference == (
        f"large objects: expected 2 of 9 bytes with digest {sha('large')[:16]}, "
        f"found 1 of 4 bytes with digest {sha('x')[:16]}"
    )


def test_definitions_grants_roles_and_extensions_are_named_by_area() -> None:
    comparison = compare(
        BACKUP,
        changed(
            schema_objects={"view": objects(v="select 3"), "index": objects(i="x")},
            grants=objects(table__posts="owner, reader"),
            roles=objects(role__other="login"),
            extensions=[],
            foreign_tables=[],
            encoding="LATIN1",
        ),
    )
    assert {(d.area, d.kind, d.name) for d in comparison.differences} == {
        ("definitions", "view", "v"),
        ("definitions", "view", "w"),
        ("definitions", "index", "i"),
        ("definitions", "extension", "citext"),
        ("definitions", "foreign table", "public.remote"),
        ("definitions", "encoding", "of the database"),
        ("grants", "table", "posts"),
        ("grants", "schema", "public"),
        ("roles", "role", "owner"),
    }, "a role that only the restored server has is its own affair"
    assert comparison.same_content
    assert len(comparison.of("definitions")) == 6


def test_between_majors_only_names_of_definitions_are_compared_and_content_as_ever() -> None:
    newer = changed(
        server_version_num=190001,
        collation="C provider=b",
        schema_objects={"view": objects(v="SELECT 1", w="SELECT 2"), "extension": objects(citext="1.8")},
        extensions=[Extension(name="citext", version="1.8", schema_name="public")],
        roles=objects(role__owner="login, new attribute"),
    )
    assert compare(BACKUP, newer).equal
    fewer = newer.model_copy(update={"schema_objects": {"view": objects(v="SELECT 1")}, "tables": []})
    assert {d.kind for d in compare(BACKUP, fewer).differences} == {"table", "materialized view", "view"}


def test_of_many_differences_the_first_are_named_and_the_rest_counted() -> None:
    many = changed(tables=[*BACKUP.tables, *(table(f"t{n:02}") for n in range(30))])
    sentence = compare(BACKUP, many).sentence(at_most=2)
    assert sentence.startswith("30 differences: table public.t00")
    assert sentence.endswith("; and 28 more")
