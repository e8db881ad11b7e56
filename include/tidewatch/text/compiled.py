"""Functions compiled to machine code: numba's decorator, typed. Importing this module imports numba, so it is
imported where it is used, not at the head of what a Dag file or the command line imports."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """`function` compiled at its first call, kept on disk beside it (or under NUMBA_CACHE_DIR) for the next
    process. It releases the interpreter's lock. Floating point is not reordered: same input, same bytes."""
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
