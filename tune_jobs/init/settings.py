"""Settings that are no flags of a parser: configuration files, classes, variables, ``sys.argv``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tune_jobs.init.classification import Argument, Level, choose_commands, write
from tune_jobs.init.configs import ConfigFiles, add_class, add_program, add_settings, read_config
from tune_jobs.init.constants import ARGV, mentions
from tune_jobs.init.draft import ConfigDraft
from tune_jobs.init.flags import Carrier, Command, Parser
from tune_jobs.init.hyperparameters import propose
from tune_jobs.init.interpreting.expressions import Evaluator
from tune_jobs.init.interpreting.modules import Sources
from tune_jobs.init.parsers.findings import ConfigSource, Findings, LoadedFile

_CONFIG_PROGRAMS = ("configs/default.py", "config/default.py", "configs/config.py", "config.py")
_INFRASTRUCTURE = re.compile(
    r"CUDA_.*|HOME|PATH|USER|.*RANK|WORLD_SIZE|MASTER_.*|SLURM_.*|WANDB_.*|NCCL_.*|TF_.*|HF_.*"
    r"|SM_(?!HP_).*|OMP_.*|TUNE_JOBS_.*|PYTHON.*|KERAS_BACKEND|TMPDIR|HOSTNAME|.*(KEY|TOKEN|SECRET)"
)


@dataclass
class SettingsReader:
    """Reader of what a script reads beside its flags.

    Args:
        sources: Its source files.
        folders: Where a person may start it.
        base: Folder of the study.yaml.
        findings: What its source shows.

    Attributes:
        notes: What a person has to know.
        programs: Configurations that are Python programs, relative to the base.
    """

    sources: Sources
    folders: Sequence[Path]
    base: Path
    findings: Findings
    notes: list[str] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)

    def read_configs(self, parser: Parser, evaluator: Evaluator) -> None:
        """Add the settings of the configurations that belong to a parser."""
        carrier: Carrier = "hydra" if parser.kind == "hydra" else "key"
        files = ConfigFiles()
        for source in self.findings.configs:
            if source.parser is not parser:
                continue
            folder = (self.sources.root / source.place.file).parent / source.folder
            if source.flag:
                self._read_program(source, parser)
            elif source.cls is not None:
                add_class(parser.command, source, carrier, evaluator)
            else:
                add_settings(parser.command, files.compose(folder, source.name), carrier)
        self.notes += [f"A configuration could not be read: {each}" for each in files.problems]
        for group, names in files.groups.items():
            if len(names) > 1:
                listed = ", ".join(names)
                self.notes.append(
                    f"The config group {group} has the choices {listed}. To tune it, add the "
                    f"parameter {group}: [{listed}]; each of them has settings of its own."
                )

    def _read_program(self, source: ConfigSource, parser: Parser) -> None:
        """Add the settings of a configuration that is a Python program."""
        names = [source.name] if source.name else _CONFIG_PROGRAMS
        found = [f for name in names for folder in self.folders if (f := folder / name).is_file()]
        if not found:
            return
        relative = os.path.relpath(found[0], self.base)
        add_program(parser.command, source, found[0])
        if not source.name:
            given = "the settings below are those of this file"
            parser.command.set(source.flag, required=False, default=relative, given=given)
        self.programs.append(relative)

    def add_inputs(self, command: Command) -> None:
        """Add what is read from the environment and, without a parser, from ``sys.argv``."""
        has_options = bool(command.flags or command.commands)
        for flag in self.findings.inputs.flags.values():
            if flag.carrier == "environment":
                if _INFRASTRUCTURE.fullmatch(flag.name) or (has_options and not propose(flag)):
                    continue
            elif has_options:
                continue
            command.flags.setdefault(flag.name, flag)

    def read_loaded(self, command: Command) -> tuple[ConfigDraft, LoadedFile] | None:
        """Add the settings of a file that the script loads, if it has no other hyperparameters."""
        flags = [flag for _, each in choose_commands(command) for flag in each.flags.values()]
        if command.commands or any(propose(flag) for flag in flags):
            return None
        for loaded in self.findings.loaded:
            # An argument that carries the path has to be expected, or to be ignored.
            if not loaded.flag and (flags or mentions(self.sources.trees, ARGV)):
                continue
            for folder in self.folders:
                document = read_config(folder / loaded.path) if loaded.path else None
                if document:
                    add_settings(command, document, "config")
                    name = Path(loaded.path).name if loaded.flag else loaded.path
                    return ConfigDraft(name, document), loaded
        return None


def pass_config(levels: Sequence[Level], loaded: LoadedFile) -> None:
    """Pass the path of the configuration file that is written for each run."""
    reason = "the file that is written for each run"
    level = levels[-1]
    if not loaded.flag:
        reason = "its path; the script reads no arguments, but finds the file in its folder"
        level.arguments.insert(0, Argument(None, ("{config}",), True, reason))
        return

    def replace_path(argument: Argument) -> Argument:
        flag = argument.flag
        if flag is None or flag.name != loaded.flag:
            return argument
        return Argument(flag, write(flag, "{config}", escape=False), True, reason)

    level.arguments[:] = map(replace_path, level.arguments)
    level.positional[:] = [
        each if isinstance(each, str) else replace_path(each) for each in level.positional
    ]
