"""Inspect a script: what its source shows, and what it says of itself, make a `Draft`."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from tune_jobs.errors import ConfigError
from tune_jobs.init.classification import Argument, Level, choose_commands, classify, find_budget
from tune_jobs.init.configs import ConfigFiles, add_class, add_settings, read_printed
from tune_jobs.init.constants import find_constants, mentions
from tune_jobs.init.draft import Draft, Entry
from tune_jobs.init.flags import Carrier, Command, Parser
from tune_jobs.init.framework_metrics import find_framework_metrics, find_tracked, find_written
from tune_jobs.init.help_output import run_help
from tune_jobs.init.help_text import read_help
from tune_jobs.init.hyperparameters import propose, read_range
from tune_jobs.init.interpreting.interpreter import Interpreter
from tune_jobs.init.interpreting.modules import Sources
from tune_jobs.init.links import find_links, find_parents
from tune_jobs.init.merging import merge
from tune_jobs.init.metrics import MetricGuess, choose_metrics, find_printed
from tune_jobs.init.other_languages import find_text_flags, read_text, sample_text_lines
from tune_jobs.init.parsers.findings import Findings
from tune_jobs.init.parsers.library import ModeledPackages, choose_parser
from tune_jobs.init.printed_lines import sample_lines
from tune_jobs.init.targets import is_python

_COMPLETE = ("argparse", "optparse", "click", "typer", "configargparse")
"""Parsers whose help lists every option."""
_LOGGING_SETUP = {
    "basicConfig",
    "setLevel",
    "dictConfig",
    "fileConfig",
    "StreamHandler",
    "set_verbosity",
    "coloredlogs",
    "loguru",
}
_INFRASTRUCTURE = re.compile(
    r"CUDA_.*|HOME|PATH|USER|.*RANK|WORLD_SIZE|MASTER_.*|SLURM_.*|WANDB_.*|NCCL_.*|TF_.*|HF_.*"
    r"|SM_(?!HP_).*|OMP_.*|TUNE_JOBS_.*|PYTHON.*|KERAS_BACKEND|TMPDIR|HOSTNAME|.*(KEY|TOKEN|SECRET)"
)


@dataclass
class Inspection:
    """Inspection of one script.

    Args:
        entry: The script.
        sources: Its source files.
        base: Folder of the study.yaml.
        seconds: Time limit for ``--help``; None not to run it.

    Attributes:
        notes: What a person has to know.
    """

    entry: Entry
    sources: Sources
    base: Path
    seconds: float | None
    notes: list[str] = field(default_factory=list)

    @property
    def _folders(self) -> list[Path]:
        """Where a person may start the script."""
        return [self.base, Path.cwd(), self.sources.folder]

    def draft(self, study: str) -> Draft:
        """Inspect the script.

        Raises:
            ConfigError: If it cannot be parsed.
        """
        if not is_python(self.entry):
            return self._draft_text(study)
        library = ModeledPackages()
        interpreter = Interpreter(self.sources, library)
        finished = interpreter.run()
        self._check_sources(finished)
        findings = library.findings
        parser = choose_parser(findings)
        command = parser.command if parser is not None else Command()
        if parser is not None:
            self._read_configs(findings, parser, interpreter)
            self._confirm(parser)
        self._add_inputs(command, findings.inputs)
        path = choose_commands(command)
        for _, each in path:
            each.flags = {name: read_range(flag) for name, flag in each.flags.items()}
        flags = [flag for _, each in path for flag in each.flags.values()]
        metrics = self._find_metrics()
        levels = self._show_logs(classify(path, "{outputs}"), metrics, parser)
        trees = self.sources.trees
        self._note_paths()
        self._note_variables(levels)
        return Draft(
            study=study,
            entry=self.entry,
            parser=parser.kind if parser is not None else _name_inputs(findings.inputs),
            notes=self.notes,
            metrics=metrics,
            unprinted=find_tracked(trees),
            levels=levels,
            links=find_links(trees, flags, self._folders, self.base),
            budget=find_budget(levels),
            constants=[] if flags else find_constants(trees),
            reads_argv=not flags and mentions(trees, {"argv"}),
        )

    def _draft_text(self, study: str) -> Draft:
        """Inspect a script that is not Python."""
        path = self.sources.root / self.sources.main
        text = read_text(path)
        command = find_text_flags(text, path.name, path.suffix.lower())
        levels = classify([(None, command)], "{outputs}")
        self.notes.append(
            "It is not Python: its flags are what its text looks like, so that types and defaults "
            "may be missing."
        )
        return Draft(
            study=study,
            entry=self.entry,
            parser="found in its text" if command.flags else "",
            notes=self.notes,
            metrics=choose_metrics(find_printed(sample_text_lines(text, path.name))),
            levels=levels,
            budget=find_budget(levels),
        )

    # -- source -------------------------------------------------------------------------------

    def _check_sources(self, finished: bool) -> None:
        problems = self.sources.problems
        problem = problems.get(self.sources.main)
        if problem is not None:
            path = self.sources.root / self.sources.main
            raise ConfigError(f"{path}: {problem}: fix it, so that Python can run it")
        for file, each in problems.items():
            self.notes.append(f"{file} could not be read ({each}), so that its flags are missing.")
        if not finished:
            self.notes.append("The source was too large to be followed to its end.")

    def _read_configs(self, findings: Findings, parser: Parser, interpreter: Interpreter) -> None:
        carrier: Carrier = "hydra" if parser.kind == "hydra" else "key"
        files = ConfigFiles()
        for source in findings.configs:
            if source.parser is not parser:
                continue
            folder = (self.sources.root / source.place.file).parent / source.folder
            if source.cls is not None:
                add_class(parser.command, source, carrier, interpreter)
            else:
                add_settings(parser.command, files.compose(folder, source.name), carrier)
        self.notes += [f"A configuration could not be read: {each}" for each in files.problems]
        for group, names in files.groups.items():
            if len(names) > 1:
                self.notes.append(
                    f"The config group {group} has the choices {', '.join(names)}. To tune it, add "
                    f"the parameter {group}: [{', '.join(names)}]; each of them has settings of "
                    "its own."
                )

    def _add_inputs(self, command: Command, inputs: Command) -> None:
        """Add what is read from the environment and, without a parser, from ``sys.argv``."""
        has_options = bool(command.flags or command.commands)
        for flag in inputs.flags.values():
            if flag.carrier == "environment":
                if _INFRASTRUCTURE.fullmatch(flag.name) or (has_options and not propose(flag)):
                    continue
            elif has_options:
                continue
            command.flags.setdefault(flag.name, flag)

    def _note_paths(self) -> None:
        for path in find_parents(self.sources.trees):
            self.notes.append(
                f"The script uses the path {path!r}. A run works in a folder of its own, so that "
                "it does not mean the same there: give an absolute path."
            )

    def _note_variables(self, levels: list[Level]) -> None:
        flags = [flag for level in levels for flag in level.variables if not flag.required]
        if flags:
            names = ", ".join(flag.name for flag in flags[:20])
            self.notes.append(
                f"It reads the environment variables {names}, too, which can be set with "
                "backend: {type: local, env: {NAME: value}}."
            )

    # -- help ---------------------------------------------------------------------------------

    def _confirm(self, parser: Parser) -> None:
        """Compare the parser with what the script prints about itself."""
        if reason := self._find_reason_not_to_run(parser):
            self.notes.append(reason)
            return
        words = [word for word, _ in choose_commands(parser.command) if word is not None]
        self._run_help(parser, words)
        if not parser.command.flags and parser.command.commands and not words:
            # The help of the script has listed commands that the source does not show.
            self._run_help(parser, [w for w, _ in choose_commands(parser.command) if w])

    def _find_reason_not_to_run(self, parser: Parser) -> str:
        if self.seconds is None:
            return "Its flags are read from the source only, as --help was not to be run."
        if not parser.help:
            return ""
        if parser.work is not None:
            return (
                "Its flags are read from the source only: --help was not run, as the script "
                f"trains or waits before it parses its arguments ({parser.work})."
            )
        if parser.used is None:
            return "Its flags are read from the source only: nothing was seen to parse them."
        return ""

    def _run_help(self, parser: Parser, words: list[str]) -> None:
        if not parser.help or self.seconds is None:
            return
        asked = [*words, *parser.help_arguments]
        point = self.entry.point
        command = [*point.command(self.entry.python or sys.executable), *asked]
        output = run_help(command, point.python_path, self.seconds)
        shown = " ".join(asked)
        problem = output.problem
        if parser.kind == "hydra":
            problem = problem or self._read_printed(parser, output.text)
        else:
            level = choose_commands(parser.command)[-1][1]
            text = read_help(output.text)
            if parser.kind == "absl" and text.flags:
                problem = ""  # its help ends with exit code 1
            if not problem:
                complete = parser.kind in _COMPLETE and bool(text.flags)
                merge(level, text, complete=complete)
                for name in text.commands if not words else ():
                    parser.command.commands.setdefault(name, Command())
        if problem:
            self.notes.append(
                f"Its flags are read from the source only: `{shown}` does not work here "
                f"({problem})."
            )

    def _read_printed(self, parser: Parser, text: str) -> str:
        """Add the configuration that Hydra has printed; return a problem."""
        try:
            add_settings(parser.command, read_printed(text), "hydra")
        except ConfigError as error:
            return str(error)
        return ""

    # -- metrics ------------------------------------------------------------------------------

    def _find_metrics(self) -> list[MetricGuess]:
        trees = self.sources.trees
        printed = find_printed(list(sample_lines(trees)))
        guesses = choose_metrics([*printed, *find_framework_metrics(trees)])
        if not any(guess.direction for guess in guesses):
            guesses = choose_metrics([*find_written(trees), *guesses])
        return guesses

    def _show_logs(
        self, levels: list[Level], metrics: list[MetricGuess], parser: Parser | None
    ) -> list[Level]:
        """Note that a metric goes to a logger that may not show it."""
        if not metrics or not metrics[0].logged or mentions(self.sources.trees, _LOGGING_SETUP):
            return levels
        if parser is not None and parser.kind == "absl":
            reason = "absl shows what it logs only from this level on"
            levels[0].arguments.append(Argument(None, ("--verbosity=0",), True, reason))
            return levels
        metrics[0] = replace(
            metrics[0],
            note="the source does not set up logging, which by default shows warnings only: call "
            "logging.basicConfig(level=logging.INFO)",
        )
        return levels


def _name_inputs(inputs: Command) -> str:
    carriers = {flag.carrier for flag in inputs.flags.values()}
    names = {"environment": "environment variables", "positional": "sys.argv"}
    return " and ".join(name for carrier, name in names.items() if carrier in carriers)
