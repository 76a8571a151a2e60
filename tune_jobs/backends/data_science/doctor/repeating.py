"""Requests that are repeated while an answer may be a passing trouble of the network or service.

One such answer says nothing about a tenancy, and must not leave behind what has to be removed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from tune_jobs.runtime.oci_answers import CONFLICT, read_answer

_PAUSES = (0.5, 1.0, 2.0, 4.0)


def repeat(call: Callable[[], Any], *, conflicts: bool = True) -> Any:
    """Return the answer to a request, repeating it a few times if that may help.

    Args:
        call: Makes the request.
        conflicts: Whether it is also repeated when it conflicts with another one.
    """
    for pause in _PAUSES:
        try:
            return call()
        except Exception as error:  # whatever the SDK raises
            meaning = read_answer(error)
            if not meaning.is_transient or (meaning.kind == CONFLICT and not conflicts):
                raise
            time.sleep(pause)
    return call()


class RepeatingClient:
    """Client of the SDK whose requests are repeated; a conflict is an answer.

    Args:
        client: The client.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not callable(method):
            return method

        @wraps(method)
        def ask(*arguments: Any, **options: Any) -> Any:
            return repeat(lambda: method(*arguments, **options), conflicts=False)

        return ask
