"""Reads the YAML files that users edit. An error names the file, the key, what was expected and found."""

import re
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from tidewatch.core.confighelp import explain
from tidewatch.core.errors import ConfigError
from tidewatch.core.settings import load_settings

M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    """A configuration model: a key that nobody knows is an error, not a silent no-op."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def expand_path(text: str) -> str:
    """`text` as an absolute path.

    `${TIDEWATCH_HOME}` and `${TIDEWATCH_PROJECT}` are replaced; a relative path is relative to the project.

    Nothing else is expanded: no other variable (a config file must not be able to pull secrets out of the
    environment into a path that is logged), no `~`, no wildcard. Raises ValueError.
    """
    settings = load_settings()
    known = {"TIDEWATCH_HOME": settings.home, "TIDEWATCH_PROJECT": settings.project}

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in known or not match.group(0).endswith("}"):
            raise ValueError(f"only {' and '.join(f'${{{k}}}' for k in known)} are replaced, not ${{{name}}}")
        return str(known[name])

    path = re.sub(r"\$\{([^}]*)\}?", value, text)
    if not path.strip() or "\0" in path:
        raise ValueError("a path is not empty and holds no NUL")
    if path.startswith("~"):
        raise ValueError("`~` is not expanded, because it differs between users; write the whole path")
    return str(settings.project / path)


ProjectPath = Annotated[str, AfterValidator(expand_path)]
"""A path in a configuration file, absolute once it is read; see `expand_path`."""


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML lets a later key replace an earlier one in silence; a config file must not."""


_MERGE = "tag:yaml.org,2002:merge"


def _mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[object, object]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(
                None, None, "a key is not plain text (text with braces needs quotes)", key_node.start_mark
            )
        if key_node.tag == _MERGE:
            continue
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} stands here twice", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path, model: type[M]) -> M:
    """`path` as `model`. Raises ConfigError listing every problem at once.

    The errors have no cause attached: PyYAML's and pydantic's own texts quote the file.
    """
    content = _parse(path, _text(path))
    if content is None:
        raise ConfigError(
            f"The file {path} is empty",
            expected="the keys " + ", ".join(model.model_fields),
            found="nothing but white space or comments",
            do=f"write them into {path.name} (config/ of the repository shows one)",
        )
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = [explain(model, content, e) for e in error.errors(include_url=False)]
        one = len(problems) == 1
        raise ConfigError(
            f"{path} has {'a problem' if one else f'{len(problems)} problems'}",
            expected="; ".join(f"{p.key}: {p.expected}" for p in problems),
            found="; ".join(f"{p.key}: {p.found}" for p in problems),
            do=f"correct {'this key' if one else 'these keys'} in {path}",
        ) from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"The file {path} cannot be read",
            expected="a YAML file",
            found=error.strerror or type(error).__name__,
            do=f"create {path.name} in {path.parent} (config/ of the repository shows one), or set "
            "TIDEWATCH_CONFIG_DIR",
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"The file {path} cannot be read",
            expected="text in UTF-8",
            found=f"byte {error.start + 1} that is not UTF-8",
            do="save the file as UTF-8 (editors call it so in `save as`)",
        ) from None


def _parse(path: Path, text: str) -> object:
    try:
        content: object = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except RecursionError:
        raise ConfigError(
            f"The file {path} is not valid YAML",
            expected="YAML",
            found="lists or mappings inside one another, deeper than can be read",
            do="look whether this is the right file",
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: something that looks like a date and is none.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None)
        if problem is None:
            problem = (
                "a syntax error" if isinstance(error, yaml.YAMLError) else f"a value YAML refuses: {error}"
            )
        raise ConfigError(
            f"The file {path} is not valid YAML",
            expected="YAML",
            found=f"{problem}{where}",
            do="correct that line (indentation, colons and quotes are the usual causes)",
        ) from None
    return content
