"""Finding what a person named."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from tidewatch.core.errors import NotFound


class Named(Protocol):
    """Something with a name of its own."""

    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=Named)


def named(items: Iterable[N], name: str, kind: str, file: str) -> N:
    """The one of `items` that is called so. Raises NotFound, which names those there are; `kind` (`region`)
    and `file` (where they are declared) are for its text."""
    known = list(items)
    for item in known:
        if item.name == name:
            return item
    raise NotFound(
        f"There is no {kind} {name}",
        expected="one of " + ", ".join(item.name for item in known),
        found=name,
        do=f"correct the name, or add the {kind} to {file}",
    )
