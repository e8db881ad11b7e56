"""Turns pydantic's findings about a configuration file in words: which key, what was expected and found."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

_SECRET_KEY = re.compile(r"pass|secret|token|url|key$|credential", re.IGNORECASE)
_SHOWN = 80


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `key` is the way to it: `sources[0] (ops).gate.history`."""

    key: str
    expected: str
    found: str


def explain(model: type[BaseModel], content: object, error: Mapping[str, Any]) -> Problem:
    """`error` is one entry of `ValidationError.errors()` for `content` read as `model`."""
    kind, context = str(error["type"]), error.get("ctx") or {}
    location = _existing(content, tuple(error["loc"]), missing=kind == "missing")
    if kind.startswith("union_tag"):
        location = (*location, str(context["discriminator"]).strip("'"))
    key = _way(content, location)
    value = error.get("input")
    if kind == "extra_forbidden":
        known = sorted(_fields(model, tuple(error["loc"])[:-1]))
        return Problem(key, "no such key", "a key that is not known" + _close(str(location[-1]), known))
    if kind == "missing":
        return Problem(key, "a value", "nothing")
    if kind == "union_tag_not_found":
        return Problem(key, "a value", "nothing")
    if kind == "union_tag_invalid":
        tags = str(context["expected_tags"])
        names = [t.strip().strip("'") for t in tags.split(",")]
        return Problem(key, f"one of {tags}", repr(context["tag"]) + _close(str(context["tag"]), names))
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    said = kind == "value_error"  # by a validator of our own, which says what it wants
    if (_is_date(value) and not said) or (kind == "string_type" and isinstance(value, bool | int | float)):
        message = "text; put quotes around it, otherwise YAML reads it as another kind of value"
    if kind == "literal_error" and isinstance(value, str):
        return Problem(key, message, _shown(key, value) + _close(value, re.findall(r"'([^']*)'", message)))
    return Problem(key, message[:1].lower() + message[1:], _shown(key, value))


def _existing(content: object, location: tuple[Any, ...], *, missing: bool) -> tuple[Any, ...]:
    """`location` without what pydantic adds of its own (the tag of a union, the name of a validator)."""
    kept: list[Any] = []
    here = content
    for index, part in enumerate(location):
        in_mapping = isinstance(here, Mapping) and part in here
        in_list = isinstance(here, list) and isinstance(part, int) and part < len(here)
        if in_mapping or in_list:
            here = _step(here, part)
        elif not (missing and index == len(location) - 1):
            continue
        kept.append(part)
    return tuple(kept)


def _way(content: object, location: tuple[Any, ...]) -> str:
    """`sources[0] (ops).connection`: items of a list with a `name` are shown by it too."""
    text = ""
    here = content
    for part in location:
        here = _step(here, part)
        if not isinstance(part, int):
            text += f".{part}" if text else str(part)
            continue
        text += f"[{part}]"
        name = here.get("name") if isinstance(here, Mapping) else None
        if isinstance(name, str) and len(name) <= _SHOWN // 2:
            text += f" ({name})"
    return text or "(whole file)"


def _step(here: object, part: Any) -> object:
    if isinstance(here, Mapping):
        return here.get(part)
    if isinstance(here, list) and isinstance(part, int) and part < len(here):
        return here[part]
    return None


def _shown(key: str, value: object) -> str:
    """The value, short; by its kind only when it is big or may be secret."""
    if isinstance(value, Mapping):
        return "a mapping with " + (", ".join(str(k) for k in value)[:_SHOWN] or "no key")
    if isinstance(value, list):
        return f"a list of {len(value)}"
    last = key.rsplit(".", 1)[-1]
    if isinstance(value, str) and (_SECRET_KEY.search(last) or "://" in value):
        return "a text (not shown, it may be secret)"
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _is_date(value: object) -> bool:
    return type(value).__module__ == "datetime"


def _close(word: str, known: Iterable[str]) -> str:
    candidates = list(known)
    close = difflib.get_close_matches(word.lower(), candidates, n=1, cutoff=0.6)
    if not close:
        lower = {c.lower(): c for c in candidates}
        close = [lower[m] for m in difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)]
    if close:
        return f" (did you mean {close[0]}?)"
    return f" (known: {', '.join(candidates)})" if len(candidates) <= 12 else ""


def _fields(model: type[BaseModel], location: tuple[Any, ...]) -> set[str]:
    """Names of the keys that are known at `location`."""
    models = {model}
    for part in location:
        if isinstance(part, int):
            continue
        inside = {
            found
            for m in models
            for name, field in m.model_fields.items()
            if part in (name, field.alias)
            for found in _models_in(field.annotation)
        }
        # Not a field: the tag of a union, which picks among the models, or a key of a plain mapping.
        tagged = {m for m in models if any(part in _literals(f.annotation) for f in m.model_fields.values())}
        models = inside or tagged or models
    return {field.alias or name for m in models for name, field in m.model_fields.items()}


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and not get_args(annotation):
        return {annotation}
    return {found for inner in get_args(annotation) for found in _models_in(inner)}


def _literals(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()
