"""Extract metrics from the output of unmodified scripts.

Metrics are found by name in lines such as:

    accuracy: 0.91    accuracy=0.91    accuracy = 9.1e-1    accuracy 0.91    Test accuracy: 91.5%
    Epoch 3/10 - 5s - loss: 0.5234 - accuracy: 0.9123            several per line
    Loss 0.5234 (0.6012)                                         current value, not the average
    {'eval_accuracy': 0.91, 'epoch': 1.0}                        a Python dict
    INFO {"epoch": 3, "val": {"accuracy": 0.91}}                 JSON: ``val.accuracy``
    accuracy: tensor(0.91, device='cuda:0')                      NumPy, PyTorch, JAX

The rules:

- A name matches exactly, including case, and as a whole: ``accuracy`` does not match in
  ``val_accuracy``, ``val/accuracy`` or ``accuracy@5``. Words may precede it, as in
  ``Test accuracy``; a longer name, such as ``val accuracy``, has priority over one it ends with.
- A number is read as it is written, ``91.5%`` as 91.5 and ``1,234.5`` as 1234.5, and as a whole:
  ``1.2.3``, ``2024-01-02``, ``12:30``, ``9905/10000``, ``0,91``, ``1,2`` and ``35ms`` do not match.
- What progress bars draw is neither a value nor the continuation of one (`lines`).
- If a line has a name several times, the last value counts. Values of a best, highest or previous
  result count only if a metric has no others. A progress bar that is redrawn with carriage returns
  is one line, or one line per step if it contains a step.
- The step is the one in the same line, that of the block of lines (`blocks`), or else the last one
  printed before. Its name may be capitalized: ``epoch`` matches in ``Epoch 3/10``, ``[EPOCH 3]``
  and ``Epoch: [3][10/500]``, but not in ``best epoch 3`` (`steps`). Fractional steps are rounded
  down: epoch 1.5 is step 1.
- If launchers name ranks, each has its own step, and rank 0 has priority.

Other formats need a regular expression.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Dict, NamedTuple, Optional

from .blocks import (
    INDENTED,
    SECTION,
    Block,
    find_indent,
    find_shape,
    shape_below,
    stands_below_title,
    stands_in_section,
)
from .lines import clean, find_all, find_line, find_stream, normalize, remove_progress
from .numerals import VALUE, parse_number
from .objects import remove_objects
from .patterns import UserPattern
from .records import MAX_LINE, MAX_STEP, Record, check_name, encode
from .steps import SIGN, StepFinder, compile_names, find_needles

SEPARATOR = rf"""["']?(?P<separator>{SIGN}|\s{{1,64}})"""
_BEST = re.compile(
    r"(?<!\w)(?:best|highest|lowest|max\.?|maximum|min\.?|minimum|previous|prev\.?|old)"
    r"(?:[ \t]+\w{1,40}){0,3}[ \t:]*\Z",
    re.IGNORECASE,
)
_ABOVE = 16 * 1024
_MAX_STREAMS = 1024
_MAX_BEST = 10_000
_LONGEST = -1.2345678901234567e-300  # a float whose repr has the maximum length


class _LineReading(NamedTuple):
    """What a line says.

    Args:
        values: Its metrics.
        best: Metrics of a best, highest or previous result.
        step: Its step.
        stream: The process that it comes from.
    """

    values: Dict[str, float]  # noqa: UP006
    best: Dict[str, float]  # noqa: UP006
    step: Optional[int]  # noqa: UP045
    stream: Optional[str]  # noqa: UP045


class Extractor:
    """Incremental extractor of metrics from a stream of bytes.

    Lines without any of the names cost almost nothing. Lines are cut after `MAX_LINE` bytes, so
    memory is bounded, and the cost is linear in the size of the output.

    Args:
        names: Names of the metrics, as the script prints them.
        patterns: Regular expressions, by metric, for metrics that are not found by name. The group
            ``value``, or else the first group, is the number; a group ``step`` is the step. Every
            line is searched.
        step: Name of the step, as the script prints it.

    Raises:
        ValueError: If a name or a pattern is invalid; the message says which one and why.
    """

    def __init__(
        self,
        names: Sequence[str],
        patterns: Mapping[str, str] | None = None,
        step: str | None = None,
    ) -> None:
        self._patterns = [UserPattern(name, source) for name, source in (patterns or {}).items()]
        by_pattern = [pattern.name for pattern in self._patterns]
        by_name = [check_name(name) for name in dict.fromkeys(names) if name not in by_pattern]
        every = dict.fromkeys([*by_name, *by_pattern], _LONGEST)
        if not every:
            raise ValueError("name at least one metric to find in what the script prints")
        encode(Record(_LONGEST, -MAX_STEP, every))  # raises if a record could not hold them all
        self._names = {" ".join(normalize(name).split()): name for name in by_name}
        self._pattern = compile_names(list(self._names), SEPARATOR + VALUE) if by_name else None
        self._needles = find_needles(by_name)
        self._needle_texts = [normalize(needle.decode("utf-8")) for needle in self._needles]
        self._finder = StepFinder(step) if step is not None else None
        self._unfinished = bytearray()
        self._beyond = ""
        """A metric after the part of a line that is read."""
        self._above = b""
        self._after_return = False
        self._steps: dict[str | None, int] = {}
        self._block: Block | None = None
        self._line: Record | None = None
        """Metrics found in the unfinished line."""
        self._line_in_block = False
        self._indent = 0
        self._current: set[str] = set()
        """Metrics that were printed without a word such as "best" before them."""
        self._best: dict[tuple[str, int | None], Record] = {}
        """Those that were not, by name and step: they count if no others are printed."""
        self._of_rank_0: set[str] = set()

    @property
    def problem(self) -> str:
        """Why something is not read, such as the end of a long line; empty if there is nothing."""
        problems = [p.problem for p in self._patterns if p.problem]
        if self._beyond:
            problems.append(
                f"{self._beyond!r} was printed after the first {MAX_LINE} bytes of a line, which "
                "are not read: print it on a line of its own"
            )
        return "; ".join(problems)

    def feed(self, data: bytes, time: float) -> list[Record]:
        """Return the metrics in the lines that ``data`` completes, oldest first.

        Args:
            data: Output that follows the previous one.
            time: Time of the output in seconds since the epoch.
        """
        cut = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        complete, rest = data[:cut], data[cut:]
        if cut:
            complete, self._unfinished = bytes(self._unfinished + complete), bytearray()
        # One byte more than is used, so that a line that is too long can be recognized.
        room = MAX_LINE + 1 - len(self._unfinished)
        self._unfinished += rest[:room]
        self._note_beyond(rest, room)
        return self._search(complete, time) if cut else []

    def finish(self, time: float) -> list[Record]:
        """Return the metrics in the last line, which may lack a newline, and in the last block."""
        return self.feed(b"\n", time) + self._close_block() + self._take_best()

    # -- lines ------------------------------------------------------------------------------------

    def _search(self, data: bytes, time: float) -> list[Record]:
        """Read complete lines, and complete redraws of an unfinished line."""
        found: list[Record] = []
        done = 0
        for start, end in self._find_candidates(data):
            if end - start > MAX_LINE:
                self._note_beyond(data[start:end], MAX_LINE)
            line = clean(data[start:end])
            values, best, step, stream = self._read(line)
            self._keep_best(best, step, stream, time)
            if not values:
                continue
            found += self._pass_over(data[done:start])
            found += self._place(data, start, end, step)
            if step is not None:
                self._note_step(step, stream)
            step = self._last_step(stream)
            before = self._line
            if before and before.step != step:
                found += self._complete_line()
                before = None
            self._line = Record(time, step, {**before.values, **values} if before else values)
            done = end
        found += self._pass_over(data[done:])
        self._above = self._find_above(data, len(data)) if self._finder else b""
        self._after_return = data.endswith(b"\r")
        return found

    def _note_beyond(self, line: bytes, end: int) -> None:
        """Note a metric in a line after the position up to which it is read."""
        for needle in self._needles if len(line) > end and not self._beyond else ():
            if line.find(needle, end) >= 0:
                self._beyond = needle.decode("utf-8")

    def _find_candidates(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield start and end of the lines that may contain a metric."""
        end = 0
        if self._patterns:
            for line in data.splitlines(keepends=True):
                start, end = end, end + len(line)
                content = line.rstrip(b"\r\n")
                if content:
                    yield start, start + len(content)
            return
        for place in heapq.merge(*(find_all(needle, data) for needle in self._needles)):
            if place >= end:
                start, end = find_line(data, place, end)
                yield start, end

    def _pass_over(self, data: bytes) -> list[Record]:
        """Pass over lines without metrics, which may have a step, or end a line or a block."""
        found = self._complete_line() if b"\n" in data else []
        if self._finder is None:
            return found
        if self._block is not None:
            data = self._follow_block(data, found)
        self._find_last_step(data)
        return found

    def _complete_line(self) -> list[Record]:
        """Return the records that the end of a line makes certain."""
        record, self._line = self._line, None
        if record is None:
            return []
        if self._block is not None and self._line_in_block:
            return self._block.add(record, self._indent)
        return [record]

    # -- blocks and steps -------------------------------------------------------------------------

    def _place(self, data: bytes, start: int, end: int, step: int | None) -> list[Record]:
        """Decide whether a line with a metric belongs to a block; return what this releases."""
        if self._finder is None:
            return []
        line = data[start:end]
        released: list[Record] = []
        if self._block is not None and not self._block.contains(line):
            released = self._complete_line() + self._close_block()
        if self._block is not None and step is not None:
            released += self._complete_line() + self._block.set_step(step)
        elif self._block is None and step is None:
            shape = find_shape(line)
            if shape is not None and (block := self._open_block(shape, data, start, line)):
                released += self._complete_line()
                self._block = block
        self._line_in_block = self._block is not None and step is None
        self._indent = find_indent(line)
        return released

    def _open_block(self, shape: str, data: bytes, start: int, line: bytes) -> Block | None:
        """Return the block that begins with a line that has a metric and no step, if one does."""
        if shape == SECTION:
            is_one = stands_in_section(self._find_above(data, start))
            return Block(shape, line) if is_one else None
        holds = shape != INDENTED or stands_below_title(self._find_above(data, start))
        return Block(shape, line, holds=holds)

    def _find_above(self, data: bytes, start: int) -> bytes:
        """Return what was printed before a line, as far as a title is looked for."""
        above = data[max(0, start - _ABOVE) : start]
        return above if len(above) == _ABOVE else (self._above + above)[-_ABOVE:]

    def _follow_block(self, data: bytes, found: list[Record]) -> bytes:
        """Pass lines to the block until it ends; return what follows it.

        Args:
            data: Lines without metrics, after the end of a line or at the start of one.
            found: Takes the records that are released.
        """
        assert self._block is not None
        position = 0
        for line in data.splitlines(keepends=True):
            content = line.rstrip(b"\r\n")
            if not content and position == 0:  # the end of the line before
                position += len(line)
                continue
            if not self._block.contains(content):
                break
            position += len(line)
            step, stream = self._read_step(content)
            if step is not None:
                self._note_step(step, stream)
                found += self._block.set_step(step)
            if self._block.ends_with(content):
                break
        else:
            return b""
        found += self._close_block()
        return data[position:]

    def _close_block(self) -> list[Record]:
        block, self._block = self._block, None
        return block.close() if block is not None else []

    def _find_last_step(self, data: bytes) -> None:
        """Note the last step of each process in lines without metrics."""
        assert self._finder is not None
        noted: set[str | None] = set()
        for start, end in self._finder.find_lines(data):
            step, stream = self._read_step(data[start:end])
            if step is None or stream in noted:
                continue
            if not noted:
                self._steps[None] = step
                self._block = Block(shape_below(data[start:end]), data[start:end], step)
                self._follow_block(data[end:], [])
            if stream is None:
                return
            noted.add(stream)
            self._note_step(step, stream, is_last=False)

    def _last_step(self, stream: str | None) -> int | None:
        return self._steps.get(stream, self._steps.get(None))

    def _note_step(self, step: int, stream: str | None, is_last: bool = True) -> None:
        if is_last:
            self._steps[None] = step
        if stream in self._steps or len(self._steps) < _MAX_STREAMS:
            self._steps[stream] = step

    def _read_step(self, line: bytes) -> tuple[int | None, str | None]:
        """Return the step of a line without metrics, and the process that it comes from."""
        assert self._finder is not None
        if not self._finder.may_match(line):
            return None, None
        string = clean(line)
        numbers, rest = remove_objects(string) if "{" in string else ({}, string)
        return self._finder.find(remove_progress(rest), numbers), find_stream(string)[0]

    # -- values -----------------------------------------------------------------------------------

    def _read(self, line: str) -> _LineReading:
        """Return what a line says."""
        values: dict[str, float] = {}
        step = None
        for pattern in self._patterns:
            value, its_step = pattern.search(line)
            if value is not None:
                values[pattern.name] = value
                step = its_step if its_step is not None else step
        if not values and not any(needle in line for needle in self._needle_texts):
            return _LineReading({}, {}, None, None)
        stream, rank = find_stream(line)
        numbers: dict[str, float] = {}
        if "{" in line:
            numbers, line = remove_objects(line)
            values.update((n, numbers[n]) for n in self._names.values() if n in numbers)
        line = remove_progress(line)
        best: dict[str, float] = {}
        value_at = self._read_names(line, values, best)
        if rank is not None:
            values = self._prefer_rank_0(values, rank)
        if step is None and self._finder is not None and (values or best):
            step = self._finder.find(line, numbers, value_at)
        return _LineReading(values, best, step, stream)

    def _read_names(
        self, line: str, values: dict[str, float], best: dict[str, float]
    ) -> int | None:
        """Add the values of the names in a line; of several the last one counts.

        Args:
            line: The line.
            values: Takes the values.
            best: Takes those of a best, highest or previous result.

        Returns:
            The position of the last value.
        """
        if self._pattern is None:
            return None
        self._current.update(values)
        last = None
        other = self._finder.find_other(line) if self._finder is not None else None
        for match in self._pattern.finditer(line):
            name = self._names[" ".join(match["name"].split())]
            number = parse_number(match["number"])
            if (other is not None and other < match.start()) or _is_best(line, match.start()):
                best[name] = number
            else:
                self._current.add(name)
                values[name] = number
            last = match.start()
        return last

    def _keep_best(
        self, best: Mapping[str, float], step: int | None, stream: str | None, time: float
    ) -> None:
        """Keep values of best results until it is known that no others are printed."""
        step = self._last_step(stream) if step is None else step
        for name, value in best.items():
            if name not in self._current and len(self._best) < _MAX_BEST:
                self._best[name, step] = Record(time, step, {name: value})

    def _take_best(self) -> list[Record]:
        kept, self._best = self._best, {}
        return [record for (name, _), record in kept.items() if name not in self._current]

    def _prefer_rank_0(self, values: dict[str, float], rank: int) -> dict[str, float]:
        """Ignore a metric of the other ranks once rank 0 has printed it."""
        if rank == 0:
            self._of_rank_0.update(values)
            return values
        return {name: value for name, value in values.items() if name not in self._of_rank_0}


def _is_best(line: str, place: int) -> bool:
    """Return whether the name at a place is that of a best, highest or previous value."""
    return _BEST.search(line, max(0, place - 80), place) is not None
