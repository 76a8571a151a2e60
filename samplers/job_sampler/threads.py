"""Restriction of linear algebra to one thread."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from typing import Any

from threadpoolctl import ThreadpoolController


def limit_blas_threads() -> AbstractContextManager[Any]:
    """Return a context manager in which BLAS uses one thread.

    The matrices here are small: more threads mostly wait for each other. On two busy cores a
    suggestion was six times faster with one thread.
    """
    limited: AbstractContextManager[Any] = _find_libraries().limit(limits=1, user_api="blas")
    return limited


@functools.cache
def _find_libraries() -> ThreadpoolController:
    # The search through all loaded libraries is slow, and NumPy's and SciPy's are loaded by now.
    return ThreadpoolController()
