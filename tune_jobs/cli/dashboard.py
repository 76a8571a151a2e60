"""Commands that read studies from any storage: dashboard, compare and report."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from tune_jobs.cli.commands import Commands
from tune_jobs.cli.exit_codes import FAILED, SUCCESS
from tune_jobs.cli.output import print_result
from tune_jobs.config.backend import make_backend
from tune_jobs.config.study_config import load_study
from tune_jobs.config.study_file import resolve_storage
from tune_jobs.dashboard.model import Study
from tune_jobs.errors import ConfigError, StudyError, require_package

_STUDY_HELP = "a study.yaml, STORAGE::NAME, or a storage for all of its studies"


def add_dashboard_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    dashboard = commands.add("dashboard", _dashboard, "serve a live page over studies")
    dashboard.add_argument(
        "storages",
        nargs="+",
        metavar="STORAGE",
        help="database URL, SQLite or journal file, or a study.yaml, by which the page may also "
        "start final runs",
    )
    dashboard.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: 127.0.0.1)",
    )
    dashboard.add_argument("--port", type=int, default=8787, help="port (default: 8787)")
    dashboard.add_argument(
        "--allow-control",
        action="store_true",
        help="let the page pause, resume and stop studies, cancel, enqueue and train trials, "
        "change limits and write notes",
    )
    dashboard.add_argument(
        "--base-url",
        default="/",
        metavar="PATH",
        help="path in front of all addresses, for a proxy that passes it on (default: /)",
    )
    dashboard.add_argument(
        "--trusted-host",
        action="append",
        default=[],
        metavar="NAME",
        help="name by which a proxy or a browser reaches the server; repeatable",
    )
    dashboard.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file with the token (default: TUNE_JOBS_DASHBOARD_TOKEN, or a random one)",
    )
    compare = commands.add("compare", _compare, "compare the best trials of studies")
    compare.add_argument("studies", nargs="+", metavar="STUDY", help=_STUDY_HELP)
    compare.add_argument(
        "--objective",
        metavar="NAME",
        help="what is compared: the name of a metric, or max:NAME or min:NAME; studies without it "
        "are left out (default: the one that most studies have)",
    )
    compare.add_argument(
        "--group",
        metavar="HOW",
        help="compare studies that repeat each other together: name, if names are the same up to a "
        "number, or attribute:NAME, by the value of a user attribute of the studies",
    )
    compare.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="STUDY=GROUP",
        help="put a study into a group by hand, instead of --group; repeatable",
    )
    _add_report(commands)


def _add_report(commands: Commands) -> None:
    report = commands.add("report", _report, "write a report: HTML, PDF, or Markdown for a comment")
    report.add_argument("studies", nargs="+", metavar="STUDY", help=_STUDY_HELP)
    report.add_argument(
        "--format",
        choices=("html", "md", "pdf"),
        help="format (default: by the suffix of --output, otherwise html); pdf needs Chromium",
    )
    report.add_argument(
        "--paper", choices=("A4", "Letter"), help="size of printed pages (default of pdf: A4)"
    )
    report.add_argument(
        "--require-best",
        action="store_true",
        help="end with 1 if a study has no best trial; the report is written all the same",
    )
    report.add_argument(
        "--images", type=Path, metavar="FOLDER", help="also write the figures to this folder"
    )
    report.add_argument("--kind", default="svg", help="image format: svg (default) or png")
    report.add_argument(
        "-o",
        "--output",
        type=Path,
        help="path of the report, or - for standard output (default: report.html, .md or .pdf)",
    )


def _dashboard(options: argparse.Namespace) -> int:
    require_package("the dashboard", "werkzeug", extra="dashboard")
    from tune_jobs.dashboard.server import serve

    files = _find_study_files(options.storages)
    server, address = serve(
        [_resolve_storage(storage) for storage in options.storages],
        host=options.host,
        port=options.port,
        allow_control=options.allow_control,
        base_url=options.base_url,
        trusted_hosts=options.trusted_host,
        token_file=options.token_file,
        study_files=files,
        store_options={of: partial(_read_store_options, file) for of, file in files.items()},
    )
    with contextlib.suppress(KeyboardInterrupt), server:
        print(f"{address}  (press Ctrl-C to stop)", flush=True)
        server.serve_forever()
    return 0


def _find_study_files(references: Sequence[str]) -> dict[tuple[str, str], Path]:
    """Return the files among what is shown, by the prefix of their storage and their study."""
    return {
        (f"s{number}-", load_study(reference).study): Path(reference).absolute()
        for number, reference in enumerate(references)
        if is_study_file(reference)
    }


def _read_store_options(file: Path) -> Mapping[str, object]:
    """Return how the metric store of a study.yaml is reached: by the backend's connection."""
    return make_backend(load_study(file), file.parent).store_options


def _compare(options: argparse.Namespace) -> int:
    from tune_jobs.dashboard.comparing import compare_by
    from tune_jobs.dashboard.study_groups import BY_HAND

    if options.label and options.group:
        raise ConfigError("--label names groups by hand: leave --group out")
    studies = open_studies(options.studies)
    result = compare_by(
        studies,
        objective=options.objective,
        grouping=BY_HAND if options.label else options.group or "",
        labels=_find_labels(studies, options.label),
    )
    print_result(options, dataclasses.asdict(result), str(result))
    return 0


def _find_labels(studies: Sequence[Study], labels: Sequence[str]) -> dict[str, str]:
    """Return names of groups by the keys of studies.

    Raises:
        ConfigError: If a label does not name a study and a group.
    """
    found: dict[str, str] = {}
    for label in labels:
        name, separator, group = label.rpartition("=")
        keys = [study.key for study in studies if separator and study.name == name]
        if not keys or not group:
            known = ", ".join(repr(study.name[:60]) for study in studies[:10])
            raise ConfigError(f"--label {label}: use STUDY=GROUP with one of {known}")
        found.update(dict.fromkeys(keys, group))
    return found


def _report(options: argparse.Namespace) -> int:
    from tune_jobs.dashboard import images
    from tune_jobs.dashboard.report import write_report

    to_output = str(options.output) == "-"
    if to_output and (options.json or options.images is not None):
        raise ConfigError("--output -: the report itself is printed, without --json or --images")
    if options.images is not None:
        images.require_packages()  # before the report is written
    studies = open_studies(options.studies)
    without_best = [study.name for study in studies if study.no_best() is not None]
    if to_output:
        _print_report(studies, options)
    else:
        path = options.output or Path(f"report.{options.format or 'html'}")
        write_report(studies, path, options.format, options.paper)
        drawn = images.Images([], {})
        if options.images is not None:
            drawn = images.write_images(studies, options.images, options.kind)
        written = [str(image) for image in drawn.paths]
        facts = {
            "report": str(path),
            "bytes": path.stat().st_size,
            "images": written,
            "not_drawn": {str(image): problem for image, problem in drawn.problems.items()},
            "without_best": without_best,
        }
        print_result(options, facts, "\n".join([str(path), *written]))
        for image, problem in drawn.problems.items():
            print(f"{image} could not be drawn: {problem}", file=sys.stderr)
        if drawn.problems:
            return FAILED
    return FAILED if options.require_best and without_best else SUCCESS


def _print_report(studies: Sequence[Study], options: argparse.Namespace) -> None:
    from tune_jobs.dashboard.report.writing import make_report

    document = make_report(studies, options.format or "html", options.paper)
    sys.stdout.buffer.write(document)
    sys.stdout.flush()


def open_studies(references: Sequence[str]) -> list[Study]:
    """Return the studies that are referred to.

    Args:
        references: Each a study.yaml, ``STORAGE::NAME``, or a storage for all of its studies.

    Raises:
        StudyError: If there is no such storage, or no study of that name in it.
    """
    from tune_jobs.dashboard.reading import open_source

    found: list[Study] = []
    for number, reference in enumerate(references):
        storage, name = _split_reference(reference)
        source = open_source(_resolve_storage(storage), f"s{number}-")
        all_heads = source.heads()
        heads = [head for head in all_heads if name is None or head.name == name]
        if not heads:
            if not all_heads:
                raise StudyError(f"{storage} has no studies: run one, or give another storage")
            known = ", ".join(repr(head.name[:60]) for head in all_heads[:10])
            raise StudyError(f"{storage} has no study {name!r}; it has: {known}")
        found += [source.study(head.key) for head in heads]
    return found


def _split_reference(reference: str) -> tuple[str, str | None]:
    """Return a storage, and the name of a study in it or None for all of them."""
    if is_study_file(reference):
        return reference, load_study(reference).study
    storage, separator, name = reference.partition("::")
    return storage, name if separator else None


def _resolve_storage(reference: str) -> str:
    """Return a storage as it is, and of a study.yaml the storage that it names."""
    if not is_study_file(reference):
        return reference
    return resolve_storage(load_study(reference), Path(reference))


def is_study_file(reference: str) -> bool:
    """Return whether a reference names a study.yaml."""
    return reference.endswith((".yaml", ".yml"))
