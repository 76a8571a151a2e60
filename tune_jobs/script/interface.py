"""The interface of a script: a description of its command line, or a function that writes it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tune_jobs.core.attempts import Invocation
from tune_jobs.core.formatting import abbreviate
from tune_jobs.core.job_runs import RunPaths
from tune_jobs.errors import CommandLineError, TuneJobsError
from tune_jobs.script.command_line import NO_OVERRIDES, CommandLine
from tune_jobs.script.values import ParamValue, to_plain, validate_argument

CommandFunction = Callable[[dict[str, Any], RunPaths], list[str]]
"""Function from parameters and the folders of a run to the arguments after the entry point."""


class ScriptInterface(Protocol):
    """How parameters become what starts a job run."""

    @property
    def described(self) -> frozenset[str]:
        """Parameters that it names, which the search space has to have."""
        ...

    def check_described(self, names: Collection[str]) -> None:
        """Check that every described parameter is among ``names``.

        Raises:
            CommandLineError: If one is not; the message has the closest names.
        """
        ...

    def check(self, names: Iterable[str] = (), overrides: Iterable[str] = ()) -> None:
        """Check what can be checked without values.

        Raises:
            CommandLineError: If these parameters, or these overrides, cannot be passed.
        """
        ...

    def render(
        self,
        params: Mapping[str, ParamValue],
        paths: RunPaths,
        overrides: Mapping[str, ParamValue] = NO_OVERRIDES,
    ) -> Invocation:
        """Render the invocation of a run with these parameters; overrides replace parameters.

        Raises:
            CommandLineError: If a parameter cannot be passed.
        """
        ...


@dataclass(frozen=True)
class FunctionInterface:
    """Script interface whose command lines a function writes.

    Args:
        function: Takes the parameters, overrides included, and the folders of the run.

    Raises:
        CommandLineError: If the function does not take two positional arguments.
    """

    function: CommandFunction

    def __post_init__(self) -> None:
        try:
            inspect.signature(self.function).bind({}, RunPaths.below(""))
        except TypeError as error:
            raise CommandLineError(
                f"{self._name} must take two arguments, (params, paths): {error}"
            ) from None
        except ValueError:
            pass  # some functions written in C have no signature

    @property
    def described(self) -> frozenset[str]:
        """None: only a call of the function shows which parameters it uses."""
        return frozenset()

    def check_described(self, names: Collection[str]) -> None:
        """Check nothing."""

    def check(self, names: Iterable[str] = (), overrides: Iterable[str] = ()) -> None:
        """Check nothing: only a call of the function shows what it accepts."""

    def render(
        self,
        params: Mapping[str, ParamValue],
        paths: RunPaths,
        overrides: Mapping[str, ParamValue] = NO_OVERRIDES,
    ) -> Invocation:
        """Call the function and validate its result.

        Raises:
            CommandLineError: If the function raises an exception, or does not return a list of
                strings that can be passed to a program.
        """
        plain = {
            name: to_plain(f"parameter {name!r}", value)
            for name, value in {**params, **overrides}.items()
        }
        shown = abbreviate(plain)
        try:
            argv = self.function(plain, paths)
        except TuneJobsError:
            raise
        except Exception as error:
            raise CommandLineError(
                f"{self._name} raised {type(error).__name__}: {error}; the parameters were {shown}"
            ) from error
        return Invocation(self._validated(argv), {}, {})

    def _validated(self, argv: object) -> tuple[str, ...]:
        if not isinstance(argv, list | tuple):
            raise CommandLineError(
                f"{self._name} returned {abbreviate(argv)}: return a list of strings, one for "
                "each argument"
            )
        for number, argument in enumerate(argv):
            if not isinstance(argument, str):
                raise CommandLineError(
                    f"{self._name} returned {abbreviate(argv)}: item {number} is "
                    f"{abbreviate(argument)}, a {type(argument).__name__}: convert it with str()"
                )
            validate_argument(f"item {number} of the result of {self._name}", argument)
        return tuple(str.__str__(argument) for argument in argv)

    @property
    def _name(self) -> str:
        return f"command_line function {getattr(self.function, '__name__', repr(self.function))}()"


def as_interface(command_line: CommandLine | CommandFunction | None) -> ScriptInterface:
    """Return the script interface that a tuner was given; None means the default one.

    Raises:
        CommandLineError: If a function does not take two positional arguments.
    """
    if command_line is None:
        return CommandLine()
    return (
        command_line if isinstance(command_line, CommandLine) else FunctionInterface(command_line)
    )


if TYPE_CHECKING:
    _described: ScriptInterface = CommandLine()
    _written: ScriptInterface = FunctionInterface(lambda params, paths: [])
