"""Masking of secrets in output."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import traceback
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.runtime import report
from tune_jobs.runtime.masking import MIN_LENGTH, Masking

VALUE = "p4s/w0rd+'\"é &\\x=".encode()


def mask_pieces(value: bytes, *pieces: bytes) -> list[bytes]:
    """Return what a stream returns for each piece, and at the end."""
    stream = Masking([value]).open_stream()
    return [*(stream.feed(piece) for piece in pieces), stream.finish()]


@pytest.mark.parametrize(
    "printed",
    [
        VALUE,
        base64.b64encode(VALUE),
        base64.urlsafe_b64encode(VALUE),
        base64.encodebytes(VALUE * 9),
        base64.b64encode(b"user:" + VALUE),
        base64.b64encode(VALUE + b"\n"),
        quote(VALUE).encode(),
        quote(VALUE, safe="").lower().encode(),
        quote_plus(VALUE).encode(),
        VALUE.hex().encode(),
        repr(VALUE).encode(),
        repr(VALUE.decode()).encode(),
        ascii(VALUE.decode()).encode(),
        json.dumps(VALUE.decode()).encode(),
        json.dumps(VALUE.decode(), ensure_ascii=False).encode(),
        "".join(traceback.format_exception(ValueError(f"bad {VALUE.decode()}"))).encode(),
        b"\x1b[31;1m" + VALUE + b"\x1b[0m",
        VALUE.replace(b"w", b"\x1b[4mw\x1b]0;title\x07"),
        VALUE[:9] + b"\r\n" + VALUE[9:],
        b"\n".join(VALUE[at : at + 1] for at in range(len(VALUE))),
    ],
)
def test_forms(printed: bytes) -> None:
    masked = Masking([VALUE]).mask(b"before " + printed + b" after\n")
    assert b"***" in masked
    assert masked.startswith(b"before ")
    assert masked.endswith(b" after\n")
    # Of a value that is cut at a line's end, the first three bytes may have been written.
    rest = masked.replace(b"\n", b"").replace(b"\r", b"")
    for form in (VALUE[3:], base64.b64encode(VALUE)[3:-3], quote(VALUE)[3:].encode()):
        assert form not in rest


PRINTERS = {
    "declare -p v": "bash",
    "export -p | grep 'v='": "bash",
    'printf "%q\\n" "$v"': "bash",
    'set -x; : "$v"': "bash",
    "export -p | grep 'v=' ": "sh",
    "import os, shlex; print(shlex.join(['a', os.environ['v']]))": sys.executable,
    "import os, html; print(html.escape(os.environ['v']))": sys.executable,
}


@pytest.mark.parametrize("program", PRINTERS)
def test_forms_of_other_programs(program: str) -> None:
    value = "pa$s\"w`o\\rd & it's #,~^<1>:;!?*{}[]()|="
    done = subprocess.run(
        [PRINTERS[program], "-c", program],
        env={"v": value, "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    masked = Masking([value.encode()]).mask(done.stdout)
    assert b"***" in masked
    assert b"pa" not in masked.replace(b"path", b"")


@pytest.mark.parametrize("value", [b"\xff\xfez\xe9token", "t\xf6k\u20acn\U0001f511'\"\\".encode()])
def test_forms_of_streams_with_another_encoding(value: bytes) -> None:
    string, masking = os.fsdecode(value), Masking([value])
    printed = {value.decode("utf-8", "replace").encode()}
    for errors in ("replace", "backslashreplace", "xmlcharrefreplace"):
        for encoding in ("ascii", "latin-1", "utf-8"):
            printed.add(string.encode(encoding, errors))
    for each in printed:
        assert masking.mask(b"a " + each + b" b") == b"a *** b"


def test_forms_in_json_for_pages() -> None:
    value = "to<ken>&'1\""
    printed = json.dumps(value)[1:-1]
    for mark in "<>&":
        printed = printed.replace(mark, f"\\u{ord(mark):04x}")
    assert Masking([value.encode()]).mask(printed.encode()) == b"***"
    assert Masking([value.encode()]).mask(printed.replace("'", "\\u0027").encode()) == b"***"


def test_pieces() -> None:
    assert mask_pieces(VALUE, b"a ", VALUE[:5], VALUE[5:] + b" b\n") == [
        b"a ",
        b"",
        b"*** b\n",
        b"",
    ]
    assert mask_pieces(VALUE, VALUE[:5], b"x\n") == [b"", VALUE[:5] + b"x\n", b""]
    escaped = [b"\x1b[3", b"1m" + VALUE[1:]]
    assert b"".join(mask_pieces(VALUE, VALUE[:1], *escaped)) == b"***"


def test_lines_are_not_held_back_for_a_letter() -> None:
    assert mask_pieces(b"9secret9", b"accuracy=0.9\n", b"loss=1\n")[:2] == [
        b"accuracy=0.9\n",
        b"loss=1\n",
    ]
    assert mask_pieces(b"9secret9", b"x=9\n", b"secret9\n") == [b"x=9\n", b"***\n", b""]


def test_a_value_that_is_cut_off_at_the_end() -> None:
    assert mask_pieces(VALUE, b"x ", VALUE[:MIN_LENGTH]) == [b"x ", b"", b"***"]
    assert mask_pieces(VALUE, b"x ", VALUE[:3]) == [b"x ", b"", VALUE[:3]]


def test_lines_of_a_value() -> None:
    key = b"-----BEGIN KEY-----\nMIIEabcdefgh\nijk\n-----END KEY-----\n"
    assert Masking([key]).mask(key) == b"***\n"
    assert Masking([key]).mask(b"INFO MIIEabcdefgh\n") == b"INFO ***\n"
    assert b"ijk" not in b"".join(mask_pieces(key, *key.splitlines(keepends=True)))


def test_what_is_not_masked() -> None:
    assert not Masking([b"", b"12345"])
    assert Masking([b"12345"]).mask(b"12345") == b"12345"
    assert Masking([b"123456"]).mask_string("x 123456") == "x ***"


def test_a_long_value() -> None:
    value = base64.b64encode(bytes(range(256)) * 192)
    assert mask_pieces(value, b"a ", value[:30_000], value[30_000:], b" b")[2] == b"***"
    assert len(value) == 65_536


def test_what_was_written_at_the_end_of_a_line_is_not_written_again() -> None:
    stream = Masking([b"aaabaa"]).open_stream()
    assert stream.feed(b"aaaa\n") + stream.feed(b"a") + stream.finish() == b"aaaa\na"


@given(st.text("ab", min_size=6, max_size=9), st.text("aab\n", max_size=80), st.data())
def test_any_cut(value: str, text: str, data: st.DataObject) -> None:
    stream, masked, rest = Masking([value.encode()]).open_stream(), b"", text.encode()
    while rest:
        size = data.draw(st.integers(1, 12))
        masked, rest = masked + stream.feed(rest[:size]), rest[size:]
    masked += stream.finish()
    assert value.encode() not in masked
    assert (b"***" in masked) or masked == text.encode()
    if value in text.replace("\n", ""):
        assert b"***" in masked


def test_names_of_reports(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TUNE_JOBS_METRICS_FILE", raising=False)
    monkeypatch.setenv("TUNE_JOBS_SECRET_NAMES", "TOKEN,OTHER")
    monkeypatch.setenv("TOKEN", "hf_token")
    report.report({"of hf_token": 1.0})
    assert capsys.readouterr().out == "of ***=1.0\n"
    assert report.MIN_SECRET == MIN_LENGTH
