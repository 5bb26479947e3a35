"""One thread for each numerical library call.

Tree ensembles and neighbour searches of this size gain little from a second thread on a quiet machine and lose tenfold
on a busy one, where threads that spin at barriers wait for threads that are not running. The runner measures two things
at a time instead.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from typing import Any


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    for library in ("sklearn.ensemble", "sklearn.neighbors"):
        import_module(library)  # limits reach only what is loaded already
    return ThreadpoolController()


def one_openmp_thread() -> AbstractContextManager[Any]:
    """Inside, OpenMP code that the calling thread starts stays in it. OpenMP keeps this limit per thread."""
    limit: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="openmp")
    return limit


def one_thread_each() -> AbstractContextManager[Any]:
    """Inside, linear algebra of the whole process runs in the thread that asks for it."""
    limit: AbstractContextManager[Any] = _controller().limit(limits=1)
    return limit
