"""Runs expectations on a batch with Great Expectations (GX) and says what it found, in our own terms.

GX takes seconds to import and is imported only here, inside functions. Every run has a context of its own in
memory; nothing is read from or written to a GX project, and nothing is sent anywhere.
"""

import logging
import os
import re
import threading
import warnings
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from tidewatch.core.errors import ConfigError
from tidewatch.quality.batch import Batch, SqlBatch, absent_columns
from tidewatch.quality.gate import BatchGate, Expectation
from tidewatch.quality.plain import short, text

# GX keeps "the current context" of the process in one global: two runs at once would see each other's.
_ONE_AT_A_TIME = threading.Lock()
_POSITION = "tidewatch_position"
_SENTENCES: dict[str, str] = {}
"""What GX made of an expectation, by its type and arguments: wording costs as much as judging does."""
_SENTENCES_KEPT = 2000


@dataclass(frozen=True)
class Finding:
    """What GX found for one expectation. `evaluated` is False when it could not be judged at all."""

    expectation: Expectation
    success: bool
    evaluated: bool
    limit: str
    """The expectation as a sentence, with its values."""
    observed: str
    unexpected: int | None
    """Bad rows (level "row" only)."""
    judged: int | None
    """Rows it looked at (level "row" only), nulls included."""


@dataclass(frozen=True)
class Findings:
    """One Finding per expectation in the gate's order, and GX's own result as JSON-like data."""

    findings: list[Finding]
    raw: dict[str, Any]


def run(name: str, rules: BatchGate, batch: Batch, columns: tuple[str, ...], run_time: datetime) -> Findings:
    """Judge `batch` by `rules` (parameters already put in). Raises ConfigError for arguments GX refuses."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gx = import_gx()
        present = {i: e for i, e in enumerate(rules.expectations) if not absent_columns(e, columns)}
        context = _context(gx)
        expectations = [_build(name, position, expectation) for position, expectation in present.items()]
        suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
        result = _validate(gx, context, name, suite, batch, run_time, show_values=rules.show_values)
        by_position = {r.expectation_config.meta[_POSITION]: r for r in result.results}
        findings = [
            _finding(expectation, by_position[i], rules.show_values)
            if i in present
            else _not_there(expectation, absent_columns(expectation, columns))
            for i, expectation in enumerate(rules.expectations)
        ]
        return Findings(findings, dict(result.to_json_dict()))


def import_gx() -> Any:
    """Great Expectations, told to send nothing and to keep its progress and log chatter to itself."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations as gx

    # This one gives itself a level when it is imported, and tells about every context it makes.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.ERROR)
    return gx


def _context(gx: Any) -> Any:
    """A context in memory, without a docs site, progress bars or usage statistics."""
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _build(name: str, position: int, expectation: Expectation) -> Any:
    from great_expectations.compatibility.pydantic import ValidationError
    from great_expectations.expectations.registry import get_expectation_impl
    from great_expectations.expectations.row_conditions import Column

    arguments = expectation.arguments
    condition = None
    for column, value in expectation.where.items():
        clause = Column(column) == value
        condition = clause if condition is None else condition & clause
    if condition is not None:
        arguments["row_condition"] = condition
    try:
        return get_expectation_impl(expectation.type)(
            **arguments, severity=expectation.severity, meta={_POSITION: position}
        )
    except (ValidationError, ValueError, TypeError) as error:
        raise ConfigError(
            f"Batch {name}, expectation {position + 1}: Great Expectations refuses {expectation.type}",
            expected="arguments of the right kind",
            found=short(" ".join(str(error).split())),
            do="correct the arguments in config/gates/, or the parameters given to the gate",
        ) from error


def _validate(
    gx: Any, context: Any, name: str, suite: Any, batch: Batch, run_time: datetime, *, show_values: bool
) -> Any:
    parameters: dict[str, Any] | None = None
    if isinstance(batch, SqlBatch):
        source = context.data_sources.add_postgres(name, connection_string=sqlalchemy_url(batch.dsn))
        asset = source.add_query_asset(name, query=batch.text)
        definition = asset.add_batch_definition_whole_table(name)
    else:
        asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
        definition = asset.add_batch_definition_whole_dataframe(name)
        parameters = {"dataframe": batch}
    validation = gx.ValidationDefinition(name=name, data=definition, suite=suite)
    try:
        result = validation.run(
            batch_parameters=parameters,
            run_id=gx.RunIdentifier(run_time=run_time),
            result_format={
                "result_format": "SUMMARY",
                "partial_unexpected_count": 20 if show_values else 0,
                "exclude_unexpected_values": not show_values,
            },
        )
    finally:
        if isinstance(batch, SqlBatch):
            source.get_engine().dispose()
    return result


def sqlalchemy_url(dsn: str) -> str:
    """`dsn` (URI or key=value) as the read-only SQLAlchemy URL that GX wants; sockets become `?host=`."""
    from sqlalchemy.engine import URL

    parts = {k: str(v) for k, v in conninfo_to_dict(dsn).items() if v is not None}
    user, password = parts.pop("user", None), parts.pop("password", None)
    database = parts.pop("dbname", None)
    parts["options"] = (parts.get("options", "") + " -c default_transaction_read_only=on").strip()
    url = URL.create(
        # GX insists on a host in the URL; the one in the query is the one that is used.
        "postgresql+psycopg",
        user,
        password,
        "localhost",
        database=database,
        query=parts,
    ).render_as_string(hide_password=False)
    # A dollar sign would be taken for a variable of GX's configuration.
    return url.replace("$", "%24")


def _finding(expectation: Expectation, result: Any, show_values: bool) -> Finding:
    limit = _sentence(result, expectation)
    problem = _exception(result.exception_info)
    if problem is not None:
        # The text of the exception may quote a value of the batch.
        detail = f": {short(problem)}" if show_values else ""
        return Finding(expectation, False, False, limit, f"could not be evaluated{detail}", None, None)
    if expectation.kind.level == "row":
        # Over no rows at all, SQL sums to null.
        bad, judged = int(result.result["unexpected_count"] or 0), int(result.result["element_count"] or 0)
        return Finding(expectation, bool(result.success), True, limit, _rows_text(bad, judged), bad, judged)
    observed = _observed(result.result, expectation, show_values)
    return Finding(expectation, bool(result.success), True, limit, observed, None, None)


def _rows_text(bad: int, judged: int) -> str:
    if not bad:
        return f"all {judged} rows as expected" if judged else "no rows to judge"
    return f"{bad} of {judged} rows not as expected ({100 * bad / judged:.3g} %)"


def _not_there(expectation: Expectation, columns: list[str]) -> Finding:
    observed = "the batch has no column " + ", ".join(columns)
    return Finding(expectation, False, False, _arguments_text(expectation), observed, None, None)


def _exception(info: Any) -> str | None:
    """The message of the exception that stopped an expectation; GX nests several of them by metric."""
    if not isinstance(info, dict):
        return None
    if "raised_exception" in info:
        return str(info.get("exception_message")) if info["raised_exception"] else None
    messages = [m for m in (_exception(nested) for nested in info.values()) if m is not None]
    if messages:
        return messages[0]
    return "Great Expectations reported an exception without a text" if info else None


def _observed(result: dict[str, Any], expectation: Expectation, show_values: bool) -> str:
    value = result.get("observed_value")
    if expectation.kind.level == "schema":
        mismatched = (result.get("details") or {}).get("mismatched")
        if isinstance(mismatched, dict):
            if expectation.arguments.get("exact_match") is False:
                mismatched.pop("unexpected", None)
            return short("; ".join(f"{k}: {', '.join(map(text, v))}" for k, v in sorted(mismatched.items())))
        return short(text(value)) if value is not None else "not so"
    if isinstance(value, str | list | dict) and not show_values:
        return "a value that is not shown (show_values is off in the gate)"
    return short(text(value))


def _arguments_text(expectation: Expectation) -> str:
    where = [f"where {c} = {text(v)}" for c, v in expectation.where.items()]
    return short(", ".join([f"{k} {text(v)}" for k, v in expectation.arguments.items()] + where))


def _sentence(result: Any, expectation: Expectation) -> str:
    """GX's own wording of the expectation, its parameters put in as plain text."""
    key = repr((expectation.type, expectation.arguments, expectation.where))
    if key not in _SENTENCES:
        if len(_SENTENCES) >= _SENTENCES_KEPT:
            _SENTENCES.clear()
        _SENTENCES[key] = _worded(result.expectation_config) or _arguments_text(expectation)
    return _SENTENCES[key]


def _worded(config: Any) -> str | None:
    from great_expectations.render.renderer.inline_renderer import InlineRenderer

    for block in InlineRenderer(render_object=config).get_rendered_content():
        value = block.to_json_dict().get("value") or {}
        if value.get("template"):
            return short(_filled(str(value["template"]).removesuffix("."), value.get("params") or {}))
    return None


def _filled(template: str, params: dict[str, Any]) -> str:
    """`$name`s replaced in one pass, so that a value which looks like a name stays a value."""
    if not params:
        return template
    names = sorted(map(re.escape, params), key=len, reverse=True)
    return re.sub(r"\$(" + "|".join(names) + ")", lambda m: text(params[m[1]].get("value")), template)
