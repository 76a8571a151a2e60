"""Metrics out of a file that the script writes: JSON, JSON lines, YAML or CSV.

    {"val": {"accuracy": 0.91}, "loss": 0.5}          one record; the name is ``val.accuracy``
    [{"epoch": 1, "loss": 0.5}, {"epoch": 2, ...}]    one record each; also one object a line
    {"loss": [0.5, 0.4], "val_loss": [0.6, 0.5]}      columns, as Keras keeps its history
    epoch,loss,val_loss                               CSV: one record for each row; cells may be
    1,0.5,                                            empty, as in those that Lightning writes

The suffix says which it is. A file with another suffix is looked at; if it is none of these, what
is in it is read as what a script prints. The file may be half written, or of any size, or anything
but what its suffix says: that is never an exception, but described.

Run side: standard library only, Python 3.8 on. YAML is read with PyYAML where that is installed;
elsewhere only flat ``name: value`` lines, and lists of those.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence

from .extract import Extractor, metric_like_names
from .records import MAX_STEP, Record, leaves, number

MAX_FILE = 16 * 1024 * 1024
"""Bytes; a larger file is not read."""

MAX_YAML = 256 * 1024
"""Bytes; YAML is slow to read."""

_MAX_YAML_DEPTH = 64
_MAX_NAMES = 20
_MAX_PROBLEM = 1000
_FLAT_YAML = re.compile(
    r"""\s*(?:-\s+)?(?P<name>"[^"]*"|'[^']*'|[^\s"'\-#:][^:]*):(?:\s+(?P<value>.*))?"""
)


def read_metrics_file(
    path: str, names: Sequence[str], step: str | None = None, live: bool = False
) -> tuple[list[Record], str | None]:
    """Read the metrics in a file.

    Args:
        path: The file.
        names: Of the metrics that are wanted.
        step: Name of the step, if the file has it.
        live: Whether the script still runs: then a last line without a newline may be half written
            and is left for later, where lines are records.

    Returns:
        Records with the wanted metrics, at the time when the file was last written, and what is
        wrong, or None. There may be both: a bad line does not spoil the others.
    """
    try:
        text, time = _read(path)
    except OSError as error:
        return [], f"the metrics file {path} cannot be read: {error.strerror}"
    except ValueError as error:
        return [], f"the metrics file {path} cannot be read: {error}"
    reading = _Reading(names, step, time)
    try:
        for row in _rows(os.path.splitext(path)[1].lower(), text, reading, live):
            reading.add(row)
    except (ValueError, RecursionError, csv.Error) as error:
        reading.complain(str(error))
    if not reading.records:
        reading.complain(reading.what_is_there(text))
    problem = f"the metrics file {path}: {reading.problem}" if reading.problem else None
    return reading.records, problem


class _Reading:
    """The records of one file, while it is read."""

    def __init__(self, names: Sequence[str], step: str | None, time: float) -> None:
        self.names = names
        self.step = step
        self.time = time
        self.records: list[Record] = []
        self.problem = ""
        self._other_names: dict[str, None] = {}

    def complain(self, problem: str) -> None:
        """Keep the first problem, as text that can be shown."""
        shown = "".join(c if c.isprintable() else "?" for c in problem[:_MAX_PROBLEM])
        self.problem = self.problem or shown

    def add(self, row: Mapping[str, object]) -> None:
        """Make a record of a row, if it has any of the wanted metrics."""
        values: dict[str, float] = {}
        for name in self.names:
            value = row.get(name)
            if value in (None, "", name):  # no value, or a header that is written again
                continue
            try:
                values[name] = number(value)
            except ValueError as error:
                self.complain(f"{name!r}: {error}")
        if values:
            self.records.append(Record(self.time, self._step(row), values))
        elif not self.records and len(self._other_names) < 1000:
            self._other_names.update((name, None) for name in row if _is_number(row[name]))

    def what_is_there(self, text: str) -> str:
        """Say that the wanted metrics are not in the file, and what is."""
        wanted = ", ".join(map(repr, self.names[:_MAX_NAMES])) or "any metric"
        others = list(self._other_names) or metric_like_names(text.encode("utf-8"))
        closest = "".join(self.names[:1])
        others.sort(key=lambda n: -difflib.SequenceMatcher(None, closest, n[:100]).ratio())
        found = ", ".join(name[:100] for name in others[:_MAX_NAMES])
        return f"it has no {wanted}, " + (f"but: {found}" if found else "nor other metrics")

    def _step(self, row: Mapping[str, object]) -> int | None:
        value = row.get(self.step) if self.step is not None else None
        if not _is_number(value) or not abs(number(value)) <= MAX_STEP:
            return None
        return math.floor(number(value))


def _is_number(value: object) -> bool:
    try:
        number(value)
    except ValueError:
        return False
    return True


def _read(path: str) -> tuple[str, float]:
    """What the file says, and when it was written."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for its writer
        raise ValueError("it is not a file")
    with open(path, "rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise ValueError(f"it has more than {MAX_FILE} bytes; write fewer rows, or call report()")
    return data.decode("utf-8-sig", "replace"), status.st_mtime


def _rows(suffix: str, text: str, reading: _Reading, live: bool) -> Iterator[Mapping[str, object]]:
    """The file's rows, in the format that its suffix, or else its beginning, says."""
    lines = text[: text.rfind("\n") + 1] if live else text
    if suffix in (".jsonl", ".ndjson"):
        return _json_lines(lines, reading)
    if suffix in (".yaml", ".yml"):
        return _yaml(text, reading)
    if suffix in (".csv", ".tsv"):
        return _csv(lines)
    if suffix == ".json" or text.lstrip()[:1] in ("{", "["):
        return _json(text, lines, reading)
    header = next(_cells(text), [])
    if len(header) > 1 and any(name in header for name in reading.names):
        return _csv(lines)
    return _printed(lines, reading)


def _json(text: str, lines: str, reading: _Reading) -> Iterator[Mapping[str, object]]:
    try:
        return _tree(json.loads(text), reading)
    except ValueError as error:
        if _object(text.lstrip().partition("\n")[0]) is not None:
            return _json_lines(lines, reading)
        raise ValueError(f"it is not valid JSON (half written?): {error}") from None


def _json_lines(text: str, reading: _Reading) -> Iterator[Mapping[str, object]]:
    for count, line in enumerate(text.split("\n"), 1):
        row = _object(line)
        if row is not None:
            yield row
        elif line.strip():
            reading.complain(f"line {count} is not a JSON object: {line[:80]!r}")


def _object(line: str) -> Mapping[str, object] | None:
    try:
        tree = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return dict(leaves(tree)) if isinstance(tree, dict) else None


def _tree(tree: object, reading: _Reading) -> Iterator[Mapping[str, object]]:
    """The rows of what JSON or YAML can say: an object, one of columns, or a list of objects."""
    if isinstance(tree, list):
        for item in tree:
            if isinstance(item, Mapping):
                yield dict(leaves(item))
    elif isinstance(tree, Mapping):
        row = dict(leaves(tree))
        yield from _columns(row, reading)
        yield {name: value for name, value in row.items() if not isinstance(value, list)}
    else:
        raise ValueError("it has neither an object nor a list of objects")


def _columns(row: Mapping[str, object], reading: _Reading) -> Iterator[Mapping[str, object]]:
    wanted = [*reading.names, reading.step]
    columns = {n: v for n, v in row.items() if n in wanted and isinstance(v, list)}
    for i in range(max(map(len, columns.values()), default=0)):
        yield {name: column[i] for name, column in columns.items() if i < len(column)}


def _csv(text: str) -> Iterator[Mapping[str, object]]:
    cells = _cells(text)
    header = next(cells, [])
    for row in cells:
        yield {name: row[i].strip() for i, name in enumerate(header) if i < len(row)}


def _cells(text: str) -> Iterator[list[str]]:
    """The rows of a CSV file, its header first; that may be a comment (``# epoch,loss``)."""
    text = text.lstrip("# \r\n")
    first_line = text.partition("\n")[0]
    delimiter = max(",;\t", key=first_line.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    for header in rows:
        yield [name.strip() for name in header]
        break
    yield from rows


def _yaml(text: str, reading: _Reading) -> Iterator[Mapping[str, object]]:
    if len(text) > MAX_YAML:
        raise ValueError(
            f"it has more than {MAX_YAML} characters of YAML; write JSON or CSV instead"
        )
    try:
        import yaml
    except ImportError:
        yield from _flat_yaml(text)
        return
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_yaml(text, loader)
        trees = list(yaml.load_all(text, Loader=loader))
    except Exception as error:  # PyYAML lets errors through that values of odd types raise
        raise ValueError(f"it is not valid YAML (half written?): {error}") from None
    for tree in trees:
        yield from _tree(tree, reading)


def _check_yaml(text: str, loader: type) -> None:
    """Refuse what makes a small document a huge one: aliases, and very deep nesting."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it has an alias, which is not read in metrics")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_YAML_DEPTH:
            raise ValueError(f"it is nested deeper than {_MAX_YAML_DEPTH} levels")


def _flat_yaml(text: str) -> Iterator[Mapping[str, object]]:
    """``name: value`` lines, or a list of groups of them."""
    row: dict[str, object] = {}
    column = None
    for count, line in enumerate(text.splitlines(), 1):
        line = re.split(r"(?:^|\s)#", line)[0].rstrip()
        if line in ("", "---", "..."):
            continue
        match = _FLAT_YAML.fullmatch(line)
        starts_item = line.lstrip().startswith("- ")
        if match is None or (match.start("name") != column and column is not None):
            raise ValueError(
                f"line {count} is not 'name: value', and PyYAML, which reads more, is not "
                f"installed where the script runs: {line[:80]!r}"
            )
        if starts_item and row:
            yield row
            row = {}
        column = match.start("name")
        row[match["name"].strip(" \"'")] = (match["value"] or "").strip("\"'")
    yield row


def _printed(text: str, reading: _Reading) -> Iterator[Mapping[str, object]]:
    """A file of none of the formats: like what a script prints."""
    extractor = Extractor(reading.names, step=reading.step)
    data = text.encode("utf-8", "replace")
    for record in extractor.feed(data, reading.time) + extractor.finish(reading.time):
        yield {**record.values, **({} if reading.step is None else {reading.step: record.step})}
