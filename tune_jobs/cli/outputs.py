"""The command that lists and downloads what a job run left: outputs."""

from __future__ import annotations

import argparse
from pathlib import Path

from tune_jobs.cli.commands import Commands, open_tuner
from tune_jobs.cli.dashboard import is_study_file, open_studies
from tune_jobs.cli.output import print_result
from tune_jobs.config.study_config import load_study
from tune_jobs.core.attempts import select_attempt
from tune_jobs.errors import StudyError
from tune_jobs.metric_store.outputs import Outputs, read_outputs
from tune_jobs.metric_store.store import MetricStore, study_folder


def add_outputs_command(commands: Commands) -> None:
    """Add the command of this module."""
    outputs = commands.add(
        "outputs", _outputs, "list the files that a job run left, or download them"
    )
    outputs.intermixed = True
    outputs.add_argument("study", metavar="STUDY", help="a study.yaml, or STORAGE::NAME")
    outputs.add_argument("trial", help="trial number, or name of a final run (final-1)")
    outputs.add_argument(
        "patterns", nargs="*", metavar="PATTERN", help="names, folders or patterns such as '*.pt'"
    )
    outputs.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="download the files to this folder"
    )
    outputs.add_argument(
        "--attempt", type=int, help="number of the attempt (default: the last one)"
    )
    outputs.add_argument(
        "--overwrite", action="store_true", help="replace files that exist in the folder"
    )


def _outputs(options: argparse.Namespace) -> int:
    found = _read_outputs(options).select(*options.patterns)
    if options.output is None:
        files = [
            {"name": f.name, "bytes": f.size, "modified": f.modified, "uri": found.uri(f)}
            for f in found
        ]
        facts = {"run": found.run, "files": files, "omitted": found.omitted}
        print_result(options, facts, str(found))
        return 0
    if not found:
        raise StudyError(f"{found.run} left no files: there is nothing to download")
    paths = [str(path) for path in found.download(options.output, overwrite=options.overwrite)]
    facts = {"run": found.run, "downloaded": paths, "omitted": found.omitted}
    print_result(options, facts, "\n".join([*paths, *filter(None, [found.omitted])]))
    return 0


def _read_outputs(options: argparse.Namespace) -> Outputs:
    if is_study_file(options.study):
        options.file = Path(options.study)
        tuner = open_tuner(options, load_study(options.study))
        return tuner.outputs(options.trial, attempt=options.attempt)
    studies = open_studies([options.study])
    if len(studies) != 1:
        names = ", ".join(repr(study.name) for study in studies[:10])
        raise StudyError(f"{options.study} has several studies ({names}): write STORAGE::NAME")
    (study,) = studies
    if study.store is None or study.uid is None:
        raise StudyError(f"study {study.name!r} was not tuned by tune_jobs: it has no job runs")
    store = MetricStore(study.store, study_folder(study.name, study.uid))
    return read_outputs(store, select_attempt(study.runs, options.trial, options.attempt))
