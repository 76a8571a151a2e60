"""Mask the values of secrets in what a run prints. Python 3.8 on.

A value is found in the forms in which programs print it: as it is, in base64 (also inside a longer
text, as in HTTP's basic authentication), URL-encoded, in hexadecimal digits, quoted by a shell, and
escaped as in JSON, in HTML, in a traceback or for a stream of another encoding. Line breaks and
ANSI escape sequences within it do not matter, and neither does how the output is cut into pieces.
What a program makes of a value otherwise is not recognized.
"""

from __future__ import annotations

import base64
import html
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MIN_LENGTH = 6
"""Bytes of the shortest value that is masked: shorter ones occur by chance, as in numbers."""

MASK = b"***"

_SHORT = 4
"""Bytes at the end of a line, equal to a value's first ones, from which on it is held back."""

_HEAD = 8
_ESCAPE = rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)|[@-Z\\^_])"
_NOISE = re.compile(rb"[\r\n]|" + _ESCAPE)
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]{0,256}\x1b?)?\Z")
_MAX_NOISE = 1 << 16


class Masking:
    """What is masked.

    Args:
        values: Values of secrets; those shorter than `MIN_LENGTH` are not masked.
    """

    def __init__(self, values: Iterable[bytes] = ()) -> None:
        forms = {form for value in values for form in _build_forms(value)}
        self.forms = sorted(forms, key=lambda form: (-len(form), form))

    def __bool__(self) -> bool:
        return bool(self.forms)

    def __repr__(self) -> str:
        return f"Masking({len(self.forms)} forms)"

    def open_stream(self) -> MaskedStream:
        """Return a masked stream, for output that arrives in pieces."""
        return MaskedStream(self.forms)

    def mask(self, data: bytes) -> bytes:
        """Return a whole text with values masked."""
        if not self.forms:
            return data
        stream = self.open_stream()
        return stream.feed(data) + stream.finish()

    def mask_string(self, string: str) -> str:
        """Return a string with values masked."""
        if not self.forms:
            return string
        return self.mask(string.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")


class MaskedStream:
    """Stream with values masked. Made by `Masking.open_stream`.

    What may be the beginning of a value is held back until more has arrived.
    """

    def __init__(self, forms: list[bytes]) -> None:
        self._forms = forms
        self._longest = max(map(len, forms), default=0)
        self._kept = b""  # may belong to a value that has not arrived completely
        self._written = 0  # bytes of it that were returned already

    def feed(self, data: bytes) -> bytes:
        """Return what can be written after these bytes have arrived."""
        if not self._forms:
            return data
        return self._advance(self._kept + data, is_last=False)

    def finish(self) -> bytes:
        """Return the rest. What looks like a value that was cut off is masked, too."""
        return self._advance(self._kept, is_last=True)

    def _advance(self, raw: bytes, *, is_last: bool) -> bytes:
        rest = None if is_last else _UNFINISHED.search(raw, max(0, len(raw) - 300))
        end = rest.start() if rest else len(raw)
        text = _Text(raw[:end])
        spans = [text.locate(a, b) for a, b in _merge(_find_all(text.plain, self._forms))]
        begun = self._find_begun(text.plain)
        held = text.locate(begun, len(text.plain))[0] if begun < len(text.plain) else end
        if is_last:
            if len(text.plain) - begun >= MIN_LENGTH:
                spans = list(_merge([*spans, (held, end)]))
            held = upto = end
        else:
            upto = self._choose_end(text, begun, held, end, spans)
            if end - held > 4 * self._longest + _MAX_NOISE:
                held = upto = end
        output = _replace(raw, spans, min(self._written, end), upto)
        self._kept = raw[held:]
        self._written = max(0, upto - held, self._written - held)
        return output

    def _find_begun(self, plain: bytes) -> int:
        """Return where the longest end begins that may become a value; the length if none may."""
        found = len(plain)
        for form in self._forms:
            found = min(found, _find_beginning(plain, form))
        return found

    def _choose_end(
        self, text: _Text, begun: int, held: int, end: int, spans: list[tuple[int, int]]
    ) -> int:
        """Return up to where the output can be written.

        A line that ends with a value's first letter or two is not held back until there is another.
        """
        if len(text.plain) - begun < _SHORT and text.raw.endswith((b"\n", b"\r")):
            return end
        return max([held, *(b for a, b in spans if a <= held < b)])


class _Text:
    """Text without line breaks and escape sequences, and where its bytes were."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.plain = _NOISE.sub(b"", raw) if b"\x1b" in raw else raw.translate(None, b"\r\n")
        self._pieces: tuple[list[int], list[int]] | None = None

    def locate(self, start: int, end: int) -> tuple[int, int]:
        """Return where a part of the plain text is in the raw one."""
        return self._locate(start), self._locate(end - 1) + 1

    def _locate(self, place: int) -> int:
        if self._pieces is None:
            self._pieces = self._find_pieces()
        plain, raw = self._pieces
        at = bisect_right(plain, place) - 1
        return raw[at] + place - plain[at]

    def _find_pieces(self) -> tuple[list[int], list[int]]:
        """Return where each piece without noise begins, in the plain and in the raw text."""
        plain, raw, removed = [0], [0], 0
        for match in _NOISE.finditer(self.raw):
            removed += match.end() - match.start()
            plain.append(match.end() - removed)
            raw.append(match.end())
        return plain, raw


def _find_all(plain: bytes, forms: list[bytes]) -> Iterator[tuple[int, int]]:
    for form in forms:
        at = plain.find(form)
        while at >= 0:
            yield at, at + len(form)
            at = plain.find(form, at + 1)


def _find_beginning(plain: bytes, form: bytes) -> int:
    """Return where the longest end of a text begins that is a proper beginning of a form."""
    first = max(0, len(plain) - len(form) + 1)
    head = form[:_HEAD]
    at = plain.find(head, first)
    while at >= 0:
        if form.startswith(plain[at:]):
            return at
        at = plain.find(head, at + 1)
    for at in range(max(first, len(plain) - len(head) + 1), len(plain)):
        if head.startswith(plain[at:]):
            return at
    return len(plain)


def _merge(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield sorted spans, those that overlap or touch as one."""
    start, end = -1, -1
    for a, b in sorted(spans):
        if a > end:
            if end >= 0:
                yield start, end
            start, end = a, b
        end = max(end, b)
    if end >= 0:
        yield start, end


def _replace(raw: bytes, spans: Iterable[tuple[int, int]], start: int, end: int) -> bytes:
    """Return a part of a text with spans masked."""
    output, at = [], start
    for a, b in spans:
        if b > at and a < end:
            output += [raw[at : max(a, at)], MASK]
            at = b
    output.append(raw[at:end])
    return b"".join(output)


def _build_forms(value: bytes) -> Iterator[bytes]:
    """Yield the forms of a value without line breaks, as they are compared."""
    candidates = {*_build_variants(value), *_build_variants(value.strip())}
    candidates.update(line.strip() for line in value.splitlines())
    for candidate in candidates:
        form = _NOISE.sub(b"", candidate)
        if len(form) >= MIN_LENGTH:
            yield form


def _build_variants(value: bytes) -> Iterator[bytes]:
    if len(value) < MIN_LENGTH:
        return
    string = value.decode("utf-8", "surrogateescape")
    yield value
    yield from _encode_base64(value)
    for quoted in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield quoted.encode()
        yield re.sub("%[0-9A-F]{2}", lambda escape: escape[0].lower(), quoted).encode()
    yield from (value.hex().encode(), value.hex().upper().encode())
    yield repr(value)[2:-1].encode()
    yield from _quote_for_shells(value)
    yield from _escape_for_markup(string)
    printed = (json.dumps(string), json.dumps(string, ensure_ascii=False), repr(string))
    for each in (*printed, ascii(string)):
        yield each[1:-1].encode("utf-8", "surrogateescape")


def _quote_for_shells(value: bytes) -> Iterator[bytes]:
    """Yield a value as ``set -x``, `shlex.quote`, ``export -p`` and ``printf %q`` print it."""
    yield value.replace(b"'", b"'\\''")
    yield value.replace(b"'", b"'\"'\"'")
    yield re.sub(rb'(["$`\\])', rb"\\\1", value)
    for special in (
        rb"""([ !"$&'()*,;<>?[\\\]^`{|}]|^[#~])""",
        rb"""([ !"$&'()*;<>?[\\\]^`{|}]|^[#~])""",
    ):
        yield re.sub(special, rb"\\\1", value)  # the comma depends on the version


def _escape_for_markup(string: str) -> Iterator[bytes]:
    """Yield a value as in HTML and in JSON for it, and as streams of other encodings print it."""
    markup = html.escape(string, quote=False)
    for escaped in (html.escape(string), markup, markup.replace('"', "&quot;")):
        yield escaped.encode("utf-8", "surrogateescape")
    for ascii_only in (False, True):
        printed = json.dumps(string, ensure_ascii=ascii_only)[1:-1]
        for mark in "<>&'":
            printed = printed.replace(mark, f"\\u{ord(mark):04x}")
        yield printed.encode("utf-8", "surrogateescape")
        yield printed.replace("\\u0027", "'").encode("utf-8", "surrogateescape")
    for errors in ("backslashreplace", "replace", "xmlcharrefreplace"):
        for encoding in ("ascii", "latin-1", "utf-8"):
            yield string.encode(encoding, errors)
    raw = string.encode("utf-8", "surrogateescape")
    yield raw.decode("utf-8", "replace").encode()


def _encode_base64(value: bytes) -> Iterator[bytes]:
    """Yield base64 of a value, and what it has in common wherever the value is in a longer text."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(value)
        yield from (whole, whole.rstrip(b"="))
        for offset in range(3):
            inside = encode(bytes(offset) + value)
            first = (offset * 8 + 5) // 6
            yield inside[first : (offset + len(value)) * 8 // 6]
