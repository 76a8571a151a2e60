"""The program ``tune-jobs``: a study that is described in a YAML file.

    tune-jobs init train.py                 write a study.yaml for a script
    tune-jobs check study.yaml              run one smoke trial
    tune-jobs doctor study.yaml --run       check what a study on OCI needs, and how OCI behaves
    tune-jobs preview study.yaml            print the command lines of sampled configurations
    tune-jobs run study.yaml                tune until the study has n_trials trials
    tune-jobs train-best study.yaml         train the best configuration

    tune-jobs status study.yaml             show the state of the study
    tune-jobs watch study.yaml              show its progress until the tuning ends
    tune-jobs show study.yaml 12            show a trial and its job runs
    tune-jobs logs study.yaml 12 -f         print the output of a trial's job run
    tune-jobs outputs study.yaml 12 -o DIR  download the files that a job run left
    tune-jobs replay study.yaml --pruner median
                                            simulate the study with another pruner

    tune-jobs pause study.yaml              start no new trials until `resume`
    tune-jobs stop study.yaml               stop tuning; --cancel-runs cancels live runs
    tune-jobs cancel study.yaml 12          cancel the job run of one trial
    tune-jobs set study.yaml --max-parallel 16 --n-trials 200
    tune-jobs enqueue study.yaml --from-trial 12 --param lr=0.01
                                            run this configuration next
    tune-jobs withdraw study.yaml 40        remove it again before it starts
    tune-jobs note study.yaml --trial 12 --text "looks overfit"

    tune-jobs run study.yaml --detach       leave the tuning to a controller
    tune-jobs ps study.yaml                 show what runs where, of whom, since when
    tune-jobs delete study.yaml             remove a study and the files of its runs

    tune-jobs dashboard STORAGE...          serve a live page over studies
    tune-jobs compare STUDY...              compare studies: STORAGE::NAME or a study.yaml
    tune-jobs report STUDY... -o report.html

    tune-jobs pull STORAGE study.db         copy the studies in a bucket into an SQLite file
    tune-jobs push study.db STORAGE         copy an SQLite file into a bucket

Paths in the file are relative to the file. `exit_codes` lists the exit codes.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import textwrap
from collections.abc import Sequence
from importlib.metadata import version

import optuna

from tune_jobs.cli.commands import Commands
from tune_jobs.cli.control import add_control_commands
from tune_jobs.cli.dashboard import add_dashboard_commands
from tune_jobs.cli.delete import add_delete_command
from tune_jobs.cli.doctor import add_doctor_command
from tune_jobs.cli.exit_codes import EXIT_CODES, INTERRUPTED, find_exit_code, find_known_error
from tune_jobs.cli.init import add_init_command
from tune_jobs.cli.inspection import add_inspection_commands
from tune_jobs.cli.output import make_printable
from tune_jobs.cli.outputs import add_outputs_command
from tune_jobs.cli.ps import add_ps_command
from tune_jobs.cli.replay import add_replay_command
from tune_jobs.cli.transfer import add_transfer_commands
from tune_jobs.cli.tuning import add_tuning_commands
from tune_jobs.tuning.interruption import interrupt_on_termination


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = build_parser().parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    interrupt_on_termination()
    try:
        code = int(options.command(options))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        resume = ": run the same command again to resume" if options.resumable else ""
        print(f"interrupted{resume}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # of a pager or `head` that has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        known = find_known_error(error)
        if known is None:
            raise
        print(make_printable(f"tune-jobs: {known}"), file=sys.stderr)
        return find_exit_code(known)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``tune-jobs`` with all commands."""
    parser = argparse.ArgumentParser(
        prog="tune-jobs",
        description="Hyperparameter tuning where every trial is a job run.",
        epilog=_render_exit_codes(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('tune_jobs')}")
    commands = Commands(parser)
    add_init_command(commands)
    add_tuning_commands(commands)
    add_doctor_command(commands)
    add_inspection_commands(commands)
    add_outputs_command(commands)
    add_control_commands(commands)
    add_replay_command(commands)
    add_ps_command(commands)
    add_delete_command(commands)
    add_dashboard_commands(commands)
    add_transfer_commands(commands)
    return parser


def _render_exit_codes() -> str:
    lines = ["exit codes:"]
    for code, meaning in EXIT_CODES.items():
        lines += textwrap.wrap(
            meaning.replace("`", ""),
            width=78,
            initial_indent=f"  {code:<5}",
            subsequent_indent=" " * 7,
            break_on_hyphens=False,
        )
    return "\n".join(lines)
