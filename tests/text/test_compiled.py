"""Compiled functions work wherever they are installed."""

from typing import Any

from tidewatch.text.compiled import compiled


def test_a_function_is_compiled_where_nothing_can_be_kept() -> None:
    made: dict[str, Any] = {}
    exec(compile("def twice(x): return x + x", "/nowhere/module.py", "exec"), made)  # noqa: S102
    assert compiled(made["twice"])(21) == 42
