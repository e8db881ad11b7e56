"""Reads the YAML files that users edit. An error names the file, the key, what was expected and found."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from tidewatch.core.errors import ConfigError

M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    """A configuration model: a key that nobody knows is an error, not a silent no-op."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML lets a later key replace an earlier one in silence; a config file must not."""


def _mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[object, object]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} stands here twice", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path, model: type[M]) -> M:
    """`path` as `model`. Raises ConfigError listing every problem at once."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The file {path} cannot be read",
            expected="a YAML file in UTF-8",
            found=type(error).__name__,
            do=f"create {path.name} in {path.parent} (config/ of the repository shows one)",
        ) from error
    try:
        content = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(
            f"The file {path} is not valid YAML",
            expected="YAML",
            found=f"{getattr(error, 'problem', None) or 'a syntax error'}{where}",
            do="correct that line (indentation, colons and quotes are the usual causes)",
        ) from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = [_problem(dict(e)) for e in error.errors()]
        raise ConfigError(
            f"{path} has {len(problems)} problem(s)",
            expected="; ".join(p[0] for p in problems),
            found="; ".join(p[1] for p in problems),
            do=f"correct these keys in {path}",
        ) from error


def _problem(error: dict[str, object]) -> tuple[str, str]:
    location = error["loc"]
    key = (
        ".".join(str(part) for part in location)
        if isinstance(location, tuple) and location
        else "(whole file)"
    )
    message = str(error["msg"])
    if error["type"] == "extra_forbidden":
        return f"{key}: no such key", f"{key}: a key that is not known (a typing error?)"
    if error["type"] == "missing":
        return f"{key}: a value", f"{key}: nothing"
    return f"{key}: {message}", f"{key}: {str(error.get('input'))[:80]!r}"
