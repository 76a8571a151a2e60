"""Why a script rejected its arguments: messages of real parsers, and fixes that are valid."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

import tune_jobs
from tune_jobs.script.command_line import CommandLine
from tune_jobs.script.rejections import explain_rejection

NAMES = ["learning_rate", "model", "aug", "data", "layers", "lr", "x"]

ARGPARSE = """\
import argparse, sys
parser = argparse.ArgumentParser(prog="train.py")
{arguments}
parser.parse_args()
"""

CLICK = """\
Usage: train.py [OPTIONS] DATA
Try 'train.py --help' for help.

Error: {error}
"""

TYPER = """\
Usage: train.py [OPTIONS] {{data}}
╭─ Error ──────────────────────────────────────────────────────────────────────╮
│ {error} │
╰──────────────────────────────────────────────────────────────────────────────╯
"""

HYDRA = """\
usage: train.py [--help] [--hydra-help] [--version] [--cfg {job,hydra,all}]
                [overrides ...]
train.py: error: unrecognized arguments: --lr=0.1
"""


def run_argparse(arguments: list[str], argv: list[str]) -> str:
    """Return what a parser with these arguments prints."""
    added = "\n".join(f"parser.add_argument({argument})" for argument in arguments)
    code = ARGPARSE.format(arguments=added)
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    return done.stderr


def read_fix(hint: str) -> tuple[CommandLine, CommandLine]:
    """Return the command lines that a hint writes in Python and in YAML."""
    python, document = hint[hint.index("CommandLine(") :].split(", in study.yaml command_line: ")
    public = {name: getattr(tune_jobs, name) for name in re.findall(r"([A-Z]\w+)\(", python)}
    return eval(python, public), CommandLine.from_dict(yaml.safe_load(document))


@pytest.mark.parametrize(
    ("arguments", "argv", "problem", "fix"),
    [
        pytest.param(
            ["'--learning_rate'"],
            ["--learning-rate=0.1"],
            "it rejects --learning-rate=0.1, but accepts --learning_rate: ",
            "naming='underscore'",
            id="underscore",
        ),
        pytest.param(
            ["'--learning-rate'"],
            ["--learning_rate=0.1"],
            "but accepts --learning-rate: ",
            "naming='dash'",
            id="dash",
        ),
        pytest.param(
            ["'--learning_rate', required=True"],
            ["--learning-rate=0.1"],
            "it requires --learning_rate, but was given --learning-rate: ",
            "naming='underscore'",
            id="required under another spelling",
        ),
        pytest.param(
            ["'-learning_rate'"],
            ["--learning-rate=0.1"],
            "but accepts -learning_rate: ",
            "parameters={'learning_rate': Option('-learning_rate')}",
            id="one dash",
        ),
        pytest.param(
            ["'-lr'", "'--epochs'"],
            ["--learning-rate=0.1"],
            "it rejects --learning-rate=0.1; its usage shows -lr: if that is meant, ",
            "parameters={'learning_rate': Option('-lr')}",
            id="initials",
        ),
        pytest.param(
            ["'--learning_rate'"],
            ["--lr=0.1"],
            "its usage shows --learning_rate: if that is meant, ",
            "parameters={'lr': Option('--learning_rate')}",
            id="long form",
        ),
        pytest.param(
            ["'data'"],
            ["--data=a.csv"],
            "it requires data without an option's name: ",
            "parameters={'data': Positional()}",
            id="positional",
        ),
        pytest.param(
            ["'--folder', required=True", "'--x'"],
            ["--x=1"],
            "it requires --folder, which the tuner does not set: ",
            "arguments=['--folder=...', '{parameters}']",
            id="another option",
        ),
        pytest.param(
            ["'command', choices=['fit', 'test'], metavar='{fit,test}'", "'--x'"],
            ["--x=1"],
            "it requires {fit,test}, which the tuner does not set: ",
            "arguments=['fit', '{parameters}']",
            id="subcommand",
        ),
        pytest.param(
            ["'--aug', action='store_true'"],
            ["--aug=true"],
            "--aug takes no value: ",
            "parameters={'aug': Switch('--aug')}",
            id="switch",
        ),
        pytest.param(
            ["'--aug', choices=['True', 'False']"],
            ["--aug=true"],
            "it rejects 'true' for --aug: ",
            "booleans='True/False'",
            id="booleans",
        ),
        pytest.param(
            ["'--layers', type=int, nargs='+'"],
            ["--layers=[64, 32]"],
            "it rejects '[64, 32]' for --layers: ",
            "parameters={'layers': Option('--layers', many='spread')}",
            id="list",
        ),
    ],
)
def test_argparse(arguments: list[str], argv: list[str], problem: str, fix: str) -> None:
    hint = explain_rejection(run_argparse(arguments, argv), argv, NAMES)
    assert problem in hint
    expected: Any = eval(
        f"CommandLine({fix})", {n: getattr(tune_jobs, n) for n in tune_jobs.__all__}
    )
    assert read_fix(hint) == (expected, expected)


@pytest.mark.parametrize(
    ("arguments", "argv", "hint"),
    [
        (
            ["'--model', choices=['a', 'b']"],
            ["--model=c"],
            "it rejects 'c' for --model: let the choices of model be among 'a', 'b'",
        ),
        (
            ["'--x', type=int"],
            ["--x=1.5"],
            "it rejects '1.5' for --x, which has to be an int: change x",
        ),
        (
            ["'--batch', type=int"],
            ["--learning-rate=1.5"],
            "it rejects --learning-rate=1.5. It was given: --learning-rate=1.5. Its usage shows: "
            "-h, --batch. Describe its interface with CommandLine(naming=..., parameters=...)",
        ),
    ],
)
def test_values_and_options_without_another_spelling(
    arguments: list[str], argv: list[str], hint: str
) -> None:
    assert explain_rejection(run_argparse(arguments, argv), argv, NAMES) == hint


@pytest.mark.parametrize(
    ("log", "hint"),
    [
        (
            CLICK.format(error="No such option '--learning-rate'. Did you mean '--learning_rate'?"),
            'CommandLine(naming="underscore")',
        ),
        (
            CLICK.format(error="No such option: --learning-rate Did you mean --learning_rate?"),
            'CommandLine(naming="underscore")',
        ),
        (
            TYPER.format(
                error="No such option: --learning_rate (Possible options: --learning-rate)"
            ),
            'CommandLine(naming="dash")',
        ),
        (CLICK.format(error="Missing argument 'DATA'."), "Positional()"),
        (
            CLICK.format(error="Missing option '--need'."),
            'arguments=["--need=...", "{parameters}"]',
        ),
        (
            CLICK.format(error="Invalid value for '--model': 'c' is not one of 'a', 'b'."),
            "among 'a', 'b'",
        ),
        (
            CLICK.format(error="Invalid value for '--x': '1.5' is not a valid integer."),
            "it rejects '1.5' for --x, which has to be an integer: change x",
        ),
        ("Error: Option '--aug' does not take a value.\n", 'Switch("--aug")'),
        (
            "FATAL Flags parsing error: Unknown command line flag 'learning-rate'. "
            "Did you mean: learning_rate ?\n",
            'CommandLine(naming="underscore")',
        ),
        ("flag --model=c: value should be one of <a|b>\n", "model be among a|b"),
        (HYDRA, "CommandLine(default=Hydra())"),
        (
            "Could not override 'lr'.\nTo append to your config use +lr=0.1\n",
            'parameters={"lr": Hydra("+lr")}',
        ),
        ("getopt.GetoptError: option --lr not recognized\n", "it rejects --lr"),
        ("ERROR: Could not consume arg: --lr=0.1\nUsage: train.py -\n", "it rejects --lr=0.1"),
    ],
)
def test_other_parsers(log: str, hint: str) -> None:
    argv = ["--model=c", "--x=1.5", "--learning-rate=0.1"]
    assert hint in explain_rejection(log, argv, NAMES)


@pytest.mark.parametrize(
    "log",
    [
        "",
        "Traceback (most recent call last):\n  ...\nValueError: learning_rate\n",
        "usage: train.py [-h] [--learning_rate LEARNING_RATE]\nepoch 1\n",
        "warning: unknown optimizer\n",
    ],
)
def test_other_failures_are_no_rejection(log: str) -> None:
    assert explain_rejection(log, ["--learning-rate=1"], NAMES) == ""


def test_a_long_log_costs_linear_time() -> None:  # quadratic: beyond the suite's time limit
    log = "usage: " + "[--a " * 200_000 + "\nerror: unrecognized arguments: " + "--b=1 " * 100_000
    assert explain_rejection(log, ["--b=1"], NAMES)
