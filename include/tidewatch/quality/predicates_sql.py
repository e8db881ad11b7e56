"""Which rows of a query are bad: the predicates of `predicates.py` as PostgreSQL conditions.

Values are put in as literals, as Great Expectations does, so that both compare in the same types. Regular
expressions are PostgreSQL's. In SQL a null is never equal to a null: rows with a null in one of the columns
of expect_compound_columns_to_be_unique are not judged.
"""

from collections.abc import Callable
from typing import Any

from psycopg import sql

from tidewatch.quality.gate import Expectation

Condition = sql.Composed


def bad_condition(expectation: Expectation) -> Condition:
    """A condition that is true for exactly the rows that the row-level `expectation` refuses."""
    scope = scope_condition(expectation)
    bad = CONDITIONS[expectation.type](expectation.arguments, scope)
    return sql.SQL("coalesce({} AND ({}), false)").format(scope, bad)


def scope_condition(expectation: Expectation) -> Condition:
    """A condition that is true for the rows that `where` chooses."""
    clauses: list[sql.Composable] = [
        sql.SQL("{} = {}").format(sql.Identifier(column), sql.Literal(value))
        for column, value in expectation.where.items()
    ]
    return sql.SQL("({})").format(sql.SQL(" AND ").join(clauses) if clauses else sql.SQL("true"))


def _column(arguments: dict[str, Any]) -> sql.Identifier:
    return sql.Identifier(arguments["column"])


def _bounds(what: sql.Composable, arguments: dict[str, Any]) -> Condition:
    clauses: list[sql.Composable] = []
    if arguments.get("min_value") is not None:
        operator = sql.SQL(">" if arguments.get("strict_min") else ">=")
        clauses.append(sql.SQL("{} {} {}").format(what, operator, sql.Literal(arguments["min_value"])))
    if arguments.get("max_value") is not None:
        operator = sql.SQL("<" if arguments.get("strict_max") else "<=")
        clauses.append(sql.SQL("{} {} {}").format(what, operator, sql.Literal(arguments["max_value"])))
    return sql.SQL("{} IS NOT NULL AND NOT ({})").format(what, sql.SQL(" AND ").join(clauses))


def _in_set(arguments: dict[str, Any]) -> Condition:
    values = [sql.Literal(v) for v in arguments["value_set"] if v is not None]
    if not values:
        return sql.SQL("{} IS NULL AND false").format(_column(arguments))
    return sql.SQL("{} IN ({})").format(_column(arguments), sql.SQL(", ").join(values))


def _matches(arguments: dict[str, Any]) -> Condition:
    return sql.SQL("{} ~ {}").format(_column(arguments), sql.Literal(arguments["regex"]))


def _there_and(arguments: dict[str, Any], condition: sql.Composable, *, negated: bool) -> Condition:
    form = sql.SQL("{} IS NOT NULL AND NOT ({})" if negated else "{} IS NOT NULL AND ({})")
    return form.format(_column(arguments), condition)


def _repeated(columns: list[str], scope: sql.Composable) -> Condition:
    names: list[sql.Composable] = [sql.Identifier(c) for c in columns]
    there = sql.SQL(" AND ").join([sql.SQL("{} IS NOT NULL").format(n) for n in names])
    return sql.SQL("{} AND count(*) FILTER (WHERE {}) OVER (PARTITION BY {}) > 1").format(
        there, scope, sql.SQL(", ").join(names)
    )


def _length(arguments: dict[str, Any]) -> Condition:
    return sql.SQL("length({})").format(_column(arguments))


CONDITIONS: dict[str, Callable[[dict[str, Any], Condition], Condition]] = {
    "expect_column_values_to_not_be_null": lambda a, _: sql.SQL("{} IS NULL").format(_column(a)),
    "expect_column_values_to_be_null": lambda a, _: sql.SQL("{} IS NOT NULL").format(_column(a)),
    "expect_column_values_to_be_between": lambda a, _: _bounds(_column(a), a),
    "expect_column_values_to_be_in_set": lambda a, _: _there_and(a, _in_set(a), negated=True),
    "expect_column_values_to_not_be_in_set": lambda a, _: _there_and(a, _in_set(a), negated=False),
    "expect_column_values_to_match_regex": lambda a, _: _there_and(a, _matches(a), negated=True),
    "expect_column_values_to_not_match_regex": lambda a, _: _there_and(a, _matches(a), negated=False),
    "expect_column_values_to_be_unique": lambda a, scope: _repeated([a["column"]], scope),
    "expect_column_value_lengths_to_be_between": lambda a, _: _bounds(_length(a), a),
    "expect_column_value_lengths_to_equal": lambda a, _: sql.SQL("{} <> {}").format(
        _length(a), sql.Literal(a["value"])
    ),
    "expect_compound_columns_to_be_unique": lambda a, scope: _repeated(a["column_list"], scope),
}
