"""Lines of output as text: without terminal codes, and without what progress bars draw.

A progress bar surrounds a description with numbers of its own. They are neither values of a metric
that the description ends with, nor do they continue its value:

    mAP50-95: 100%|██████| 4/4 [00:01<00:00]     has no value
    loss: 0.1234:  45%|██▎   | 45/100 [...]      loss is 0.1234
    loss: 45it [00:01, 44.9it/s, acc=0.9]        acc is 0.9, loss has no value

A percentage that no bar follows is a value: ``accuracy: 91.5%``, ``| 91.5% |``,
``accuracy: 100% (9332/9332)``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .records import MAX_LINE

LINE_END = re.compile(rb"[\r\n]")
_TERMINAL_CODES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])"
)

# Full-width forms and the minus sign, as East Asian scripts and typographers write them.
_PLAIN = {
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
    0x2212: "-",
    0xFF0C: ", ",
    0x3001: ", ",
    0xFF1A: ": ",
    0x3010: "[",
    0x3011: "]",
}

BLOCKS = "\u2500-\u259f\u25a0\u25a1\u25aa\u25ab\u25ae-\u25b1\u25cb\u25cf\u2800-\u28ff"
_COUNT = r"[0-9][0-9.,]{0,20}[kKMGTPEZY]?"
_CLOCK = r"\[[0-9]{1,4}:[0-9]{2}(?::[0-9]{2})?[,<]"
_DRAWN = re.compile(
    r"(?<![\w.,])[0-9]{1,3}(?:\.[0-9]{1,6})?\s?%"
    r"(?:\s?\(?[0-9]{1,12}\s?(?:of|/)\s?[0-9]{1,12}\)?)?\s{0,2}"
    rf"(?:\|(?P<bar>[^|]{{1,1000}})\|(?P<counted>\s{{0,4}}{_COUNT}/)?"
    rf"|[{BLOCKS}]{{2,1000}}"
    r"|\[(?=[^\]\s]|\s{0,200}[^\]\s])[-=#>.~*+o_ ]{2,1000}\]"
    rf"|\|?\s{{0,4}}{_COUNT}/{_COUNT}\s{{0,2}}{_CLOCK})"
)
_COUNTED = re.compile(rf"(?<![\w.,]){_COUNT}\s?[^\W\d_][\w/]{{0,20}}\s{_CLOCK}")
_COLON_BEFORE = re.compile(r":\s{0,8} ; ")
_BAR = re.compile(rf"(?:\s*[{BLOCKS}][{BLOCKS}\s]*|[=#>.~*+o_-][-=#>.~*+o_\s]*|#+[0-9]?\s*)")
_EMPTY_BAR = re.compile(r"\s*|[0-9]\s*")

_BACKSPACES = re.compile(r"\x08+|[^\x08]+")

_LAUNCHER_WORDS = ("rank", "default", "gpu", "device", "worker", "proc", "node", "pid", "std")
_STREAM = re.compile(
    r"(?:^|[\[(<])\s?(?:(?:local|global)[_ ]?)?"
    r"(?P<kind>rank|default|gpu|device|worker|process|proc|node)[\s_:=#-]{0,3}(?P<rank>[0-9]{1,5})"
    r"\s?(?:[\])>:|]|-\s)"
    r"|^\[(?:[0-9]{1,5},)?(?P<mpi>[0-9]{1,5})\]<std(?:out|err)>"
    r"|^\s{0,4}(?P<task>[0-9]{1,5}):\s"
    r"|^\([\w.-]{1,60} (?P<process>pid=[0-9]{1,10})[^)]{0,60}\)",
    re.IGNORECASE,
)


def clean(line: bytes) -> str:
    """Decode a line, without terminal codes and full-width forms, and cut if it is too long."""
    line = line.rstrip(b"\r\n")
    if len(line) > MAX_LINE:
        line = line[:MAX_LINE] + b"_"  # so that a number at the cut does not match
    string = line.decode("utf-8", "replace")
    string = remove_terminal_codes(string)
    if "\b" in string:
        string = _overwrite(string)
    return string if string.isascii() else normalize(string)


def remove_terminal_codes(string: str) -> str:
    """Return text without the codes with which programs color it."""
    return _TERMINAL_CODES.sub("", string) if "\x1b" in string else string


def _overwrite(string: str) -> str:
    """Return what a terminal shows of text with backspaces, after which it is written over."""
    shown: list[str] = []
    place = 0
    for part in _BACKSPACES.findall(string):
        if part[0] == "\b":
            place = max(0, place - len(part))
        else:
            shown[place : place + len(part)] = part
            place += len(part)
    return "".join(shown)


def normalize(string: str) -> str:
    """Replace full-width forms, such as ``：`` and ``０``, by their plain ones."""
    return string.translate(_PLAIN)


def remove_progress(line: str) -> str:
    """Replace what progress bars draw around their description by a semicolon."""
    if "%" in line:
        line = _DRAWN.sub(_remove_bar, line)
    if "[" in line:
        line = _COUNTED.sub(lambda match: " ; [" + match[0].rpartition("[")[2], line)
    return _COLON_BEFORE.sub(" ;", line) if " ; " in line else line


def _remove_bar(match: re.Match[str]) -> str:
    bar = match["bar"]
    if bar is None or _BAR.fullmatch(bar):
        return " ; "
    if _EMPTY_BAR.fullmatch(bar) and match["counted"]:
        return " ; "
    return match[0]


def find_stream(line: str) -> tuple[str | None, int | None]:
    """Return which process a line comes from, by the prefix that launchers add, and its rank.

    Returns:
        A key that lines of the same process share, or None without such a prefix; and the rank, or
        None if the prefix does not say that its number is a rank.
    """
    start = line[:120].lower()
    may_have = start[:5].lstrip()[:1].isdigit() or any(word in start for word in _LAUNCHER_WORDS)
    match = _STREAM.search(line, 0, 120) if may_have else None
    if match is None:
        return None, None
    rank = match["rank"] or match["mpi"]
    kind = match.lastgroup or ""
    return f"{kind} {match[kind]}", None if rank is None else int(rank)


def find_line(data: bytes, place: int, first: int = 0) -> tuple[int, int]:
    """Return start (at least ``first``) and end of the line that contains ``place``."""
    end = LINE_END.search(data, place)
    return find_line_start(data, place, first), end.start() if end else len(data)


def find_line_start(data: bytes, place: int, first: int = 0) -> int:
    """Return the start of a line, at least ``first``, in time proportional to its length."""
    window = 256
    while True:
        begin = max(first, place - window)
        before = max(data.rfind(b"\n", begin, place), data.rfind(b"\r", begin, place))
        if before >= 0 or begin == first:
            return before + 1 if before >= 0 else first
        window *= 4


def find_all(needle: bytes, data: bytes) -> Iterator[int]:
    """Yield the positions of a substring; ``bytes.find`` is as fast as memory."""
    place = data.find(needle)
    while place >= 0:
        yield place
        place = data.find(needle, place + len(needle))
