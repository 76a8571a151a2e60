"""Entry points, and the errors that are found before a run is started."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tune_jobs.errors import ConfigError
from tune_jobs.script.entry_point import EntryPoint

PYTHON = sys.executable
SH = os.path.abspath(shutil.which("sh") or "")


def write(path: Path, text: str | bytes = "", mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def run(entry: EntryPoint, *arguments: str) -> str:
    entry.check()
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(entry.python_path)}
    result = subprocess.run(
        [*entry.command(), *arguments], env=env, cwd="/", capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


# --- Commands -----------------------------------------------------------------------------------


def test_a_python_file(tmp_path: Path) -> None:
    script = write(tmp_path / "my train.py", "import sys; print(sys.argv[1:])")
    entry = EntryPoint.parse("my train.py", root=tmp_path)
    assert entry.command() == [PYTHON, str(script)]
    assert entry.command("/other/python") == ["/other/python", str(script)]
    assert entry.python_path == ()
    assert run(entry, "--lr=1") == "['--lr=1']"
    assert EntryPoint.parse(script) == EntryPoint.parse(str(script))
    assert EntryPoint.parse(entry) is entry


def test_relative_paths_start_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "train.py")
    monkeypatch.chdir(tmp_path)
    entry = EntryPoint.parse("./train.py")
    monkeypatch.chdir("/")
    assert entry.command("py")[1:] == [str(tmp_path / "train.py")]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert EntryPoint.parse("~/train.py").words == entry.words


def test_the_interpreter_of_the_entry_point_goes_before_the_backend_s(tmp_path: Path) -> None:
    write(tmp_path / "train.py")
    entry = EntryPoint.parse("train.py", python="sh", root=tmp_path)
    assert entry.command("/other/python")[0] == SH


def test_a_module(tmp_path: Path) -> None:
    write(tmp_path / "package" / "__init__.py", "raise RuntimeError('not while checking')")
    write(tmp_path / "package" / "train.py")
    write(tmp_path / "other" / "deep" / "train.py", "import sys; print(__name__, sys.argv[1:])")
    EntryPoint.module("package.train", root=tmp_path).check()
    entry = EntryPoint.module("other.deep.train", root=tmp_path)
    assert entry == EntryPoint.parse("-m other.deep.train", root=tmp_path)
    assert entry.command() == [PYTHON, "-m", "other.deep.train"]
    assert entry.python_path == (str(tmp_path),)
    assert run(entry, "--lr=1") == "__main__ ['--lr=1']"


def test_a_package_with_main_and_an_installed_module(tmp_path: Path) -> None:
    write(tmp_path / "package" / "__init__.py")
    write(tmp_path / "package" / "__main__.py", "print('main')")
    assert run(EntryPoint.module("package", root=tmp_path)) == "main"
    EntryPoint.module("json.tool", root=tmp_path).check()
    EntryPoint.module("pytest", root=tmp_path).check()


@pytest.mark.parametrize(
    ("first_line", "interpreter"),
    [("", [SH]), (f"#!{SH} -e\n", [SH, "-e"]), ("#!/usr/bin/env bash\n", ["/usr/bin/env", "bash"])],
)
@pytest.mark.parametrize("mode", [0o644, 0o755])
def test_a_shell_script_runs_in_the_shell_that_it_names(
    tmp_path: Path, first_line: str, interpreter: list[str], mode: int
) -> None:
    script = write(tmp_path / "train.sh", f'{first_line}echo "$1"', mode)
    entry = EntryPoint.parse("train.sh", root=tmp_path)
    assert entry.command() == [*interpreter, str(script)]
    assert run(entry, "--x=a b") == "--x=a b"


def test_an_executable_file_and_one_that_lost_its_mode(tmp_path: Path) -> None:
    program = write(tmp_path / "train", "#!/bin/sh\necho ran", 0o755)
    assert EntryPoint.parse("./train", root=tmp_path).command() == [str(program)]
    assert run(EntryPoint.parse("./train", root=tmp_path)) == "ran"
    program.chmod(0o644)
    assert EntryPoint.parse("./train", root=tmp_path).command() == ["/bin/sh", str(program)]
    assert run(EntryPoint.parse(["./train", "x"], root=tmp_path)) == "ran"


def test_a_binary(tmp_path: Path) -> None:
    shutil.copy(SH, tmp_path / "train")
    assert run(EntryPoint.parse("train", root=tmp_path), "-c", "echo ran") == "ran"


def test_a_command(tmp_path: Path) -> None:
    script = write(tmp_path / "fit.py", "import sys; print(sys.argv[1:])")
    write(tmp_path / "fit", "")
    entry = EntryPoint.parse(["env", "-u", "X", PYTHON, "fit.py", "fit", Path("-v")], root=tmp_path)
    # The script becomes absolute; a subcommand does not, even if there is a file of that name.
    env = os.path.abspath(shutil.which("env") or "")
    assert entry.command() == [env, "-u", "X", PYTHON, str(script), "fit", "-v"]
    assert run(entry) == "['fit', '-v']"


def test_a_python_file_with_arguments(tmp_path: Path) -> None:
    script = write(tmp_path / "fit.py", "import sys; print(sys.argv[1:])")
    entry = EntryPoint.parse(["./fit.py", "train"], root=tmp_path)
    assert entry.command() == [PYTHON, str(script), "train"]
    assert run(entry) == "['train']"


# --- Errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["", [], [""], ["python", 3], 5, None])
def test_what_is_no_entry_point(spec: Any) -> None:
    with pytest.raises(ConfigError, match="it must be a path, or a list of words"):
        EntryPoint.parse(spec)


@pytest.mark.parametrize("name", ["train.py", "package/train", "", "a..b", "a b"])
def test_what_is_no_module(name: str) -> None:
    with pytest.raises(ConfigError, match="write a module's name such as"):
        EntryPoint.module(name)


def refused(spec: Any, root: Path, message: str, python: str | None = None) -> None:
    with pytest.raises(ConfigError, match=message):
        EntryPoint.parse(spec, python, root).check()


def test_missing_files(tmp_path: Path) -> None:
    write(tmp_path / "train.py")
    refused("trian.py", tmp_path, "trian.py: file not found .did you mean 'train.py'")
    refused("zzz.py", tmp_path, "zzz.py: file not found$")
    refused("sh", tmp_path, r"write \['sh'\] for the program of that name on PATH")
    refused("src/train.py", tmp_path, f"folder {tmp_path}/src not found")
    refused(".", tmp_path, f"{tmp_path} is a folder: name a script in it")
    refused(["env", "trian.py"], tmp_path, "trian.py: file not found .* 'train.py'")
    refused(["./trian.py"], tmp_path, "file not found")
    (tmp_path / "loop.py").symlink_to("loop.py")
    refused("loop.py", tmp_path, "loop.py is neither a file nor a link to one")
    # Options and URLs are not scripts.
    EntryPoint.parse(["env", "--run=x.py", "https://host/x.py"], root=tmp_path).check()


def test_missing_programs(tmp_path: Path) -> None:
    message = f"'no-such-program' is not on PATH: .* './no-such-program' for a file in {tmp_path}"
    refused(["no-such-program"], tmp_path, message)
    write(tmp_path / "train.py")
    refused("train.py", tmp_path, "python '/no/python': interpreter not found", "/no/python")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\nprint(x\n", r"train.py, line 2: '\(' was never closed: fix it before tuning"),
        ("\n\nreturn 1\n", "train.py, line 3: 'return' outside function"),
        ("x = 1\0", "null bytes"),
        (b"# -*- coding: utf-8 -*-\nx = '\xff'", "train.py.* (utf-?8|codec)"),
    ],
)
def test_a_python_file_that_does_not_compile(
    tmp_path: Path, source: str | bytes, message: str
) -> None:
    write(tmp_path / "train.py", source)
    refused("train.py", tmp_path, message)
    refused("-m train", tmp_path, message)
    # Another interpreter may accept the syntax.
    EntryPoint.parse("train.py", python="sh", root=tmp_path).check()


def test_warnings_of_the_compiler_are_the_script_s_own_affair(tmp_path: Path) -> None:
    write(tmp_path / "train.py", r"x = '\d'; x is 1")
    EntryPoint.parse("train.py", root=tmp_path).check()


def test_files_that_cannot_be_started(tmp_path: Path) -> None:
    write(tmp_path / "fit.R", "print(1)")
    refused(
        "fit.R", tmp_path, r"is not executable: run chmod \+x .*fit.R, or .* \['Rscript', 'fit.R'\]"
    )
    write(tmp_path / "train", "echo", 0o755)
    refused("train", tmp_path, "names no interpreter: add a .* '#!/usr/bin/env bash'")
    write(tmp_path / "crlf.sh", "#!/bin/sh\r\necho\r\n", 0o755)
    refused("crlf.sh", tmp_path, "has Windows line endings")
    write(tmp_path / "lost.sh", "#!/no/such/shell\n")
    refused("lost.sh", tmp_path, "its first line names '/no/such/shell', which is not installed")
    write(tmp_path / "bare", "#!bash\n", 0o755)
    refused("bare", tmp_path, "needs an absolute path: write '#!/usr/bin/env bash'")
    write(tmp_path / "empty", "#!\n", 0o755)
    refused("empty", tmp_path, "names no interpreter")
    write(tmp_path / "env.sh", "#!/usr/bin/env -S A=1 no-such-shell -e\n")
    refused("env.sh", tmp_path, "its first line names 'no-such-shell'")


def test_missing_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "package" / "train.py")
    write(tmp_path / "package" / "sub" / "fit.py")
    refused("-m pakcage.train", tmp_path, "no 'pakcage' in .*did you mean 'package'")
    refused("-m package.trian", tmp_path, "no 'package.trian' in .*package .did you mean 'train'")
    refused("-m package.train.x", tmp_path, "in 'package.train', which is not a package")
    refused("-m package", tmp_path, r"a package without __main__.py: .*\(sub, train\)")
    monkeypatch.setitem(sys.modules, "made_up", ModuleType("made_up"))
    refused("-m made_up", tmp_path, "no 'made_up' in")


def test_another_interpreter_may_have_more_modules(tmp_path: Path) -> None:
    write(tmp_path / "package" / "train.py", "syntax error")
    EntryPoint.module("not_here", python="sh", root=tmp_path).check()
    EntryPoint.module("not_here", root=tmp_path).check(python="sh")
    EntryPoint.module("package.train", python="sh", root=tmp_path).check()
    refused("-m package.trian", tmp_path, "did you mean 'train'", python="sh")


# --- Provenance ---------------------------------------------------------------------------------


def test_the_fingerprint_is_the_source_s(tmp_path: Path) -> None:
    source = b"print(1)\n"
    write(tmp_path / "package" / "train.py", source)
    script = write(tmp_path / "train.py", source)
    expected = hashlib.sha256(source).hexdigest()
    assert EntryPoint.parse(script).fingerprint() == expected
    assert EntryPoint.module("package.train", root=tmp_path).fingerprint() == expected


def test_the_fingerprint_of_a_command_covers_words_and_files(tmp_path: Path) -> None:
    script = write(tmp_path / "fit.py", "1")
    seen = {EntryPoint.parse(["python", "fit.py"], root=tmp_path).fingerprint()}
    seen.add(EntryPoint.parse(["python", "-O", "fit.py"], root=tmp_path).fingerprint())
    seen.add(EntryPoint.parse(["./fit.py", "train"], root=tmp_path).fingerprint())
    seen.add(EntryPoint.parse(["python"], root=tmp_path).fingerprint())
    write(script, "2")
    seen.add(EntryPoint.parse(["python", "fit.py"], root=tmp_path).fingerprint())
    assert len(seen) == 5


def test_a_source_that_cannot_be_read_has_no_fingerprint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone.py cannot be read: No such file"):
        EntryPoint.parse("gone.py", root=tmp_path).fingerprint()
    name = EntryPoint.module("not_here", python="sh", root=tmp_path).fingerprint()
    assert name == hashlib.sha256(b"not_here").hexdigest()
