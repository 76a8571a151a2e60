"""The commands that copy a study between a bucket and a plain SQLite file: pull and push."""

from __future__ import annotations

import argparse
from pathlib import Path

from tune_jobs.cli.commands import Commands
from tune_jobs.cli.output import print_result
from tune_jobs.storage.bucket import transfer


def add_transfer_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    pull = commands.add("pull", _pull, "copy the studies in a bucket into a new SQLite file")
    pull.add_argument("storage", help="such as oci://bucket@namespace/prefix")
    pull.add_argument("file", type=Path, help="path of the new file, such as study.db")
    push = commands.add("push", _push, "copy an SQLite file of Optuna into a bucket")
    push.add_argument("file", type=Path, help="path of the file")
    push.add_argument("storage", help="such as oci://bucket@namespace/prefix, without studies yet")


def _pull(options: argparse.Namespace) -> int:
    transfer.pull(options.storage, options.file)
    return _show(options)


def _push(options: argparse.Namespace) -> int:
    transfer.push(options.file, options.storage)
    return _show(options)


def _show(options: argparse.Namespace) -> int:
    written = options.file if options.command is _pull else options.storage
    print_result(options, {"written": str(written)}, f"written: {written}")
    return 0
