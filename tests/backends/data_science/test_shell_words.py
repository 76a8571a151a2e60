"""Commands of shells get a trial's arguments, or are refused; tried with real shells."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tune_jobs.backends.data_science.container import build_command
from tune_jobs.errors import ConfigError

Run = Callable[..., str]
ARGUMENTS = ["--lr=0.1", "a b"]
SHOWN = "[--lr=0.1][a b]"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs a command of an image, whose program is ``show``."""
    for name, code in {"show": 'printf "[%s]" "$@"', "setup.sh": ""}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{code}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "start.sh").write_text('#!/bin/sh\nexec "$@"\n')
    (tmp_path / "start.sh").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run(*words: str) -> str:
        command = build_command({"cmd": list(words)}, ARGUMENTS)["cmd"]
        answer = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True
        )
        return answer.stdout

    return run


@pytest.mark.parametrize(
    "script",
    [
        "show",
        "show ",
        "exec show",
        '! show || true; show "$@"',
        "FOO=1 show",
        "cd / && show",
        'cd "$(dirname "$0")" && show',
        "set -e && show",
        "[ -d / ] && show",
        "export A=1 && B='x y' show",
        "./setup.sh && show",
        'echo "arguments: $@" && show',
        'echo "$@"; show "$@"',
        'set -eu; show "$@"',
        'f() { show "$@"; }; f "$@"',
        'show "$@" | cat',
        'show "$@" # "as they are"',
        'if true; then show "$@"; fi',
        'for a in "$@"; do show "$a"; done',
        'while [ $# -gt 0 ]; do show "$1"; shift; done',
        'A="$1"; show "$A" "$2"',
        'show "$1" "$2"',
        'show "${@}"',
        'show "$0" "$@"',
    ],
)
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_program_gets_the_arguments(shell: str, script: str, run: Run) -> None:
    assert run(shell, "-c", script).endswith(SHOWN)


@pytest.mark.parametrize(
    "words",
    [
        ["sh", "-c", 'show "$@"', "me"],
        ["sh", "-c", 'exec "$@"', "me", "show"],
        ["sh", "-c", 'exec "$0" "$@"', "show"],
        ["sh", "-c", 'cd "$1" && shift && show "$@"', "me", "/"],
        ["bash", "-oc", "pipefail", "show"],
        ["bash", "-eoc", "pipefail", "show"],
        ["start.sh", "sh", "-c", "show"],
        ["start.sh", "bash", "-lc", "PATH=.:$PATH && show"],
    ],
)
def test_words_around_a_command(words: list[str], run: Run) -> None:
    assert run(*words).endswith(SHOWN)


@pytest.mark.parametrize(
    "script",
    [
        "",
        " ",
        "cd /app &&",
        "FOO=1",
        "echo done",
        "cd /app",
        "train && echo done",
        "train && touch finished",
        "prepare && train",
        "./train.sh && ./upload.sh",
        'train # "$@"',
        "train $0",
        'echo "$@"; train',
        "printf '%s ' \"$@\" | tee arguments; train",
        'f() { train "$@"; }; f',
        'function f { train "$@"; }; f; exit 0',
        'set -- --fast; train "$@"',
        'set -- --fast && train "$@"',
        'set --; train "$@"',
        'shift; train "$@"',
        'exec "$@"',
        "train > log",
        "train 2>&1",
        "train &",
        "train $(pwd)",
        "eval train",
        'train "',
    ],
)
def test_commands_that_would_drop_the_arguments(script: str) -> None:
    with pytest.raises(ConfigError, match=r'"\$@"'):
        build_command({"cmd": ["sh", "-c", script]}, ARGUMENTS)


@pytest.mark.parametrize(
    "words",
    [["sh", "-c", "train $1", "me", "data.csv"], ["sh", "-c", 'shift 2; train "$@"', "me", "x"]],
)
def test_words_of_its_own_are_not_the_arguments(words: list[str]) -> None:
    with pytest.raises(ConfigError, match=r'"\$@"'):
        build_command({"cmd": words}, ARGUMENTS)
