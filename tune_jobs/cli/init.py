"""The command that writes a study.yaml for a script: init."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tune_jobs.cli.commands import Commands
from tune_jobs.cli.output import print_result
from tune_jobs.errors import ConfigError
from tune_jobs.init.creation import HELP_SECONDS, NewStudy, create_study, write_new
from tune_jobs.init.document import describe_metric, name_budget, write_values
from tune_jobs.init.draft import Draft
from tune_jobs.init.targets import find_entry

_WIDTH = 100


def add_init_command(commands: Commands) -> None:
    """Add the command of this module."""
    parser = commands.add(
        "init",
        _init,
        "write a study.yaml for a script, from its source and what its --help prints",
    )
    parser.add_argument("script", nargs="?", default="", help="path of the script")
    parser.add_argument("-m", dest="module", metavar="MODULE", help="module to run instead")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("study.yaml"), help="file to write"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the file")
    parser.add_argument("--stdout", action="store_true", help="print it instead of writing it")
    parser.add_argument(
        "--no-run", action="store_true", help="read the source only; do not run script --help"
    )
    parser.add_argument(
        "--help-seconds",
        type=float,
        default=HELP_SECONDS,
        metavar="SECONDS",
        help="time limit for script --help",
    )
    parser.add_argument("--python", help="interpreter of the script, by default this one")


def _init(options: argparse.Namespace) -> int:
    if bool(options.script) is (options.module is not None):
        raise ConfigError("name a script or, with -m, a module: tune-jobs init train.py")
    base = options.output.absolute().parent
    entry = find_entry(options.script, options.module, options.python, base)
    if options.output.exists() and not (options.force or options.stdout):
        raise ConfigError(
            f"{options.output} exists: add --force to overwrite it, -o to write another file, "
            "or --stdout"
        )
    seconds = None if options.no_run else options.help_seconds
    created = create_study(entry, options.output, seconds=seconds)
    if options.stdout:
        print(created.text, end="")
        return 0
    write_new(options.output, created.text, overwrite=options.force)
    print_result(options, _list_facts(options, created), "\n".join(_describe(options, created)))
    return 0


def _list_facts(options: argparse.Namespace, created: NewStudy) -> dict[str, Any]:
    draft = created.draft
    metric = draft.metric
    return {
        "file": options.output,
        "study": draft.study,
        draft.entry.key: draft.entry.value,
        "parser": draft.parser,
        "metric": metric.name if metric else None,
        "direction": metric.direction if metric else None,
        "step": metric.step if metric else None,
        "parameters": {each.flag.name: write_values(each.values) for each in draft.tuned},
        "not_tuned": _list_others(draft),
        "links": list(draft.links),
        "fill_in": [{"place": each.place, "key": each.name} for each in created.blanks],
        "notes": list(draft.notes),
    }


def _list_others(draft: Draft) -> list[str]:
    flags = [each.flag for each in draft.offered]
    flags += [a.flag for level in draft.levels for a in level.arguments if a.flag is not None]
    return [flag.label for flag in flags]


def _describe(options: argparse.Namespace, created: NewStudy) -> list[str]:
    draft, file = created.draft, options.output
    setting = name_budget(draft)
    rows = {
        "script": f"{draft.entry.shown}, {draft.parser or 'which takes no arguments'}",
        "metric": describe_metric(draft.metric) if draft.metric else "",
        "tuned": ", ".join(each.flag.label for each in draft.tuned),
        "not tuned": ", ".join(_list_others(draft)),
        "linked": ", ".join(draft.links),
    }
    lines = [f"{file} is written"]
    lines += [_cut(f"  {label:<10} {value}") for label, value in rows.items() if value]
    lines += [f"  note       {note}" for note in draft.notes]
    lines += [f"  FILL IN    {blank.place}: {blank.name}" for blank in created.blanks]
    short = f" --set {setting}=1" if setting else ""
    lines.append(f"next: tune-jobs check {file}{short}")
    return lines


def _cut(line: str) -> str:
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..."
