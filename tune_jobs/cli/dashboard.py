"""The commands that look at studies of any storage: dashboard, compare, report."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from tune_jobs.dashboard.model import Study
from tune_jobs.errors import StudyError

REFERENCE = "a study.yaml, STORAGE::NAME, or a storage with all its studies"


def add_commands(
    add: Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser],
) -> None:
    """Add them to the parser of ``tune-jobs``."""
    page = add("dashboard", _dashboard, "serve a live page over studies")
    page.add_argument("storages", nargs="+", metavar="STORAGE", help="URL, or SQLite/journal file")
    page.add_argument("--host", default="127.0.0.1", help="elsewhere than here it wants a token")
    page.add_argument("--port", type=int, default=8787)
    page.add_argument("--allow-control", action="store_true", help="pause, stop, cancel")
    compared = add("compare", _compare, "compare the winners of studies")
    compared.add_argument("studies", nargs="+", metavar="STUDY", help=REFERENCE)
    report = add("report", _report, "write a report as one HTML file")
    report.add_argument("studies", nargs="+", metavar="STUDY", help=REFERENCE)
    report.add_argument("--images", type=Path, metavar="FOLDER", help="the figures as files, too")
    report.add_argument("--kind", default="svg", help="of the images: svg or png")
    report.add_argument("-o", "--output", type=Path, default=Path("report.html"))


def _dashboard(options: argparse.Namespace) -> int:
    from tune_jobs.dashboard.server import serve

    server, address = serve(
        [_storage(where) for where in options.storages],
        host=options.host,
        port=options.port,
        allow_control=options.allow_control,
    )
    print(f"{address}  (Ctrl-C ends it)", flush=True)
    with server:
        server.serve_forever()
    return 0


def _storage(where: str) -> str:
    """A storage, or that of a study.yaml."""
    if not where.endswith((".yaml", ".yml")):
        return where
    from tune_jobs.config.study_config import load_study
    from tune_jobs.config.study_file import storage_of_file

    return storage_of_file(load_study(where), Path(where))


def _compare(options: argparse.Namespace) -> int:
    from tune_jobs.dashboard.comparing import compare

    result = compare(open_studies(options.studies))
    text = json.dumps(dataclasses.asdict(result), indent=2, default=str)
    print(text if options.json else str(result))
    return 0


def _report(options: argparse.Namespace) -> int:
    from tune_jobs.dashboard.report import write_report

    studies = open_studies(options.studies)
    path = write_report(studies, options.output)
    images = []
    if options.images is not None:
        from tune_jobs.dashboard.images import write_images

        images = [str(image) for image in write_images(studies, options.images, options.kind)]
    facts = {"report": str(path), "bytes": path.stat().st_size, "images": images}
    print(json.dumps(facts) if options.json else "\n".join([str(path), *images]))
    return 0


def open_studies(references: Sequence[str]) -> list[Study]:
    """The studies that are meant.

    Raises:
        StudyError: there is none of that name, or no such storage.
    """
    from tune_jobs.dashboard.reading import open_source

    found: list[Study] = []
    for number, reference in enumerate(references):
        where, name = _parts(reference)
        source = open_source(_storage(where), f"s{number}-")
        heads = [h for h in source.heads() if name is None or h.name == name]
        if not heads:
            known = ", ".join(repr(h.name[:60]) for h in source.heads()[:10]) or "none"
            raise StudyError(f"{where} has no study {name!r}; it has: {known}")
        found += [source.study(head.key) for head in heads]
    return found


def _parts(reference: str) -> tuple[str, str | None]:
    """A storage and a study's name in it; None: all of them."""
    if reference.endswith((".yaml", ".yml")):
        from tune_jobs.config.study_config import load_study

        return reference, load_study(reference).study
    where, separator, name = reference.partition("::")
    return where, name if separator else None
