"""Commands to the process that tunes a study.

pause, resume            start no new trials, or start them again
stop                     end the call; live runs finish, or are canceled
cancel                   stop one trial's run; the trial fails
set                      change limits: max_parallel, n_trials
hand_over                end at once and leave the live runs to the next owner
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COMMANDS = ("pause", "resume", "stop", "cancel", "set", "hand_over")


@dataclass(frozen=True)
class Control:
    """One command that is not done yet.

    Args:
        argument: ``{"runs": "cancel"}`` of a stop, ``{"trial": 12}`` of a cancel, the limits of
            a set.
    """

    id: int
    command: str
    argument: Mapping[str, Any]

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in self.argument.items())
        return " ".join(filter(None, [self.command.replace("_", " "), told]))
