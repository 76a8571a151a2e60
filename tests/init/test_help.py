"""The output of ``--help``: how it is obtained, and what is read in it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tune_jobs.init.flags import Command, Flag
from tune_jobs.init.help_output import run_help
from tune_jobs.init.help_text import read_help, read_usage
from tune_jobs.init.merging import merge

ARGPARSE = """\
usage: train.py [-h] [--lr LR] [-b N] [--opt {adam,sgd}] [--aug | --no-aug] data

A program (default: none).

positional arguments:
  data                  where the data is

options:
  -h, --help            show this help message and exit
  --lr LR               learning rate, which is
                        multiplied by ten (default: 0.1)
  -b N, --batch-size N  size (default: 32)
  --opt {adam,sgd}
  --aug, --no-aug       augment
  --layers N [N ...]    units

model:
  --very-long-option-name VERY_LONG_OPTION_NAME
                        described below
  --fast                be fast
"""
CLICK = """\
Usage: train.py [OPTIONS] COMMAND [ARGS]...

  Train a model - with options.

Options:
  -l, --lr FLOAT RANGE     Learning rate.  [default: 0.1; 0.001<=x<=1]
  --opt [adam|sgd]         Optimizer.
  --shout / --no-shout     Shout.
  --depth INTEGER          [required]
  --version                Show the version and exit.
  --help                   Show this message and exit.

Commands:
  fit      Fit a model.
  predict  Predict something
           in two lines.
"""
TYPER = """\
 Usage: train.py [OPTIONS] {name}

╭─ Arguments ──────────────────────────────────────────────╮
│ *    name      <str>  [required]                          │
╰──────────────────────────────────────────────────────────╯
╭─ Options ────────────────────────────────────────────────╮
│ --lr     -l               FLOAT RANGE [0.0001<=x<=0.05]  Rate. [default: 0.01] │
│ --opt                     <adam|sgd>   [default: adam]    │
│ --aug         --no-aug    <bool>       [default: no-aug]  │
│ --help                                 Show this message. │
╰──────────────────────────────────────────────────────────╯
"""
ABSL = """\
A program.
flags:

train.py:
  --[no]augment: Augment the data.
    (default: 'false')
  --batch_size: Batch size.
    (default: '128')
    (a positive integer)
  --optimizer: <sgd|adam>: Optimizer.
    (default: 'sgd')
  --workdir: Where the model goes.

Try --helpfull to get a list of all flags.
"""
TYRO = """\
usage: train.py [-h] [OPTIONS]

╭─ options ─────────────────────────────────────────────╮
│ -h, --help            show this help message and exit │
│ --batch-size INT      (default: 32)                   │
╰───────────────────────────────────────────────────────╯
╭─ optimizer options ───────────────────────────────────╮
│ The optimizer.                                        │
│ ───────────────────────────────────────────────────── │
│ --optimizer.lr FLOAT  (default: 0.01)                 │
│ --optimizer.nesterov, --optimizer.no-nesterov         │
│                       (default: False)                │
╰───────────────────────────────────────────────────────╯
"""
DOCOPT = """\
Train a model.

Usage:
  train.py [options] <data>

Options:
  -h --help             Show this.
  --lr=<x>              Learning rate [default: 0.1].
  -b N --batch-size=N   Batch size
                        [default: 32].
  --nesterov            Use momentum.
"""


def describe(flag: Flag) -> tuple[object, ...]:
    """Return the main facts of a flag."""
    return (flag.option or flag.name, flag.kind, flag.default, flag.choices, flag.off)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            ARGPARSE,
            [
                ("data", None, None, (), None),
                ("--lr", "float", 0.1, (), None),
                ("--batch-size", "int", 32, (), None),
                ("--opt", "str", None, ("adam", "sgd"), None),
                ("--aug", "bool", False, (), "--no-aug"),
                ("--layers", None, None, (), None),
                ("--very-long-option-name", None, None, (), None),
                ("--fast", "bool", False, (), None),
            ],
        ),
        (
            CLICK,
            [
                ("--lr", "float", 0.1, (), None),
                ("--opt", "str", None, ("adam", "sgd"), None),
                ("--shout", "bool", False, (), "--no-shout"),
                ("--depth", "int", None, (), None),
            ],
        ),
        (
            TYPER,
            [
                ("name", "str", None, (), None),
                ("--lr", "float", 0.01, (), None),
                ("--opt", "str", "adam", ("adam", "sgd"), None),
                ("--aug", "bool", False, (), "--no-aug"),
            ],
        ),
        (
            ABSL,
            [
                ("--augment", "bool", False, (), "--noaugment"),
                ("--batch_size", "int", 128, (), None),
                ("--optimizer", "str", "sgd", ("sgd", "adam"), None),
                ("--workdir", None, None, (), None),
            ],
        ),
        (
            TYRO,
            [
                ("--batch-size", "int", 32, (), None),
                ("--optimizer.lr", "float", 0.01, (), None),
                ("--optimizer.nesterov", "bool", False, (), "--optimizer.no-nesterov"),
            ],
        ),
        (
            DOCOPT,
            [
                ("--lr", "float", 0.1, (), None),
                ("--batch-size", "int", 32, (), None),
                ("--nesterov", "bool", False, (), None),
            ],
        ),
    ],
    ids=["argparse", "click", "typer", "absl", "tyro", "docopt"],
)
def test_formats(text: str, expected: list[tuple[object, ...]]) -> None:
    assert [describe(flag) for flag in read_help(text).flags] == expected


@pytest.mark.parametrize(
    ("usage", "words"),
    [
        (DOCOPT, [["<data>"]]),
        ("Usage: train.py [--lr=<f>] [-b N] <data> OUT\n\nOptions:", [["<data>", "OUT"]]),
        (
            "Usage:\n  x.py fit <data>\n  x.py (eval | test) [<data>]\n",
            [["fit", "<data>"], ["eval"]],
        ),
        ("usage: x.py --lr=<f> -o FILE [options [--x]]\n", [[]]),
        ("Train a model.\n", []),
    ],
)
def test_what_a_usage_requires(usage: str, words: list[list[str]]) -> None:
    assert read_usage(usage) == words


def test_notes_with_brackets_are_no_description() -> None:
    text = (
        "usage: x\n\noptions:\n  --layers [ITEM,...]  units (type: list[int], default: [64, 64])\n"
    )
    assert read_help(text).flags[0].help == "units"


def test_commands_ranges_and_descriptions() -> None:
    text = read_help(CLICK)
    assert text.commands == ("fit", "predict")
    assert (text.flags[0].low, text.flags[0].high) == (0.001, 1.0)
    assert text.flags[0].help == "Learning rate."
    assert text.flags[3].required
    assert read_help("usage: x\n\npositional arguments:\n  {train,eval}\n").commands == (
        "train",
        "eval",
    )
    lr = read_help(ARGPARSE).flags[1]
    assert lr.help == "learning rate, which is multiplied by ten"


def test_the_help_confirms_and_completes_the_source() -> None:
    command = Command()
    for name in ("lr", "gone", "hidden_one"):
        command.add(Flag(name, (f"--{name}",), kind="float", hidden=name == "hidden_one"))
    removed = merge(command, read_help(ARGPARSE), complete=True)
    assert removed == ["gone"]
    assert command.flags["lr"].default == 0.1
    assert command.flags["opt"].choices == ("adam", "sgd")
    assert "hidden_one" in command.flags


# -- running it -------------------------------------------------------------------------------


def run_script(source: str, folder: Path, seconds: float = 30.0) -> tuple[str, str]:
    """Run a script's help; return its output and the problem."""
    script = folder / "train.py"
    script.write_text(source)
    output = run_help([sys.executable, str(script), "--help"], [], seconds)
    return output.text, output.problem


def test_the_output_is_read_in_a_scratch_folder(tmp_path: Path) -> None:
    text, problem = run_script(
        "import os, sys\nopen('left', 'w'); print(os.getcwd()); print(sys.stdin.read())\n"
        "sys.stderr.write('usage\\n')\n",
        tmp_path,
    )
    folder = Path(text.split()[0])
    assert (problem, "usage" in text) == ("", True)
    assert folder != tmp_path
    assert not folder.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["train.py"]


def test_what_does_not_end_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    _, problem = run_script(
        "import os, signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "code = 'import os, signal; print(os.getpid(), flush=True); signal.pause()'\n"
        f"with open({str(pids)!r}, 'w') as file:\n"
        "    for own in (True, False):\n"
        "        command = [sys.executable, '-c', code]\n"
        "        subprocess.Popen(command, stdout=file, start_new_session=own)\n"
        f"while len(open({str(pids)!r}).read().split()) < 2: os.sched_yield()\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n",
        tmp_path,
        seconds=1.5,
    )
    assert problem == "it did not end within 1.5 s"
    for pid in pids.read_text().split():
        assert not is_running(int(pid))


def is_running(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_endless_output_is_cut(tmp_path: Path) -> None:
    text, problem = run_script("while True: print('y' * 1000)\n", tmp_path)
    assert problem == "it printed more than 256 KiB"
    assert len(text) <= 1 << 18


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import no_such_package_anywhere", "No module named 'no_such_package_anywhere'"),
        ("raise SystemExit(3)", "it ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "it ended with signal 9"),
        ("import os; os.write(1, b'\\xff\\xfe'); raise ValueError('bad')", "ValueError: bad"),
    ],
)
def test_failures_are_explained(source: str, problem: str, tmp_path: Path) -> None:
    assert problem in run_script(source, tmp_path)[1]


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    assert "could not be started" in run_help([str(tmp_path / "nothing")], [], 5).problem


def test_a_process_that_outlives_the_help_does_not_delay_it(tmp_path: Path) -> None:
    source = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print('usage: x')\n"
    )
    text, problem = run_script(source, tmp_path, seconds=3600)
    assert (problem, "usage: x" in text) == ("", True)
