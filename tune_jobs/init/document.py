"""The study.yaml of a draft, with comments that say where everything comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tune_jobs.config.study_config import FILL_IN
from tune_jobs.init.classification import Argument, Level, Tuned
from tune_jobs.init.draft import ConfigDraft, Draft
from tune_jobs.init.flags import Flag
from tune_jobs.init.help_text import strip_notes
from tune_jobs.init.hyperparameters import Choices, Values
from tune_jobs.init.metrics import MetricGuess
from tune_jobs.init.printed_lines import SAMPLE_NUMBER
from tune_jobs.init.yaml_text import comment, inline, paragraph, scalar
from tune_jobs.script.values import FLAG, to_yaml

PARAMETERS = "{parameters}"
N_TRIALS = 20
MAX_PARALLEL = 2
_DEFAULTS = {"hydra": "hydra", "key": "key", "environment": "environment"}
_RENAMED: Mapping[str, tuple[str, str]] = {
    "dash": ("_", "-"),
    "underscore": ("-", "_"),
    "as_is": ("", ""),
}


def write_document(draft: Draft, file: str) -> str:
    """Return the text of a study.yaml.

    Args:
        draft: What it says.
        file: Its path, for the commands in its first lines.
    """
    sections = [
        _write_head(draft, file),
        _write_entry(draft),
        _write_metric(draft),
        _write_parameters(draft),
        _write_command_line(draft),
        _write_backend(draft),
        _write_budget(draft),
    ]
    return "\n".join("\n".join(section) + "\n" for section in map(list, sections) if section)


def _write_head(draft: Draft, file: str) -> Iterator[str]:
    short = f" --set {setting}=1" if (setting := name_budget(draft)) else ""
    yield from paragraph(
        f"A study of {draft.entry.shown}, written by `tune-jobs init`. Everything in it is a "
        "proposal: adapt it, and complete what says FILL IN."
    )
    yield "#"
    commands = {
        f"tune-jobs check {file}{short}": "one run that shows what does not work yet",
        f"tune-jobs preview {file}": "the command lines of some configurations",
        f"tune-jobs run {file}": "tune",
    }
    width = max(map(len, commands))
    yield from (f"#   {command:<{width}}    {meaning}" for command, meaning in commands.items())
    for note in draft.notes:
        yield "#"
        yield from paragraph(note)


def _write_entry(draft: Draft) -> Iterator[str]:
    yield f"study: {scalar(draft.study)}"
    yield f"{draft.entry.key}: {inline(draft.entry.value)}"
    if draft.entry.python:
        yield f"python: {scalar(draft.entry.python)}"


# -- metric -----------------------------------------------------------------------------------


def _write_metric(draft: Draft) -> Iterator[str]:
    metric = draft.metric
    if metric is None:
        yield from _write_missing_metric(draft)
        return
    line = SAMPLE_NUMBER.sub("0.5", metric.line)
    yield comment(f"{metric.place}{': ' if line else ''}{line}")
    if metric.note:
        yield from paragraph(f"{metric.note[:1].upper()}{metric.note[1:]}.")
    if metric.alone:
        yield from paragraph("It is printed without a name: a pattern finds a number in a line.")
    named = {"name": metric.name, "pattern": metric.pattern}
    yield f"metric: {inline(named) if metric.pattern else scalar(metric.name)}"
    meaning = f"  # {FILL_IN}: is a larger or a smaller value better?"
    yield f"direction: {metric.direction or FILL_IN + meaning}"
    if metric.step:
        yield f"step: {scalar(metric.step)}"
    if metric.metrics_file:
        yield f"metrics_file: {scalar(metric.metrics_file)}"
    others = [each.name for each in draft.metrics[1:6]]
    if others:
        yield "# It reports these, too:"
        yield f"# extra_metrics: {inline(others)}"


def _write_missing_metric(draft: Draft) -> Iterator[str]:
    yield from paragraph(
        "The source shows no line that prints a metric. Write the name that stands in front of "
        "the number, or print one, such as: print(f'val_accuracy={value}')"
    )
    for each in draft.unprinted[:5]:
        yield comment(f"{each.name} ({each.place}) {each.note}.")
    yield f"metric: {FILL_IN}"
    yield f"direction: {FILL_IN}  # maximize or minimize"


def describe_metric(metric: MetricGuess) -> str:
    """Return name, direction and step of a metric in words."""
    step = f", by {metric.step}" if metric.step else ""
    return f"{metric.name}, {metric.direction or 'direction unknown'}{step}"


# -- parameters -------------------------------------------------------------------------------


def _write_parameters(draft: Draft) -> Iterator[str]:
    if draft.tuned:
        yield "parameters:"
    else:
        yield from _write_missing_parameters(draft)
    for each in draft.tuned:
        yield from _write_parameter(each, "  ")
    for flag in draft.required_variables if draft.tuned else ():
        yield f"  {scalar(flag.name)}: {FILL_IN}  {comment('an environment variable')}"
    if draft.offered:
        yield "  # These may be tuned as well:" if draft.tuned else "# These may be tuned:"
    for each in draft.offered:
        yield from _write_parameter(each, "  # " if draft.tuned else "#   ")


def _write_missing_parameters(draft: Draft) -> Iterator[str]:
    if draft.parser:
        yield from paragraph(
            "None of the script's flags looks like a hyperparameter. Write those to tune, such "
            "as lr: {type: float, low: 1e-5, high: 0.1, log: true}"
        )
    elif draft.reads_argv:
        yield from paragraph(
            "The script reads sys.argv in a way that is not recognized. Write the parameters "
            "here, and how they are passed under command_line, such as default: key for "
            "lr=0.1, or default: {option: null, separate: true} for --lr 0.1."
        )
    else:
        yield from paragraph(
            "The script takes no arguments and reads no environment variables, so nothing can be "
            "passed to it. Let it read its hyperparameters, and write them here. For example:"
        )
        yield '#   LR = float(os.environ.get("LR", "0.01"))'
        yield "#   lr: {type: float, low: 1e-5, high: 0.1, log: true}   under parameters"
        yield "#   lr: {environment: LR}     under command_line: parameters"
    for line in draft.constants:
        yield comment(line)
    if draft.required_variables:
        names = ", ".join(flag.name for flag in draft.required_variables)
        yield from paragraph(f"It needs the environment variables {names}.")
    yield f"parameters: {FILL_IN}"


def _write_parameter(tuned: Tuned, indent: str) -> Iterator[str]:
    written = f"{indent}{scalar(tuned.flag.name)}: {write_values(tuned.values)}"
    yield f"{written}  {comment(describe(tuned.flag))}"


def write_values(values: Values) -> str:
    """Return the values to try in the form of study.yaml."""
    if isinstance(values, Choices):
        return inline(values.values)
    kind = values.kind
    number = int if kind == "int" else float
    entries = {"type": kind, "low": number(values.low), "high": number(values.high)}
    return inline(entries | ({"log": True} if values.log else {}))


def describe(flag: Flag) -> str:
    """Return what is known of a flag in a few words."""
    facts = describe_value(flag)
    return f"{flag.label}, {facts}" if facts else flag.label


def describe_value(flag: Flag) -> str:
    """Return what is known of a flag's value: type, default, choices, and its description."""
    kind = "switch" if flag.switch else flag.kind or ""
    shown = repr(flag.default) if flag.default == "" else f"{flag.default}"
    default = "" if flag.default is None or flag.switch else f"default {shown}"
    listed = f"one of {', '.join(map(str, flag.choices[:8]))}" if flag.choices else ""
    facts = ", ".join(filter(None, [kind, default, listed]))
    help = strip_notes(flag.help)
    return f"{facts}: {help}" if facts and help else facts or help


# -- command line -----------------------------------------------------------------------------


def choose_naming(flags: Sequence[Flag]) -> str:
    """Return the naming by which most options follow from the parameters' names."""

    def count(naming: str) -> int:
        return sum(_name_option(flag.name, naming) == flag.option for flag in flags)

    return max(_RENAMED, key=count)


def _name_option(name: str, naming: str) -> str:
    return f"--{name.replace(*_RENAMED[naming])}"


def name_budget(draft: Draft) -> str:
    """Return the name under which ``--set`` sets the flag that makes a run short."""
    flag = draft.budget
    if flag is None or flag.carrier in ("environment", "positional") or flag.separate:
        return ""
    if flag.carrier in ("hydra", "key", "config"):
        return flag.name
    naming = _get_naming(draft)
    names = (flag.name, flag.option.removeprefix("--"))
    return next((name for name in names if _name_option(name, naming) == flag.option), "")


def _get_naming(draft: Draft) -> str:
    flags = [each.flag for each in (*draft.tuned, *draft.offered)]
    return choose_naming([flag for flag in flags if flag.carrier == "option" and not flag.switch])


def _write_command_line(draft: Draft) -> Iterator[str]:
    naming = _get_naming(draft)
    carriers = {each.flag.carrier for each in (*draft.tuned, *draft.offered)}
    default = next((carrier for carrier in ("hydra", "key", "config") if carrier in carriers), None)
    written = [each.flag for each in draft.tuned]
    written += draft.required_variables if draft.tuned else []
    styles = [(flag.name, _write_style(flag, naming, default)) for flag in written]
    offered = [(each.flag.name, _write_style(each.flag, naming, default)) for each in draft.offered]
    arguments = list(_write_arguments(draft.levels))
    lines: list[str] = []
    if naming != "dash" and "option" in carriers:
        lines.append(f"  naming: {naming}")
    if default:
        lines.append(f"  default: {default}")
    if arguments:
        lines += ["  arguments:", *arguments]
    described = [f"    {scalar(name)}: {style}" for name, style in styles if style]
    described += [f"    # {scalar(name)}: {style}" for name, style in offered if style]
    if draft.config is not None:
        lines += _write_config_file(draft.config)
    if any(style for _, style in styles):
        lines += ["  parameters:", *described]
    elif described:
        lines += ["  # parameters:", *described]
    if lines:
        only_comments = all(line.lstrip().startswith("#") for line in lines)
        yield "# command_line:" if only_comments else "command_line:"
        yield from lines


def _write_config_file(config: ConfigDraft) -> list[str]:
    document = to_yaml(escape_braces(config.template))
    return [
        "  # Written for each run, with the parameters in place of its values:",
        "  config_file:",
        f"    name: {scalar(config.name)}",
        "    template:",
        *(f"      {line}" for line in document.splitlines()),
    ]


def escape_braces(document: Any) -> Any:
    """Return a document whose strings are not taken for placeholders."""
    if isinstance(document, dict):
        return {key: escape_braces(item) for key, item in document.items()}
    if isinstance(document, list):
        return [escape_braces(item) for item in document]
    if isinstance(document, str):
        return document.replace("{", "{{").replace("}", "}}")
    return document


def _write_style(flag: Flag, naming: str, default: str | None) -> str:
    """Return the style of a parameter; empty if it has the default style."""
    if flag.carrier in ("positional", "environment"):
        return flag.carrier
    if flag.carrier != "option":
        return "" if flag.carrier == default else flag.carrier
    if not FLAG.fullmatch(flag.option):
        return inline({"key": flag.option})
    if flag.switch:
        off = {"off": flag.off} if flag.off else {}
        return inline({"switch": flag.option} | off)
    settings: dict[str, Any] = {}
    if flag.many and flag.many != "json":
        settings["many"] = flag.many
    if flag.booleans:
        settings["booleans"] = flag.booleans
    if flag.separate:
        settings["separate"] = True
    if settings:
        return inline({"option": flag.option} | settings)
    named = _name_option(flag.name, naming) == flag.option and default is None
    return "" if named else scalar(flag.option)


def _write_arguments(levels: Sequence[Level]) -> Iterator[str]:
    """Yield the items of ``arguments``; none if there are only parameters."""
    lines: list[str] = []
    for i, level in enumerate(levels):
        last = i == len(levels) - 1
        if level.word is not None:
            lines.append(f"    - {scalar(level.word)}")
        mentioned = [each for each in level.arguments if not each.active]
        for each in level.positional:
            if isinstance(each, str):
                lines.append(f"    - {scalar(f'{{param:{each}}}')}")
            elif each.active:
                lines += _write_argument(each, "    - ")
            else:
                mentioned.insert(0, each)
        for each in level.arguments:
            if each.active:
                lines += _write_argument(each, "    - ")
        placed = [tuned.flag for tuned in level.tuned if tuned.flag.carrier == "option"]
        lines += [] if last else [f'    - "{{param:{flag.name}}}"' for flag in placed]
        lines += [f'    - "{PARAMETERS}"'] if last else []
        lines += ["    # The script has these, too:"] if mentioned else []
        for each in mentioned:
            lines += _write_argument(each, "    # - ")
    if len(lines) > 1:
        yield from lines


def _write_argument(argument: Argument, prefix: str) -> Iterator[str]:
    """Yield the words of an argument, each an item of the list."""
    flag = argument.flag
    reason = argument.reason if argument.active else ""
    facts = describe_value(flag) if flag is not None else ""
    if flag is not None and argument.reason and not argument.active:
        facts = f"{facts} ({argument.reason})"
    *first, last = argument.words
    for word in first:
        yield f"{prefix}{scalar(word)}"
    yield f"{prefix}{scalar(last)}  {comment(reason or facts)}"


# -- where and how much -----------------------------------------------------------------------


def _write_backend(draft: Draft) -> Iterator[str]:
    if not draft.links:
        yield "# A run works in an empty folder of its own. Name here what it reads beside it:"
        yield "# backend: {type: local, link: [data]}"
        return
    yield "# A run works in a folder of its own, into which what it reads is linked."
    yield f"backend: {inline({'type': 'local', 'link': list(draft.links)})}"


def _write_budget(draft: Draft) -> Iterator[str]:
    yield f"n_trials: {N_TRIALS}"
    yield f"max_parallel: {MAX_PARALLEL}"
    name = name_budget(draft)
    if name and draft.budget is not None and isinstance(draft.budget.default, int):
        arguments = inline({"arguments": {name: draft.budget.default * 2}})
        yield f"# final: {arguments}  # for `tune-jobs train-best`"
