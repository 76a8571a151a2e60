"""Commands to the process that tunes a study.

pause, resume     start no new trials, or start them again
stop              end the call; live runs finish, or are canceled
cancel            stop the run of one trial; the trial fails
set               change limits: max_parallel, n_trials
hand_over         end at once and leave the live runs to the next owner
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from tune_jobs.core.attempts import Attempt

COMMANDS = ("pause", "resume", "stop", "cancel", "set", "hand_over")


@dataclass(frozen=True)
class Control:
    """A command that is not completed yet.

    Args:
        argument: ``{"runs": "cancel"}`` of a stop, ``{"trial": 12}`` of a cancel, the limits of
            a set.
    """

    id: int
    command: str
    argument: Mapping[str, Any]

    def __str__(self) -> str:
        arguments = ", ".join(f"{name}={value}" for name, value in self.argument.items())
        return " ".join(filter(None, [self.command.replace("_", " "), arguments]))


def find_cancel_problem(trial: int, state: str | None, attempts: Iterable[Attempt]) -> str | None:
    """Return why a trial cannot be canceled; None if it can.

    Args:
        trial: Its number.
        state: Its state; None if there is no such trial.
        attempts: The study's attempts.
    """
    if state is None:
        return f"there is no trial {trial} to cancel"
    if any(a.trial == trial and not a.is_final and a.told is None for a in attempts):
        return None
    return f"trial {trial} is {state} and has no live job run to cancel"


class End(Enum):
    """How a call ends on request: live runs finish, are canceled, or are left running."""

    FINISH = "finish"
    CANCEL = "cancel"
    LEAVE = "leave"


@dataclass(frozen=True)
class ControlState:
    """The combined effect of the commands so far.

    Args:
        paused: Whether no new trials are started for now.
        end: How the call ends; None while it continues.
    """

    paused: bool = False
    end: End | None = None


def apply_control(state: ControlState, control: Control) -> ControlState:
    """Return the state after one more command."""
    match control.command:
        case "pause":
            return replace(state, paused=True)
        case "resume":
            return replace(state, paused=False)
        case "stop":
            cancel = control.argument.get("runs") == "cancel"
            return replace(state, paused=False, end=End.CANCEL if cancel else End.FINISH)
        case "hand_over":
            return replace(state, end=End.LEAVE)
    return state
