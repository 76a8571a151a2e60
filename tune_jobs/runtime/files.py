"""Read metrics from a file that the script writes: JSON, JSON lines, YAML or CSV.

    {"val": {"accuracy": 0.91}, "loss": 0.5}          one record, with the name ``val.accuracy``
    [{"epoch": 1, "loss": 0.5}, {"epoch": 2, ...}]    one record per object; also JSON lines
    {"loss": [0.5, 0.4], "val_loss": [0.6, 0.5]}      columns, as in Keras's history
    epoch,loss,val_loss                               CSV, one record per row; cells may be empty,
    1,0.5,                                            as in the files of Lightning

The suffix states the format. For other suffixes it is detected; a file of none of these formats is
read like output. A file that is incomplete, too large or malformed is reported as a problem, never
as an exception. YAML is read with PyYAML if that is installed; otherwise only flat ``name: value``
lines and lists of them are.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import Dict

from .extract import Extractor
from .items import Item, find_json_items, find_yaml_items, read_step, split_by_item
from .patterns import UserPattern
from .records import Record, leaves, number
from .steps import spell
from .trouble import find_errno
from .unread import explain_unread, metric_like_names

MAX_FILE = 16 * 1024 * 1024
"""Maximum size of a file in bytes."""

MAX_YAML = 256 * 1024
"""Maximum size of a YAML file in bytes, since parsing is slow."""

_MAX_YAML_DEPTH = 64
_MAX_NAMES = 20
_MAX_PROBLEM = 1000
_FLAT_YAML = re.compile(
    r"""\s*(?:-\s+)?(?P<name>"[^"]*"|'[^']*'|[^\s"'\-#:][^:]*):(?:\s+(?P<value>.*))?"""
)


def read_metrics_file(
    path: str,
    names: Sequence[str],
    step: str | None = None,
    live: bool = False,
    patterns: Mapping[str, str] | None = None,
) -> tuple[list[Record], str | None]:
    """Read the metrics in a file.

    Args:
        path: The file.
        names: Names of the metrics to read.
        step: Name of the step, if the file contains it.
        live: Whether the script still runs. Then, in formats with one record per line, a last line
            without a newline may be incomplete and is ignored.
        patterns: Regular expressions by metric, as of `Extractor`. These metrics are searched for
            in the text of the file, line by line, for every format. A step may stand anywhere in
            the same item of a JSON or YAML file.

    Returns:
        The records, whose time is that of the last write, and a problem or None. Both are possible,
        since an invalid line does not affect the others.

    Raises:
        OSError: If the machine is in trouble, so that a later call may succeed.
    """
    try:
        content, time = _read(path)
    except OSError as error:
        if find_errno(error) is not None:
            raise
        return [], f"the metrics file {path} cannot be read: {error.strerror}"
    except ValueError as error:
        return [], f"the metrics file {path} cannot be read: {error}"
    reading = _Reading(names, step, time, patterns or {})
    try:
        for row in _parse_rows(os.path.splitext(path)[1].lower(), content, reading, live):
            reading.add(row)
        reading.search_items(content)
        reading.search(content[: content.rfind("\n") + 1] if live else content)
    except (ValueError, RecursionError, csv.Error) as error:
        reading.complain(str(error))
    if not reading.records:
        reading.complain(reading.describe_content(content))
    problem = f"the metrics file {path}: {reading.problem}" if reading.problem else None
    return reading.records, problem


class _Reading:
    """Records and problems of one file while it is read."""

    def __init__(
        self, names: Sequence[str], step: str | None, time: float, patterns: Mapping[str, str]
    ) -> None:
        self.all_names = list(names)
        self.names = [name for name in names if name not in patterns]
        self.step = step
        self.step_names = spell(step) if step is not None else []
        self.time = time
        self._sources = patterns
        self._patterns = [UserPattern(name, source) for name, source in patterns.items()]
        self._searched = False
        self.items: list[Item] = []
        """Of a JSON or YAML document, if there are patterns."""
        self.records: list[Record] = []
        self._by_step: dict[int, int] = {}
        self.problem = ""
        self._other_names: dict[str, None] = {}

    def complain(self, problem: str) -> None:
        """Record a problem, in printable characters, unless there is one already."""
        shown = "".join(c if c.isprintable() else "?" for c in problem[:_MAX_PROBLEM])
        self.problem = self.problem or shown

    def add(self, row: Mapping[str, object]) -> None:
        """Add the record of a row, if the row has any of the metrics."""
        values: dict[str, float] = {}
        for name in self.names:
            value = row.get(name)
            if value in (None, "", name):  # no value, or a repeated header
                continue
            try:
                values[name] = number(value)
            except ValueError as error:
                self.complain(f"{name!r}: {error}")
        step = self.find_step(row)
        if isinstance(row, _Line):
            self._searched = True
            for pattern in self._patterns:
                value, its_step = pattern.search(row.text)
                if value is not None:
                    values[pattern.name] = value
                    step = step if its_step is None else its_step
        if values:
            self._append(Record(self.time, step, values))
        elif not self.records and len(self._other_names) < 1000:
            self._other_names.update((name, None) for name in row if _is_number(row[name]))

    @property
    def has_patterns(self) -> bool:
        """Whether items have to be found."""
        return bool(self._patterns)

    def search_items(self, content: str) -> None:
        """Search for the patterns in the items of a file, unless none of them has the step."""
        if not self.items or (self.step and all(item.step is None for item in self.items)):
            return
        self._searched = True
        for text, step in split_by_item(content, self.items):
            for pattern in self._patterns:
                value, its_step = pattern.search(text)
                if value is not None:
                    its_step = step if its_step is None else its_step
                    self._merge(Record(self.time, its_step, {pattern.name: value}))

    def search(self, content: str, names: Sequence[str] = ()) -> None:
        """Search for the patterns, and for some names, in the text of a file."""
        if not self._searched and (self._patterns or names):
            self._searched = True
            extractor = Extractor(names, self._sources, self.step)
            data = content.encode("utf-8", "replace")
            for record in extractor.feed(data, self.time) + extractor.finish(self.time):
                self._merge(record)
            self.complain(extractor.problem)
        for pattern in self._patterns:
            self.complain(pattern.problem)

    def _append(self, record: Record) -> None:
        if record.step is not None:
            self._by_step.setdefault(record.step, len(self.records))
        self.records.append(record)

    def _merge(self, record: Record) -> None:
        """Add a record to that of the same step, or as one of its own."""
        place = None if record.step is None else self._by_step.get(record.step)
        if place is None:
            self._append(record)
        else:
            values = {**self.records[place].values, **record.values}
            self.records[place] = Record(self.time, record.step, values)

    def describe_content(self, content: str) -> str:
        """Describe that the metrics are missing, and which others the file has."""
        if self._patterns and not self.names:
            if not content.strip():
                return "it is empty"
            first = self._patterns[0]
            return explain_unread(content.encode("utf-8"), first.name, first.source, self.step)
        wanted = ", ".join(map(repr, self.names[:_MAX_NAMES])) or "any metric"
        others = list(self._other_names) or metric_like_names(content.encode("utf-8"))
        closest = "".join(self.names[:1])
        others.sort(key=lambda n: -difflib.SequenceMatcher(None, closest, n[:100]).ratio())
        found = ", ".join(name[:100] for name in others[:_MAX_NAMES])
        return f"it has no {wanted}, " + (f"but: {found}" if found else "and no other metrics")

    def find_step(self, row: Mapping[str, object]) -> int | None:
        """Return the step of a row."""
        return next((read_step(row[name]) for name in self.step_names if name in row), None)


class _Line(Dict[str, object]):
    """Row of a file with one row per line.

    Attributes:
        text: The line.
    """

    def __init__(self, row: Mapping[str, object], text: str) -> None:
        super().__init__(row)
        self.text = text


def _is_number(value: object) -> bool:
    try:
        number(value)
    except ValueError:
        return False
    return True


def _read(path: str) -> tuple[str, float]:
    """Return the content of a file and the time of its last write."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would block until it has a writer
        raise ValueError("it is not a regular file")
    with open(path, "rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise ValueError(f"it has more than {MAX_FILE} bytes: write fewer rows, or use report()")
    return data.decode("utf-8-sig", "replace"), status.st_mtime


def _parse_rows(
    suffix: str, content: str, reading: _Reading, live: bool
) -> Iterator[Mapping[str, object]]:
    """Return the file's rows, in the format of its suffix or else of its beginning."""
    lines = content[: content.rfind("\n") + 1] if live else content
    if suffix in (".jsonl", ".ndjson"):
        return _parse_json_lines(lines, reading)
    if suffix in (".yaml", ".yml"):
        return _parse_yaml(content, reading)
    if suffix in (".csv", ".tsv"):
        return _parse_csv(lines)
    if suffix == ".json" or content.lstrip()[:1] in ("{", "["):
        return _parse_json(content, lines, reading)
    header, _ = next(_split_cells(content), ([], ""))
    if len(header) > 1 and any(name in header for name in reading.all_names):
        return _parse_csv(lines)
    return _search_output(lines, reading)


def _parse_json(content: str, lines: str, reading: _Reading) -> Iterator[Mapping[str, object]]:
    try:
        tree = json.loads(content)
        if reading.has_patterns:
            reading.items = find_json_items(content, reading.step_names)
        return _parse_tree(tree, reading)
    except ValueError as error:
        if _parse_object(content.lstrip().partition("\n")[0]) is not None:
            return _parse_json_lines(lines, reading)
        raise ValueError(f"invalid JSON (incomplete?): {error}") from None


def _parse_json_lines(content: str, reading: _Reading) -> Iterator[Mapping[str, object]]:
    for count, line in enumerate(content.split("\n"), 1):
        row = _parse_object(line)
        if row is not None:
            yield _Line(row, line)
        elif line.strip():
            reading.complain(f"line {count} is not a JSON object: {line[:80]!r}")


def _parse_object(line: str) -> Mapping[str, object] | None:
    try:
        tree = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return dict(leaves(tree)) if isinstance(tree, dict) else None


def _parse_tree(tree: object, reading: _Reading) -> Iterator[Mapping[str, object]]:
    """Yield the rows of an object, of an object of columns, or of a list of objects."""
    if isinstance(tree, list):
        for item in tree:
            if isinstance(item, Mapping):
                yield dict(leaves(item))
    elif isinstance(tree, Mapping):
        row = dict(leaves(tree))
        yield from _parse_columns(row, reading)
        yield {name: value for name, value in row.items() if not isinstance(value, list)}
    else:
        raise ValueError("it is neither an object nor a list of objects")


def _parse_columns(row: Mapping[str, object], reading: _Reading) -> Iterator[Mapping[str, object]]:
    wanted = [*reading.names, *reading.step_names]
    columns = {n: v for n, v in row.items() if n in wanted and isinstance(v, list)}
    for i in range(max(map(len, columns.values()), default=0)):
        yield {name: column[i] for name, column in columns.items() if i < len(column)}


def _parse_csv(content: str) -> Iterator[Mapping[str, object]]:
    cells = _split_cells(content)
    header, _ = next(cells, ([], ""))
    for row, line in cells:
        yield _Line({name: row[i].strip() for i, name in enumerate(header) if i < len(row)}, line)


def _split_cells(content: str) -> Iterator[tuple[list[str], str]]:
    """Yield the rows of a CSV file and their lines, first its header.

    The header may be a comment (``# epoch,loss``).
    """
    content = content.lstrip("# \r\n")
    lines = list(io.StringIO(content, newline=""))
    delimiter = max(",;\t", key=content.partition("\n")[0].count)
    rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    done = 0
    for row in rows:
        cells = [name.strip() for name in row] if done == 0 else row
        yield cells, "".join(lines[done : rows.line_num]).rstrip("\r\n")
        done = rows.line_num


def _parse_yaml(content: str, reading: _Reading) -> Iterator[Mapping[str, object]]:
    if len(content) > MAX_YAML:
        raise ValueError(
            f"it has more than {MAX_YAML} characters of YAML: write JSON or CSV instead"
        )
    try:
        import yaml
    except ImportError:
        for row, start, end in _parse_flat_yaml(content):
            if reading.has_patterns:
                reading.items.append(Item(start, end, reading.find_step(row)))
            yield row
        return
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_yaml(content, loader)
        trees = list(yaml.load_all(content, Loader=loader))
        if reading.has_patterns:
            nodes = yaml.compose_all(content, Loader=loader)
            reading.items = find_yaml_items(nodes, content, reading.step_names)
    except Exception as error:  # PyYAML also raises other errors than its own
        raise ValueError(f"invalid YAML (incomplete?): {error}") from None
    for tree in trees:
        yield from _parse_tree(tree, reading)


def _check_yaml(content: str, loader: type) -> None:
    """Reject aliases and deep nesting, with which a small document becomes a huge one."""
    import yaml

    depth = 0
    for event in yaml.parse(content, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it has an alias, which metrics files must not use")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_YAML_DEPTH:
            raise ValueError(f"it is nested deeper than {_MAX_YAML_DEPTH} levels")


def _parse_flat_yaml(content: str) -> Iterator[tuple[Mapping[str, object], int, int]]:
    """Yield the rows of ``name: value`` lines, or of a list of such groups, and their places."""
    row: dict[str, object] = {}
    column = None
    start = end = 0
    for count, line in enumerate(content.splitlines(keepends=True), 1):
        line_start, end = end, end + len(line)
        line = re.split(r"(?:^|\s)#", line)[0].rstrip()
        if line in ("", "---", "..."):
            continue
        match = _FLAT_YAML.fullmatch(line)
        starts_item = line.lstrip().startswith("- ")
        if match is None or (match.start("name") != column and column is not None):
            raise ValueError(
                f"line {count} is not 'name: value', and PyYAML is not installed where the script "
                f"runs, which would read more: {line[:80]!r}"
            )
        if starts_item and row:
            yield row, start, line_start
            row, start = {}, line_start
        column = match.start("name")
        row[match["name"].strip(" \"'")] = (match["value"] or "").strip("\"'")
    yield row, start, end


def _search_output(content: str, reading: _Reading) -> Iterator[Mapping[str, object]]:
    """Read a file of another format like output; it has no rows."""
    reading.search(content, reading.names)
    return iter(())
