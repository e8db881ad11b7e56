"""A gate as it stands in config/gates/<name>.yaml, checked when it is read."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tidewatch.core.canonical import digest
from tidewatch.core.config import Strict, read_yaml
from tidewatch.core.errors import ConfigError
from tidewatch.quality.vocabulary import KINDS, NO_PREDICATE, Kind

Severity = Literal["critical", "warning"]
Scalar = str | bool | int | float
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")]

_PARAMETER = re.compile(r"^\$([A-Z][A-Z0-9_]*)$")
_NEAR = 3


def near(name: str, known: list[str] | tuple[str, ...]) -> str:
    """The known names that look like `name`, or all of them when none does."""
    close = get_close_matches(name, known, n=_NEAR, cutoff=0.6)
    return "did you mean " + " or ".join(close) if close else "one of " + ", ".join(sorted(known))


class Expectation(BaseModel):
    """One line of a gate. Keys that are not fields here are arguments of the Great Expectations type."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str
    severity: Severity = "critical"
    """critical: its failure fails the gate and its bad rows go to quarantine; warning: it is only told."""
    where: dict[str, Scalar] = {}
    """Only rows in which each of these columns has this value are judged."""
    note_zh: str = ""
    note_en: str = ""

    @model_validator(mode="after")
    def _known(self) -> "Expectation":
        kind = KINDS.get(self.type)
        if kind is None:
            raise ValueError(_unknown_type(self.type))
        problems = [
            f"{self.type} takes no {name!r} ({near(name, kind.arguments)})"
            for name in self.arguments
            if name not in kind.arguments
        ]
        problems += [f"{self.type} needs {n!r}" for n in kind.required if self.arguments.get(n) is None]
        if self.where and not kind.conditional:
            problems.append(f"{self.type} speaks of the batch's columns and takes no `where`")
        problems += _argument_problems(self.arguments, kind)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the Great Expectations type, `$PARAMETER`s still in place unless resolved."""
        return dict(self.__pydantic_extra__ or {})

    @property
    def kind(self) -> Kind:
        """What the vocabulary says of this type."""
        return KINDS[self.type]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads, without those in `where`. Schema expectations read none."""
        if self.kind.level == "schema":
            return ()
        if "column_list" in self.arguments:
            return tuple(self.arguments["column_list"])
        return (self.arguments["column"],) if "column" in self.arguments else ()

    def resolved(self, params: Mapping[str, Any], place: str) -> "Expectation":
        """A copy with each `$NAME` replaced by `params["NAME"]`. Raises ConfigError naming `place`."""
        values = {name: _resolve(value, params, place) for name, value in self.arguments.items()}
        kind = self.kind
        if kind.bounded and values.get("min_value") is None and values.get("max_value") is None:
            raise ConfigError(
                f"{place}: {self.type} has neither a lower nor an upper bound",
                expected="a number for min_value, max_value or both",
                found="nothing for either once parameters are put in",
                do="give one of the two a value, or remove the expectation",
            )
        plain = self.model_dump(include={"type", "severity", "where", "note_zh", "note_en"})
        try:
            return Expectation(**plain, **values)
        except ValidationError as error:
            raise ConfigError(
                f"{place}: a parameter has a value that {self.type} cannot use",
                expected="; ".join(str(e["msg"]).removeprefix("Value error, ") for e in error.errors()),
                found=", ".join(
                    f"{n}: {str(values[n])[:60]}" for n in self.arguments if values[n] != self.arguments[n]
                ),
                do="correct the value that the caller of the gate passes",
            ) from None


class BatchGate(Strict):
    """The expectations on one batch."""

    key: list[str] = Field(default_factory=list)
    """Columns that name a row in messages. Choose columns that hold no personal data."""
    show_values: bool = False
    """Whether values of refused rows may stand in messages and data docs. They are always in quarantine."""
    expectations: list[Expectation] = Field(min_length=1)

    @property
    def declares_columns(self) -> bool:
        """Whether the gate itself says which columns there must be."""
        return any(e.kind.level == "schema" for e in self.expectations)


class Gate(BaseModel):
    """config/gates/<name>.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gate: Name
    description: str
    batches: dict[Name, BatchGate] = Field(min_length=1)

    @cached_property
    def sha256(self) -> str:
        """Digest of the gate's content, so that a judgement says by which version it was made."""
        return digest(self.model_dump(mode="json"))

    def resolved(self, params: Mapping[str, Any]) -> "Gate":
        """A copy with every parameter put in. Raises ConfigError for a parameter that is not given."""
        batches = {
            name: batch.model_copy(
                update={
                    "expectations": [
                        e.resolved(params, f"gate {self.gate}, batch {name}, expectation {i + 1}")
                        for i, e in enumerate(batch.expectations)
                    ]
                }
            )
            for name, batch in self.batches.items()
        }
        return Gate(gate=self.gate, description=self.description, batches=batches)


def load_gate(path: Path) -> Gate:
    """The gate in `path`; its name must be the file's. Raises ConfigError listing every problem at once."""
    gate = read_yaml(path, Gate)
    if gate.gate != path.stem:
        raise ConfigError(
            f"The gate in {path} has another name than its file",
            expected=f"gate: {path.stem}",
            found=f"gate: {gate.gate}",
            do="make the two the same: results are looked up by this name",
        )
    return gate


def _unknown_type(name: str) -> str:
    if name in NO_PREDICATE:
        return (
            f"{name} judges single rows, and Tidewatch has no predicate that selects its bad rows for "
            "quarantine; use one of "
            + ", ".join(t for t, k in KINDS.items() if k.level == "row")
            + ", or add the predicate (docs/gates.md)"
        )
    return f"there is no expectation {name!r} ({near(name, list(KINDS))})"


def _is_parameter(value: Any) -> bool:
    if isinstance(value, str):
        return _PARAMETER.match(value) is not None
    return isinstance(value, dict) and set(value) == {"$PARAMETER"}


def _resolve(value: Any, params: Mapping[str, Any], place: str) -> Any:
    if isinstance(value, list):
        return [_resolve(item, params, place) for item in value]
    if not _is_parameter(value):
        return value
    name = value["$PARAMETER"] if isinstance(value, dict) else value[1:]
    if name not in params:
        raise ConfigError(
            f"{place} uses ${name}, which has no value",
            expected=near(name, sorted(params)) if params else "a value given by the caller of the gate",
            found="no parameter of that name",
            do=f"correct the name in config/gates/, or pass {name}",
        )
    return params[name]


def _argument_problems(arguments: Mapping[str, Any], kind: Kind) -> list[str]:
    """What is wrong with the values; a parameter is checked when it has a value."""
    problems = []
    if kind.bounded and "min_value" not in arguments and "max_value" not in arguments:
        problems.append("needs min_value, max_value or both")
    for name, value in arguments.items():
        check = _CHECKS.get(name)
        if check is not None and not _is_parameter(value):
            wanted, good = check
            if not good(value):
                problems.append(f"{name} must be {wanted}, not {str(value)[:60]!r}")
    return problems


def _is_regex(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        re.compile(value)
    except re.error:
        return False
    return True


def _names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) and v for v in value)


def _fraction(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


def _bound(value: Any) -> bool:
    return value is None or (
        isinstance(value, int | float | str) and not isinstance(value, bool) and value != ""
    )


_FLAG = ("true or false", lambda v: isinstance(v, bool))
_BOUND = ("a number, a date as text or null", _bound)
_CHECKS: dict[str, tuple[str, Any]] = {
    "column": ("the name of a column", lambda v: isinstance(v, str) and v != ""),
    "column_list": ("a list of column names", _names),
    "column_set": ("a list of column names", _names),
    "value_set": ("a list of at least one value", lambda v: isinstance(v, list) and bool(v)),
    "regex": ("a regular expression", _is_regex),
    "mostly": ("a fraction above 0 and up to 1", _fraction),
    "value": ("a whole number", lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 0),
    "strict_min": _FLAG,
    "strict_max": _FLAG,
    "exact_match": _FLAG,
    "min_value": _BOUND,
    "max_value": _BOUND,
}
