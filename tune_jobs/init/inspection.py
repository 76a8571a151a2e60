"""Inspect a script: what its source shows, and what it says of itself, make a `Draft`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from tune_jobs.errors import ConfigError
from tune_jobs.init.classification import Argument, Level, choose_commands, classify, find_budget
from tune_jobs.init.confirmation import Confirmation
from tune_jobs.init.constants import ARGV, find_constants, mentions
from tune_jobs.init.draft import ConfigDraft, Draft, Entry
from tune_jobs.init.flags import Command, Flag
from tune_jobs.init.framework_metrics import find_framework_metrics, find_tracked, find_written
from tune_jobs.init.hyperparameters import read_range
from tune_jobs.init.interpreting.interpreter import Interpreter
from tune_jobs.init.interpreting.modules import Sources
from tune_jobs.init.links import find_links, find_parents
from tune_jobs.init.metrics import MetricGuess, add_step, choose_metrics, find_printed
from tune_jobs.init.other_languages import find_text_flags, read_text, sample_text_lines
from tune_jobs.init.parsers.findings import LoadedFile
from tune_jobs.init.parsers.modeled_packages import ModeledPackages, choose_parser
from tune_jobs.init.printed_lines import sample_lines
from tune_jobs.init.settings import SettingsReader, pass_config
from tune_jobs.init.targets import is_python

OUTPUTS = "{outputs}"
_MAX_METRICS = 6
_LOGGING = re.compile(
    r"basicConfig|setLevel|dictConfig|fileConfig|StreamHandler|set_verbosity\w*|coloredlogs|loguru"
    r"|(?:setup|init|get|make|create|config\w*)_?log\w*"
)
"""Names that show that logging is set up; without it, only warnings are shown."""


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

        Args:
            study: Name of the study.

        Raises:
            ConfigError: If it cannot be parsed.
        """
        if not is_python(self.entry):
            return self._draft_text(study)
        packages = ModeledPackages()
        interpreter = Interpreter(self.sources, packages)
        self._check_sources(interpreter.run())
        reader = SettingsReader(self.sources, self._folders, self.base, packages.findings)
        parser = choose_parser(packages.findings)
        command = parser.command if parser is not None else Command()
        if parser is not None:
            reader.read_configs(parser, interpreter)
            self.notes += Confirmation(self.entry, parser, self.seconds).confirm()
        reader.add_inputs(command)
        loaded = reader.read_loaded(command)
        self.notes += reader.notes
        kind = parser.kind if parser is not None else _name_inputs(packages.findings.inputs)
        return self._classify(study, command, kind, reader, loaded)

    def _classify(
        self,
        study: str,
        command: Command,
        kind: str,
        reader: SettingsReader,
        loaded: tuple[ConfigDraft, LoadedFile] | None,
    ) -> Draft:
        """Decide about all flags; return the draft."""
        path = choose_commands(command)
        for _, each in path:
            each.flags = {name: read_range(flag) for name, flag in each.flags.items()}
        flags = [flag for _, each in path for flag in each.flags.values()]
        levels = classify(path, OUTPUTS)
        config = None
        if loaded is not None:
            config, file = loaded
            kind = kind or file.path
            pass_config(levels, file)
        metrics, unprinted = self._find_metrics(levels, kind)
        self._note_paths()
        self._note_variables(levels)
        trees = self.sources.trees
        return Draft(
            study=study,
            entry=self.entry,
            parser=kind,
            notes=self.notes,
            metrics=metrics,
            unprinted=unprinted,
            levels=levels,
            links=self._find_links(flags, config, reader.programs),
            config=config,
            budget=find_budget(levels),
            constants=[] if flags else find_constants(trees),
            reads_argv=not flags and mentions(trees, ARGV),
        )

    def _draft_text(self, study: str) -> Draft:
        """Inspect a script that is not Python."""
        path = self.sources.root / self.sources.main
        text = read_text(path)
        command = find_text_flags(text, path.name, path.suffix.lower())
        levels = classify([(None, command)], OUTPUTS)
        lines = sample_text_lines(text, path.name)
        metrics = [add_step(guess, lines) for guess in choose_metrics(find_printed(lines))]
        self.notes.append(
            "It is not Python: its flags are what its text looks like, so that types and defaults "
            "may be missing."
        )
        return Draft(
            study=study,
            entry=self.entry,
            parser="found in its text" if command.flags else "",
            notes=self.notes,
            metrics=metrics[:_MAX_METRICS],
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

    def _find_links(
        self, flags: list[Flag], config: ConfigDraft | None, programs: list[str]
    ) -> list[str]:
        links = find_links(self.sources.trees, flags, self._folders, self.base)
        # A file must not be written into a folder that is linked.
        links += [Path(each).parts[0] for each in programs]
        first = Path(config.name).parts[0] if config else ""
        return list(dict.fromkeys(link for link in links if Path(link).name != first))

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

    # -- metrics ------------------------------------------------------------------------------

    def _find_metrics(
        self, levels: list[Level], kind: str
    ) -> tuple[list[MetricGuess], list[MetricGuess]]:
        """Return the metrics that are printed, and those that are not."""
        trees = self.sources.trees
        lines = list(sample_lines(trees))
        printed = find_printed(lines)
        hidden: list[MetricGuess] = []
        if kind != "hydra" and not mentions(trees, _LOGGING):  # Hydra sets up logging
            hidden = [guess for guess in printed if guess.logged]
        guesses = [*printed, *find_framework_metrics(trees)]
        if hidden and kind == "absl":
            reason = "absl shows what it logs only from this level on"
            levels[0].arguments.append(Argument(None, ("--verbosity=0",), True, reason))
        elif hidden:
            guesses = [guess for guess in guesses if not guess.logged]
        if not any(guess.direction for guess in guesses):
            guesses = [*find_written(trees), *guesses]
        note = "is logged, but shown only after logging.basicConfig(level=logging.INFO)"
        unseen = [replace(guess, note=note) for guess in hidden if kind != "absl"]
        metrics = [add_step(guess, lines) for guess in choose_metrics(guesses)[:_MAX_METRICS]]
        return metrics, [*choose_metrics(unseen), *find_tracked(trees)]


def _name_inputs(inputs: Command) -> str:
    carriers = {flag.carrier for flag in inputs.flags.values()}
    names = ["environment variables"] if "environment" in carriers else []
    return " and ".join([*names, "sys.argv"] if carriers - {"environment"} else names)
