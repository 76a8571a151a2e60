"""Compare what a source shows with what the script prints about itself."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from tune_jobs.errors import ConfigError
from tune_jobs.init.classification import choose_commands
from tune_jobs.init.configs import add_settings, read_printed
from tune_jobs.init.draft import Entry
from tune_jobs.init.flags import Command, Parser
from tune_jobs.init.help_output import run_help
from tune_jobs.init.help_text import read_help
from tune_jobs.init.merging import merge

_COMPLETE = ("argparse", "optparse", "click", "typer", "configargparse")
"""Parsers whose help lists every option."""
_SOURCE_ONLY = "Its flags are read from the source only"


@dataclass(frozen=True)
class Confirmation:
    """Comparison with the output of ``--help``.

    Args:
        entry: The script.
        parser: What its source shows, which is changed.
        seconds: Time limit; None not to run it.
    """

    entry: Entry
    parser: Parser
    seconds: float | None

    def confirm(self) -> list[str]:
        """Complete the parser; return notes on what did not work."""
        if not self.parser.help:
            return []
        if reason := self._find_reason_not_to_run():
            return [f"{_SOURCE_ONLY}: {reason}."]
        command = self.parser.command
        words = self._list_words()
        problem = self._compare(words)
        if not problem and not command.flags and command.commands and not words:
            # The help has listed commands that the source does not show.
            problem = self._compare(words := self._list_words())
        asked = " ".join([*words, *self.parser.help_arguments])
        return [f"{_SOURCE_ONLY}: `{asked}` does not work here ({problem})."] if problem else []

    def _find_reason_not_to_run(self) -> str:
        if self.seconds is None:
            return "--help was not to be run"
        if self.parser.work is not None:
            return (
                "--help was not run, as the script trains or waits before it parses its arguments "
                f"({self.parser.work})"
            )
        return "" if self.parser.used else "nothing was seen to parse them"

    def _list_words(self) -> list[str]:
        return [word for word, _ in choose_commands(self.parser.command) if word is not None]

    def _compare(self, words: list[str]) -> str:
        """Run the help of the script or of a command, and merge it; return a problem."""
        assert self.seconds is not None
        point = self.entry.point
        command = point.command(self.entry.python or sys.executable)
        arguments = [*words, *self.parser.help_arguments]
        output = run_help([*command, *arguments], point.python_path, self.seconds)
        if self.parser.kind == "hydra":
            return output.problem or self._read_printed(output.text)
        text = read_help(output.text)
        # The help of absl ends with exit code 1.
        if output.problem and not (self.parser.kind == "absl" and text.flags):
            return output.problem
        level = choose_commands(self.parser.command)[-1][1]
        merge(level, text, complete=self.parser.kind in _COMPLETE and bool(text.flags))
        for name in text.commands if not words else ():
            self.parser.command.commands.setdefault(name, Command())
        return ""

    def _read_printed(self, text: str) -> str:
        """Add the configuration that Hydra has printed; return a problem."""
        try:
            add_settings(self.parser.command, read_printed(text), "hydra")
        except ConfigError as error:
            return str(error)
        return ""
