"""What a job run left: its outputs, and other files in its working folder.

A run's outputs folder and its working folder are listed together. A name is the path that the
script used; if both folders have the same one, that of the working folder begins with ``work/``.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, overload

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.formatting import byte_size, html_table
from tune_jobs.errors import ConfigError, StoreError, StudyError, did_you_mean
from tune_jobs.metric_store.base import FileEntry
from tune_jobs.metric_store.downloads import is_same, new_file, plan_paths
from tune_jobs.metric_store.store import MetricStore
from tune_jobs.runtime.left_files import IGNORED, portable_name

SHOWN = 1000
"""Files that are shown when outputs are printed."""


@dataclass(frozen=True)
class OutputFile:
    """A file that a run left.

    Args:
        name: Its name among the outputs.
        size: Its size in bytes.
        modified: When it was modified, in seconds since the epoch, if the store says so.
        path: Its path below the study's folder in the metric store.
    """

    name: str
    size: int
    modified: float | None
    path: str


@dataclass(frozen=True)
class Outputs(Sequence[OutputFile]):
    """The files that a run left, sorted by name.

    Args:
        run: Name of the run.
        files: The files.
        omitted: What the run left but did not keep, in a sentence; empty if nothing.
    """

    run: str
    files: tuple[OutputFile, ...]
    omitted: str = ""
    _store: MetricStore | None = field(default=None, repr=False, compare=False)

    def uri(self, file: OutputFile) -> str:
        """Return where a file is in the metric store."""
        assert self._store is not None
        return f"{self._store.uri}/{file.path}"

    def select(self, *patterns: str) -> Outputs:
        """Return the files that match one of the patterns; without patterns, all.

        Args:
            patterns: Names, folders, or patterns such as ``*.pt``; ``*`` matches slashes, too.

        Raises:
            StudyError: If a pattern matches no file.
        """
        if not patterns:
            return self
        chosen: set[OutputFile] = set()
        for pattern in patterns:
            matching = [file for file in self.files if _matches(file.name, pattern)]
            if not matching:
                hint = did_you_mean(pattern, [file.name for file in self.files][:20])
                raise StudyError(f"{self.run} left no file that matches {pattern!r} {hint}")
            chosen.update(matching)
        return replace(self, files=tuple(file for file in self.files if file in chosen))

    def download(
        self, folder: str | os.PathLike[str], *patterns: str, overwrite: bool = False
    ) -> list[Path]:
        """Download files to a local folder.

        A file appears in the folder once it is complete. A file that was downloaded before and has
        not changed is skipped.

        Args:
            folder: The folder; it is created if it does not exist.
            patterns: See `select`.
            overwrite: Whether to replace other files of the same names.

        Returns:
            The paths of the files.

        Raises:
            StudyError: If a pattern matches no file.
            ConfigError: If other files have these names in the folder, or if it cannot be written.
            StoreError: If the metric store cannot be read.
        """
        files = self.select(*patterns)
        paths = plan_paths(Path(folder), [file.name for file in files])
        targets = {file: paths[file.name] for file in files}
        missing = {f: t for f, t in targets.items() if not is_same(t, f.size, f.modified)}
        existing = [str(target) for target in missing.values() if os.path.lexists(target)]
        if existing and not overwrite:
            more = f" and {len(existing) - 5} more" if len(existing) > 5 else ""
            raise ConfigError(
                f"would overwrite {', '.join(existing[:5])}{more}: choose another folder, or allow "
                "it with overwrite=True (--overwrite)"
            )
        for file, target in missing.items():
            with new_file(target, file.modified, overwrite=overwrite) as output:
                self._copy(file, output)
        return list(targets.values())

    def _copy(self, file: OutputFile, output: BinaryIO) -> None:
        assert self._store is not None
        self._store.download(file.path, output)
        if output.tell() < file.size:
            raise StoreError(
                f"{file.name} has {file.size} bytes, but only {output.tell()} could be read: "
                "try again"
            )

    @overload
    def __getitem__(self, index: int) -> OutputFile: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[OutputFile, ...]: ...

    def __getitem__(self, index: int | slice) -> OutputFile | tuple[OutputFile, ...]:
        return self.files[index]

    def __len__(self) -> int:
        return len(self.files)

    def __str__(self) -> str:
        rows = [_describe(file) for file in self.files[:SHOWN]]
        lines = [f"{size:>9}  {time:<16}  {name}" for name, size, time in rows]
        if len(self.files) > SHOWN:
            lines.append(f"... and {len(self.files) - SHOWN} more files")
        if not lines:
            lines.append(f"{self.run} left no files")
        return "\n".join([*lines, *filter(None, [self.omitted])])

    def _repr_html_(self) -> str:
        described = map(_describe, self.files[:SHOWN])
        rows = [(name, f"{size}  {time}") for name, size, time in described]
        return html_table([*rows, ("", self.omitted)])


def read_outputs(store: MetricStore, attempt: Attempt) -> Outputs:
    """Return what a run left in the metric store.

    Raises:
        StoreError: If the store cannot be listed.
    """
    root = f"runs/{attempt.name}"
    found = [_build_file(entry, f"{root}/outputs") for entry in store.entries(f"{root}/outputs")]
    names = {file.name for file in found}
    for entry in find_left_files(store, attempt):
        file = _build_file(entry, f"{root}/work")
        while file.name in names:
            file = replace(file, name=f"work/{file.name}")
        names.add(file.name)
        found.append(file)
    found.sort(key=lambda file: file.name)
    return Outputs(attempt.name, tuple(found), _read_omitted(store, root), store)


def _build_file(entry: FileEntry, folder: str) -> OutputFile:
    path = f"{folder}/{entry.path}"
    return OutputFile(portable_name(entry.path), entry.size, entry.modified, path)


def find_left_files(store: MetricStore, attempt: Attempt) -> Iterator[FileEntry]:
    """Yield the files in the working folder, without those that the tuner wrote there.

    The folder of a local run is the folder itself; other backends keep what the script left.

    Raises:
        StoreError: If the store cannot be listed.
    """
    folder = f"runs/{attempt.name}/work"
    for entry in store.entries(folder):
        given = attempt.invocation.files.get(entry.path)
        same_size = given is not None and entry.size == len(given.encode())
        if same_size and store.read_text(f"{folder}/{entry.path}") == given:
            continue
        if IGNORED.isdisjoint(entry.path.split("/")):
            yield entry


def _read_omitted(store: MetricStore, root: str) -> str:
    """Return what a run did not keep, in a sentence."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        omitted = json.loads(store.read_text(f"{root}/omitted.json"))
        examples = ", ".join(map(_printable, omitted["names"][:5]))
        return (
            f"{omitted['files']} more files ({byte_size(omitted['bytes'])}) in its working folder "
            f"were not kept{': ' if examples else ''}{examples}; write them to {{outputs}} to keep "
            "them"
        )
    return ""


def _matches(name: str, pattern: str) -> bool:
    below = name.startswith(f"{pattern.rstrip('/')}/")
    return name == pattern or below or fnmatchcase(name, pattern)


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in name)


def _describe(file: OutputFile) -> tuple[str, str, str]:
    """Return name, size and time of modification as they are shown."""
    time = ""
    if file.modified is not None:
        time = datetime.fromtimestamp(file.modified).strftime("%Y-%m-%d %H:%M")
    return _printable(file.name), byte_size(file.size), time
