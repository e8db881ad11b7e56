"""A staged batch: rows in memory (pandas) or rows that a query finds in PostgreSQL."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import LiteralString, TypeAlias

import pandas as pd
import psycopg
from pandas.api.types import is_object_dtype
from psycopg import sql as compose

from tidewatch.core.database import Connection, connect, describe
from tidewatch.core.errors import ConfigError
from tidewatch.quality.gate import BatchGate, Expectation, Gate, near
from tidewatch.quality.plain import clean, short

# Rows come from strangers and may hold half a character, which Arrow's strings refuse: where pyarrow is
# installed, pandas would take those for every column of text.
pd.options.mode.string_storage = "python"

_TEMPLATE = re.compile(r"%|(?<![:\w]):\w+")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class SqlBatch:
    """The rows of `sql` (one SELECT) at `dsn`. They must not change while they are judged: stage them.

    Raises ConfigError for a statement with `%` or `:name`, which Great Expectations does not pass on as it
    stands: it compiles the text as a template, and twice. `::type` is all right.
    """

    dsn: str = field(repr=False)
    sql: str

    def __post_init__(self) -> None:
        template = _TEMPLATE.search(self.sql)
        if template:
            raise ConfigError(
                "The query of a batch holds a sign that Great Expectations would take for a parameter",
                expected="a SELECT without % and :name (a cast with :: is all right)",
                found=template[0],
                do="stage the rows in a table or a view and select from that; mod() and starts_with() "
                "need no % either",
            )

    @property
    def text(self) -> str:
        """The statement without what may follow it."""
        return self.sql.strip().rstrip(";")

    def subquery(self) -> compose.Composed:
        """`(SELECT …) AS batch`. The line break ends a trailing comment of the statement."""
        # psycopg asks for literal text; the statement comes from our own code, not from input.
        text: LiteralString = self.text
        return compose.SQL("(\n{}\n) AS batch").format(compose.SQL(text))

    def open(self) -> Connection:
        """A read-only connection to the rows; the caller closes it."""
        conn = connect(self.dsn, application_name="tidewatch quality")
        conn.read_only = True
        return conn


Batch: TypeAlias = pd.DataFrame | SqlBatch


@dataclass(frozen=True)
class Shape:
    """Column names in order, and the number of rows."""

    columns: tuple[str, ...]
    rows: int


def shape(batch: Batch) -> Shape:
    """Columns and row count of `batch`; of an SqlBatch they are asked of the database."""
    if isinstance(batch, pd.DataFrame):
        return Shape(tuple(str(c) for c in batch.columns), len(batch))
    with batch.open() as conn:
        try:
            cursor = conn.execute(compose.SQL("SELECT * FROM {} LIMIT 0").format(batch.subquery()))
            columns = tuple(c.name for c in cursor.description or ())
            query = compose.SQL("SELECT count(*) AS n FROM {}").format(batch.subquery())
            row = conn.execute(query).fetchone()
        except psycopg.ProgrammingError as error:
            raise ConfigError(
                f"The query of a batch does not run in {describe(batch.dsn)}",
                expected="one SELECT that this user may run",
                found=short(" ".join(str(error).split())),
                do="correct the query, or stage the table that it reads",
            ) from error
    return Shape(columns, int(row["n"]) if row else 0)


def encodable(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` without lone surrogates, which Great Expectations cannot hash and jsonb cannot hold."""

    def broken(value: object) -> bool:
        return isinstance(value, str) and _SURROGATE.search(value) is not None

    whole = frame
    for column in frame.columns:
        kind = frame[column].dtype
        if (is_object_dtype(kind) or isinstance(kind, pd.StringDtype)) and frame[column].map(broken).any():
            whole = whole.copy() if whole is frame else whole
            whole[column] = frame[column].map(lambda v: clean(v) if broken(v) else v)
    return whole


def check_names(gate: Gate, batches: Mapping[str, Batch]) -> None:
    """The batches given are exactly those of the gate: one too many would go unjudged. Raises ConfigError."""
    missing = sorted(set(gate.batches) - set(batches))
    unknown = sorted(set(batches) - set(gate.batches))
    if missing or unknown:
        raise ConfigError(
            f"Gate {gate.gate} was given other batches than it judges",
            expected=", ".join(sorted(gate.batches)),
            found="; ".join(
                [f"no batch {n}" for n in missing]
                + [f"{n}, which it does not know ({near(n, list(gate.batches))})" for n in unknown]
            ),
            do=f"correct the names in config/gates/{gate.gate}.yaml, or what the caller passes",
        )


def absent_columns(expectation: Expectation, columns: tuple[str, ...]) -> list[str]:
    """Columns that the expectation reads and the batch does not have."""
    return [c for c in dict.fromkeys((*expectation.columns, *expectation.where)) if c not in columns]


def check_columns(gate: Gate, name: str, batch: BatchGate, columns: tuple[str, ...]) -> None:
    """Every column that the gate names exists, once. Raises ConfigError.

    A batch whose gate declares its columns (expect_table_columns_to_match_set and the like) is let through:
    there a missing column is a finding about the data, told by that expectation, not a slip in the gate.
    """
    doubled = sorted({c for c in columns if columns.count(c) > 1})
    if doubled:
        raise ConfigError(
            f"Batch {name} of gate {gate.gate} has two columns of one name",
            expected="column names that are all different",
            found=", ".join(doubled),
            do="rename one of them where the batch is staged",
        )
    if batch.declares_columns:
        return
    wanted = [c for e in batch.expectations for c in absent_columns(e, columns)]
    wanted += [c for c in batch.key if c not in columns]
    if wanted:
        unique = list(dict.fromkeys(wanted))
        raise ConfigError(
            f"Gate {gate.gate} names columns that batch {name} does not have",
            expected="; ".join(
                f"{c}: {near(c, columns) if columns else 'the batch has no columns'}" for c in unique
            ),
            found=", ".join(unique),
            do=f"correct the column in config/gates/{gate.gate}.yaml, or in the code that stages {name}",
        )
