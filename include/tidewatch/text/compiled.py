"""Functions compiled to machine code: numba's decorator, typed. Importing this module imports numba, so it is
imported where it is used, not at the head of what a Dag file or the command line imports."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """`function` compiled at its first call, kept on disk (under NUMBA_CACHE_DIR, beside the module, or in
    the user's cache) for the next process; where nothing can be written, compiled by each process anew.

    What is kept is renewed when its own file changes: call no compiled function of another file. The
    interpreter's lock is released. Floating point is not reordered: same input, same bytes.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return cast(F, numba.njit(cache=True, **options)(function))
    except RuntimeError:  # no place for it
        return cast(F, numba.njit(**options)(function))
