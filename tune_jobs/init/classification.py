"""What becomes of each flag: it is tuned, given a value, left to a person, or mentioned."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tune_jobs.config.study_config import FILL_IN
from tune_jobs.init.flags import Command, Flag
from tune_jobs.init.hyperparameters import Values, divide, is_secondary, propose, propose_any
from tune_jobs.script.styles import VARIABLE
from tune_jobs.script.values import FLAG, to_hydra

_OUTPUT = re.compile(
    r"(output|out|save|result|results|log|logging|logs|checkpoint|checkpoints|ckpt|model|export|work"
    r"|run|exp|experiment|artifact|artifacts)_?(dir|directory|folder|root)|outf|outdir|savedir"
    r"|logdir|workdir|(default_)?root_dir|save_to|out|output|output_path|save_path|out_(file|path)"
    r"|output_file|model_(path|file|out)|save_(path|file)"
)
_FOLDER = re.compile(r"dir|folder|root|outf|directory")
_BUDGET = re.compile(
    r"(n_?|num_?|max_?|total_?)?(train(ing)?_)?"
    r"(epochs?|iterations?|iters?|niter|steps|episodes|timesteps|rounds|boost_rounds?|iter)"
)
_COMMANDS = ("train", "fit", "run", "main", "tune", "finetune", "learn", "start", "pretrain")
_ENOUGH = 3
"""Hyperparameters beside which others are only offered."""
_CARRIED = ("hydra", "key", "environment", "config")


@dataclass(frozen=True)
class Tuned:
    """Flag whose values are tried."""

    flag: Flag
    values: Values


@dataclass(frozen=True)
class Argument:
    """Fixed argument, or one that is only mentioned.

    Attributes:
        flag: What it sets; None for a word such as the name of a command.
        words: Its words on the command line.
        active: Whether it is given.
        reason: Why.
    """

    flag: Flag | None
    words: tuple[str, ...]
    active: bool = False
    reason: str = ""


@dataclass
class Level:
    """The flags of the script, or of one of its commands.

    Attributes:
        word: Name of the command; None for the script itself.
        tuned: Flags to tune.
        offered: Flags that may be tuned as well.
        settings: Settings of a configuration file that are not tuned.
        variables: Environment variables that are not tuned.
        arguments: All others, in the order of definition.
        positional: Positional flags in order: names of tuned ones, and arguments.
    """

    word: str | None
    tuned: list[Tuned] = field(default_factory=list)
    offered: list[Tuned] = field(default_factory=list)
    settings: list[Flag] = field(default_factory=list)
    variables: list[Flag] = field(default_factory=list)
    arguments: list[Argument] = field(default_factory=list)
    positional: list[str | Argument] = field(default_factory=list)


def choose_commands(root: Command) -> list[tuple[str | None, Command]]:
    """Return the script and those of its commands that train."""
    path: list[tuple[str | None, Command]] = [(None, root)]
    while path[-1][1].commands:
        commands = path[-1][1].commands

        def rank(name: str) -> tuple[int, int]:
            preferred = [i for i, word in enumerate(_COMMANDS) if word in re.split(r"[-_]", name)]
            tuned = [flag for flag in commands[name].flags.values() if propose(flag)]  # noqa: B023
            return (-preferred[0] if preferred else -len(_COMMANDS), len(tuned))

        chosen = max(commands, key=rank)
        path.append((chosen, commands[chosen]))
    return path


def classify(commands: Sequence[tuple[str | None, Command]], outputs: str) -> list[Level]:
    """Decide about all flags.

    Args:
        commands: The script and the command that is run, see `choose_commands`.
        outputs: Folder for what a run leaves, as a placeholder.
    """
    levels = [_classify(word, command, outputs, propose) for word, command in commands]
    if not any(level.tuned for level in levels):
        levels = [_classify(word, command, outputs, propose_any) for word, command in commands]
    _drop_conflicts(levels)
    tuned = [each for level in levels for each in level.tuned]
    if sum(not is_secondary(each.flag) for each in tuned) >= _ENOUGH:
        for level in levels:
            _offer_secondary(level)
    return levels


def _drop_conflicts(levels: Sequence[Level]) -> None:
    """Tune a flag that the script and its command share, or that is given, only once."""
    given = {word.partition("=")[0] for each in levels for word in _list_given(each)}
    taken: set[str] = set()
    for level in reversed(levels):
        for kind in (level.tuned, level.offered):
            for each in list(kind):
                flag = each.flag
                claims = {flag.name, flag.option, flag.off or ""} - {""}
                if claims & taken or (flag.carrier == "option" and claims & given):
                    kind.remove(each)
                    if flag.name in level.positional:
                        argument = Argument(flag, write(flag, FILL_IN), True, "required")
                        level.positional[level.positional.index(flag.name)] = argument
                taken |= claims
        level.variables = [flag for flag in level.variables if flag.name not in taken]
        taken |= {flag.name for flag in level.variables}


def _list_given(level: Level) -> list[str]:
    return [words for each in level.arguments if each.active for words in each.words]


def _offer_secondary(level: Level) -> None:
    """Offer hyperparameters that matter less instead of tuning them."""
    for each in list(level.tuned):
        optional = not each.flag.required and each.flag.carrier != "positional"
        if is_secondary(each.flag) and optional:
            level.tuned.remove(each)
            level.offered.append(each)


def _classify(word: str | None, command: Command, outputs: str, suggest: Any) -> Level:
    level = Level(word)
    taken: set[str] = set()
    for flag in command.flags.values():
        values = suggest(flag) if _can_be_written(flag) else None
        free = not flag.exclusive or flag.exclusive not in taken
        if values is not None and free:
            level.tuned.append(Tuned(flag, values))
            taken.add(flag.exclusive)
            if flag.carrier == "positional":
                level.positional.append(flag.name)
            continue
        _add_argument(level, command, flag, outputs, taken)
    _fill_gaps(level)
    _choose_of_groups(level, command, taken)
    return level


def _can_be_written(flag: Flag) -> bool:
    """Return whether a style writes the flag as a parameter."""
    if flag.carrier == "environment":
        return VARIABLE.fullmatch(flag.name) is not None
    if flag.carrier in _CARRIED:
        return True
    if flag.carrier == "positional":
        return not flag.many
    if flag.off is not None and not (FLAG.fullmatch(flag.off) and flag.off != flag.option):
        return False
    is_option = FLAG.fullmatch(flag.option) is not None
    return is_option or (bool(flag.option) and not flag.switch and not flag.many)


def _add_argument(
    level: Level, command: Command, flag: Flag, outputs: str, taken: set[str]
) -> None:
    """Add a flag that is not tuned."""
    argument = _make_argument(flag, outputs)
    if argument.active:
        taken.add(flag.exclusive)
    if flag.carrier == "positional":
        level.positional.append(argument)
        return
    if flag.carrier == "environment":
        level.variables += [flag] if VARIABLE.fullmatch(flag.name) else []
        return
    offered = propose_any(flag) if _can_be_written(flag) and not argument.active else None
    if offered is not None and not flag.exclusive:
        level.offered.append(Tuned(flag, offered))
    elif flag.carrier == "config":
        level.settings.append(flag)
    else:
        level.arguments.append(argument)


def _make_argument(flag: Flag, outputs: str) -> Argument:
    name = divide(flag.name)
    is_path = flag.kind in ("str", "path", None) and not flag.switch
    if is_path and _OUTPUT.fullmatch(name) and (flag.required or _FOLDER.search(name)):
        reason = "what the script leaves is kept with its run"
        path = outputs if _FOLDER.search(name) else f"{outputs}/{name}"
        return Argument(flag, write(flag, path, escape=False), True, reason)
    if flag.required:
        reason = f"required: {flag.help}" if flag.help else "required"
        return Argument(flag, write(flag, FILL_IN), True, reason)
    if name in ("do_train", "do_eval") and flag.kind == "bool":
        words = (flag.option,) if flag.switch else write(flag, "True")
        return Argument(flag, words, True, "without it the Trainer does nothing")
    reason = flag.given or flag.caution
    return Argument(flag, write(flag, flag.default), bool(flag.given), reason)


def write(flag: Flag, value: Any, escape: bool = True) -> tuple[str, ...]:
    """Return the words that give a flag a value."""
    string = _to_string(flag, value)
    if escape:
        string = string.replace("{", "{{").replace("}", "}}")
    if flag.switch:
        return (flag.option,)
    if flag.carrier == "positional":
        return (string,)
    if flag.carrier in _CARRIED:
        return (f"{flag.name}={string}",)
    if flag.separate or (len(flag.option) <= 2 and flag.option.startswith("-")):
        return (flag.option, string)
    return (f"{flag.option}={string}",)


def _to_string(flag: Flag, value: Any) -> str:
    if value is None:
        return "..."
    if isinstance(value, bool) and flag.kind == "bool":
        yes, _, no = (flag.booleans or "true/false").partition("/")
        return yes if value else no
    if isinstance(value, list | tuple) and flag.carrier == "hydra":
        return to_hydra(flag.name, list(value))
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)


def _fill_gaps(level: Level) -> None:
    """Give a value to optional positional arguments in front of others that are given."""
    last = max(
        (i for i, each in enumerate(level.positional) if isinstance(each, str) or each.active),
        default=-1,
    )
    for i, each in enumerate(level.positional[:last]):
        if isinstance(each, Argument) and not each.active and each.flag is not None:
            value = FILL_IN if each.flag.default is None else each.flag.default
            level.positional[i] = Argument(each.flag, write(each.flag, value), True)


def _choose_of_groups(level: Level, command: Command, taken: set[str]) -> None:
    """Give one flag of each group of which one is required."""
    for group in sorted(command.one_of - taken):
        for i, argument in enumerate(level.arguments):
            flag = argument.flag
            if flag is not None and flag.exclusive == group:
                others = [f.label for f in command.flags.values() if f.exclusive == group]
                words = (flag.option,) if flag.switch else write(flag, FILL_IN)
                reason = f"one of {', '.join(others)} is required"
                level.arguments[i] = Argument(flag, words, True, reason)
                break


def find_budget(levels: Sequence[Level]) -> Flag | None:
    """Return the flag that makes a run short, such as ``--epochs``."""
    given = [each.flag for level in levels for each in level.arguments]
    settings = [flag for level in levels for flag in level.settings]
    flags = [flag for flag in (*given, *settings) if flag is not None]
    flags = [flag for flag in flags if flag.kind in ("int", "float", None)]
    found = [flag for flag in flags if _BUDGET.fullmatch(divide(flag.name))]
    epochs = [flag for flag in found if "epoch" in divide(flag.name)]
    return next(iter([*epochs, *found]), None)
