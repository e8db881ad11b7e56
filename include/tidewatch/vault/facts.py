"""Models shared by the fingerprint, the manifest and whoever compares them. Plain data, strict, frozen."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from tidewatch.core.clock import iso

# The type of a value of a rowset digest (see vault/rowset.py). Another way to count is another name.
ALGORITHM: Literal["tidewatch-rowset-1"] = "tidewatch-rowset-1"

_BIG = re.compile(r"-?[0-9]+").fullmatch
_TIME_PATTERN = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$"


def _read_time(value: Any) -> Any:
    if isinstance(value, str):
        # Exactly the spelling we write: fromisoformat alone would accept a dozen others.
        moment = datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        if iso(moment) != value:
            raise ValueError("a time is written like 2026-11-22T16:00:00.000000Z")
        return moment
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    return value


def _read_big(value: Any) -> Any:
    return int(value) if isinstance(value, str) and _BIG(value) else value


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$", strict=True)]
Utc = Annotated[
    AwareDatetime,
    BeforeValidator(_read_time),
    PlainSerializer(iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": _TIME_PATTERN}),
]
"""An instant. In JSON: RFC 3339, UTC, six digits of seconds, Z."""
BigInt = Annotated[
    int,
    BeforeValidator(_read_big),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^-?\d+$"}),
]
"""A 64-bit integer. In JSON: decimal text, since a JSON number is exact only up to 2^53."""
Count = Annotated[int, Field(ge=0, lt=2**53)]


class Fact(BaseModel):
    """Base of everything that is written into a manifest: no unknown key, no silent conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class TableFingerprint(Fact):
    """The content of one relation that holds rows: independent of row order and of server settings."""

    schema_name: str
    name: str
    kind: Literal["table", "partition", "matview", "extension_config"]
    """`matview` is rebuilt, not loaded, by a restore: its rows may be newer than those of the backup.
    `extension_config` is a table of an extension of which pg_dump saves the user's rows only."""
    columns: list[str]
    """Names, sorted by code point: the order in which the columns were read."""
    rows: Count
    sha256: Sha256
    populated: bool = True
    """False: a materialized view created WITH NO DATA; it has no rows to read."""

    @property
    def label(self) -> str:
        """`schema.name`, for people."""
        return f"{self.schema_name}.{self.name}"


class SequenceFingerprint(Fact):
    """Sequences do not follow transactions, so the values before and after the dump are both kept.
    A restored sequence must lie between them."""

    schema_name: str
    name: str
    last_value: BigInt
    is_called: bool
    last_value_after: BigInt | None = None
    is_called_after: bool | None = None

    @property
    def label(self) -> str:
        return f"{self.schema_name}.{self.name}"


class LargeObjects(Fact):
    """All large objects: how many, their bytes, and one digest over (oid, chunk number, chunk) lines."""

    count: Count
    size: Count
    sha256: Sha256


class ObjectDigests(Fact):
    """Every object of one kind: identity -> SHA-256 of the canonical JSON of its definition."""

    sha256: Sha256
    objects: dict[str, Sha256]


class Extension(Fact):
    """An installed extension."""

    name: str
    version: str
    schema_name: str


class DatabaseFingerprint(Fact):
    """What a database held at one snapshot."""

    algorithm: Literal["tidewatch-rowset-1"] = ALGORITHM
    database: str
    server_version: str
    server_version_num: Count
    encoding: str
    collation: str
    tables: list[TableFingerprint]
    foreign_tables: list[str]
    """`schema.name` of tables whose rows live elsewhere: listed, not read."""
    sequences: list[SequenceFingerprint]
    large_objects: LargeObjects
    extensions: list[Extension]
    schema_objects: dict[str, ObjectDigests]
    """kind of object (table, column, constraint, index, view, ...) -> digests."""
    schema_sha256: Sha256
    grants: ObjectDigests
    roles: ObjectDigests
    content_sha256: Sha256
    """SHA-256 over the canonical JSON of `tables` (names, columns, rows, digests) and `large_objects`."""

    @property
    def rows(self) -> int:
        """Rows of all tables together, without those of materialized views (they are derived)."""
        return sum(t.rows for t in self.tables if t.kind != "matview")


class ReplayAnswer(Fact):
    """What one statement answered in the backup's own snapshot. The answer itself is never kept: the manifest
    is not encrypted. `rows` and `sha256` are there when it was answered, `error` when it was not."""

    name: str
    statement: str
    rows: Count | None = None
    sha256: Sha256 | None = None
    """As of a table's rows (`tidewatch-rowset-1`): the order of the rows is not part of it."""
    error: str | None = None
