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

from tune_jobs.arguments.type_checks import invalid
from tune_jobs.core.attempts import Attempt
from tune_jobs.errors import ConfigError, did_you_mean

COMMANDS = ("pause", "resume", "stop", "cancel", "set", "hand_over")

LIMITS = ("max_parallel", "n_trials")
"""What ``set`` changes."""

_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "stop": ("runs",),
    "cancel": ("trial",),
    "set": LIMITS,
}


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


def check_command(command: object, arguments: Mapping[str, Any]) -> None:
    """Check a command before it is sent.

    Raises:
        ConfigError: If the command or an argument is unknown, or an argument has an invalid value.
    """
    if not isinstance(command, str) or command not in COMMANDS:
        raise ConfigError(f"unknown command {command!r} {did_you_mean(str(command), COMMANDS)}")
    known = _ARGUMENTS.get(command, ())
    for name in sorted(arguments.keys() - set(known)):
        raise ConfigError(f"{command}: unknown argument {name!r} {did_you_mean(name, known)}")
    if arguments.get("runs", "finish") not in ("finish", "cancel"):
        raise ConfigError(f"stop: invalid runs={arguments['runs']!r}: use 'finish' or 'cancel'")
    if command == "cancel" and type(arguments.get("trial")) is not int:
        raise ConfigError("cancel: name the trial to cancel, such as trial=12")
    for name in LIMITS:
        value = arguments.get(name, 1)
        if type(value) is not int or value < 1:
            raise invalid(name, value, "an integer of at least 1")
    if command == "set" and not arguments:
        raise ConfigError("set: nothing to change: give max_parallel or n_trials")


def explain_unanswered(command: str, owner: str | None) -> str:
    """Return what happens to a command that was sent and is not applied yet.

    Args:
        command: One of `COMMANDS`.
        owner: The process that tunes the study; None if it has ended.
    """
    fate = (
        "the next process that tunes the study carries it out"
        if command == "cancel"
        else "the next process that tunes the study ignores it"
    )
    if owner is None:
        return f"not applied: the process that tuned the study has ended; {fate}"
    return f"not applied yet: {owner} has not answered; if it is dead, {fate}"


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
