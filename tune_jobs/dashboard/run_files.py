"""Files of job runs as the page shows and downloads them: logs, outputs and other files.

Whatever a run wrote is untrusted: names are looked up in a listing and never joined to a path, and
content is sent as an attachment of no type that a browser would open.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Any

from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from tune_jobs.core.attempts import Attempt
from tune_jobs.dashboard.drawing import clean
from tune_jobs.errors import StoreError
from tune_jobs.metric_store.base import FilePart
from tune_jobs.metric_store.outputs import read_outputs
from tune_jobs.metric_store.store import MetricStore
from tune_jobs.runtime.nodes import name_rank

LOG_BYTES = 256 * 1024
"""Bytes of a log that one answer has, at most."""

MAX_FILES = 1000
"""Files of a run that the page lists."""

MAX_MATCHES = 200
"""Matches of a search in a log that one answer has, at most."""

MAX_LINE = 300
MAX_NAME = 150
PIECE = 4 << 20
"""Bytes of a file that are in memory when it is sent or searched."""

_UNSAFE = frozenset('\\/:*?"<>|')


def log_path(run: str, rank: int = 0) -> str:
    """Return where the output of a node of a run is, below the study's folder."""
    return f"runs/{run}/{name_rank(rank)}/log.txt" if rank else f"runs/{run}/log.txt"


def log_view(
    store: MetricStore,
    run: Attempt,
    *,
    start: int | None = None,
    before: int | None = None,
    rank: int = 0,
) -> dict[str, Any]:
    """Return a part of the output of a run, of at most `LOG_BYTES`: by default its end.

    Args:
        store: The study's metric store.
        run: The run.
        start: Offset in bytes of the first byte, such as the last part's ``end``.
        before: Offset in bytes that the part ends before; it begins with a line.
        rank: Rank of the node that printed it.

    Returns:
        ``log``, the text; ``start`` and ``end``, its place; ``size`` of the whole output; whether
        it ``exists``, and whether the run has ``ended``.
    """
    has_ended = run.told is not None
    answer: dict[str, Any] = {"run": run.name, "rank": rank, "ended": has_ended}
    part = _read_log_part(store, log_path(run.name, rank), start, before)
    if part is None:
        return {**answer, "log": "", "start": 0, "end": 0, "size": 0, "exists": False}
    skipped = _find_line(part.data) if start is None and part.start > 0 else 0
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    is_last = has_ended and part.start + len(part.data) >= part.size
    text = decoder.decode(part.data[skipped:], final=is_last or before is not None)
    unfinished = len(decoder.getstate()[0])  # the beginning of a character
    end = part.start + len(part.data) - unfinished
    found = {"log": text, "start": part.start + skipped, "end": end, "size": part.size}
    return {**answer, **found, "exists": True}


def _read_log_part(
    store: MetricStore, path: str, start: int | None, before: int | None
) -> FilePart | None:
    if before is not None:
        first = max(0, before - LOG_BYTES)
        part = store.read_part(path, first, max(1, before - first))
        return part and FilePart(part.data[: before - first], part.start, part.size)
    return store.read_part(path, -LOG_BYTES if start is None else start, LOG_BYTES)


def _find_line(data: bytes) -> int:
    """Return where the second line begins; 0 if the first one is very long."""
    return data.find(b"\n", 0, len(data) // 4) + 1


def search_log(store: MetricStore, run: Attempt, text: str, rank: int = 0) -> dict[str, Any]:
    """Return the lines of a run's output that contain a text, whatever the case of ASCII letters.

    Returns:
        ``matches``, of each the offset in bytes of the match ``at`` and its ``line``, shortened;
        and ``count``, the number of all lines that match.
    """
    wanted = text.encode().lower()
    matches: list[dict[str, Any]] = []
    count = 0
    for offset, line in _read_lines(store, log_path(run.name, rank)):
        at = line.lower().find(wanted)
        if at >= 0:
            count += 1
            if len(matches) < MAX_MATCHES:
                shown = line[max(0, at - 100) : at + MAX_LINE].decode("utf-8", "replace")
                matches.append({"at": offset + at, "line": clean(shown.strip(), MAX_LINE)})
    return {"run": run.name, "rank": rank, "matches": matches, "count": count}


def _read_lines(store: MetricStore, path: str) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with their offsets; one longer than a piece in several parts."""
    offset, rest = 0, b""
    for piece in _read_pieces(store, path):
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > PIECE:
            lines, rest = [*lines, rest[:-1]], rest[-1:]
            offset -= 1  # no newline was removed
        for line in lines:
            yield offset, line
            offset += len(line) + 1
    if rest:
        yield offset, rest


def _read_pieces(store: MetricStore, path: str, size: int | None = None) -> Iterator[bytes]:
    """Yield a file, or its first ``size`` bytes, in pieces of bounded size."""
    offset = 0
    while size is None or offset < size:
        wanted = PIECE if size is None else min(PIECE, size - offset)
        part = store.read_part(path, offset, wanted)
        if part is None or not part.data:
            return
        yield part.data
        offset += len(part.data)
        if size is None and offset >= part.size:
            return


def outputs_view(store: MetricStore, run: Attempt) -> dict[str, Any]:
    """Return the files that a run left.

    Returns:
        ``files``, of each its exact ``name``, what is ``shown`` of it, its ``size`` in bytes and
        the time it was ``modified``; their number ``total`` and size ``bytes``; what was
        ``omitted``, in a sentence; and the ``uri`` of the outputs folder.
    """
    outputs = read_outputs(store, run)
    return {
        "run": run.name,
        "files": [
            {
                "name": file.name,
                "shown": clean(file.name, MAX_LINE),
                "size": file.size,
                "modified": file.modified,
            }
            for file in outputs.files[:MAX_FILES]
        ],
        "total": len(outputs),
        "bytes": sum(file.size for file in outputs.files),
        "omitted": clean(outputs.omitted, MAX_LINE * 4),
        "uri": clean(store.outputs_uri(run.name), MAX_LINE * 4),
    }


def send_output(store: MetricStore, run: Attempt, name: str) -> Response:
    """Return a response with the content of a file that a run left.

    Raises:
        NotFound: If the run left no file of that name.
    """
    file = next((file for file in read_outputs(store, run).files if file.name == name), None)
    if file is None:
        raise NotFound(f"{run.name} left no file of this name (any more)")
    return _send(store, file.path, name.rpartition("/")[2])


def send_log(store: MetricStore, run: Attempt, rank: int = 0) -> Response:
    """Return a response with the whole output of a run until now.

    Raises:
        NotFound: If it has none yet.
    """
    suffix = f"-{name_rank(rank)}" if rank else ""
    return _send(store, log_path(run.name, rank), f"{run.name}{suffix}.log.txt")


def _send(store: MetricStore, path: str, name: str) -> Response:
    """Return a response that a browser saves, whose content is read piece by piece."""
    first = store.read_part(path, 0, 1)
    if first is None:
        raise NotFound("the file does not exist (yet, or any more)")
    response = Response(
        _read_until_trouble(store, path, first.size), content_type="application/octet-stream"
    )
    response.headers.set("Content-Disposition", "attachment", filename=choose_file_name(name))
    response.headers["Content-Length"] = str(first.size)
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


def _read_until_trouble(store: MetricStore, path: str, size: int) -> Iterator[bytes]:
    """Yield a file in pieces; if the store fails, the response is shorter than it announced.

    The browser then says that the download failed, and no other answer is possible any more.
    """
    try:
        yield from _read_pieces(store, path, size)
    except StoreError:
        return


def choose_file_name(name: str) -> str:
    """Return a name under which a browser may save a file, whatever a run called it."""
    plain = "".join(c if c.isprintable() and c not in _UNSAFE else "_" for c in name)
    plain = (
        plain.strip(". ") if plain.startswith("..") or not plain.strip(". ") else plain.rstrip(". ")
    )
    stem, dot, suffix = plain.rpartition(".")
    if len(plain) > MAX_NAME:
        ending = f"{dot}{suffix}" if len(suffix) < 20 else ""
        plain = f"{(stem or suffix)[: MAX_NAME - len(ending)]}{ending}"
    return plain or "file"
