"""Entry points: a Python file, a module, a shell script or any other program.

EntryPoint.parse("train.py")                   # python /here/train.py
EntryPoint.module("package.train")             # python -m package.train
EntryPoint.parse("train.sh")                   # the shell that its first line names, or sh
EntryPoint.parse("./train")                    # an executable file
EntryPoint.parse(["Rscript", "fit.R"])         # any program, with its first arguments
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import shlex
import shutil
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Literal

from tune_jobs.arguments.calls import strict_types
from tune_jobs.core.strict_json import encode_json
from tune_jobs.errors import ConfigError, suggest

_SCRIPTS = frozenset({".py", ".sh", ".r", ".jl", ".pl", ".rb", ".js", ".lua"})
"""Suffixes by which a word of a command is known to be a script, which must exist."""


@dataclass(frozen=True)
class EntryPoint:
    """Program that a run executes; the parameters follow it on the command line.

    Attributes:
        kind: "program", which includes scripts, or "module".
        words: Program and its first arguments, or the module's name. A program with a slash is an
            absolute path; one without is looked up on PATH.
        root: Folder in which relative paths and modules are looked up.
        python: Interpreter for Python files and modules; None leaves it to the backend.
    """

    kind: Literal["program", "module"]
    words: tuple[str, ...]
    root: str
    python: str | None = None

    @classmethod
    def parse(
        cls,
        spec: EntryPoint | str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        python: str | None = None,
        root: str | os.PathLike[str] | None = None,
    ) -> EntryPoint:
        """Parse an entry point as users write it.

        A string is a file's path, including any spaces, or ``"-m package.module"``. A list is a
        program and its first arguments. The program is looked up on PATH unless it contains a
        slash; arguments that name existing files become absolute, since a run has a working
        directory of its own.

        Args:
            spec: String, path or list; an EntryPoint is returned unchanged.
            python: Interpreter for a Python file or module.
            root: Folder that relative paths start from; by default the current one.

        Raises:
            ConfigError: If ``spec`` is empty or of another type.
        """
        if isinstance(spec, EntryPoint):
            return spec
        folder = os.path.abspath(root or os.curdir)
        if isinstance(spec, str) and spec.startswith("-m "):
            return cls.module(spec.removeprefix("-m ").strip(), python, folder)
        if isinstance(spec, str | os.PathLike) and os.fspath(spec):
            return cls("program", (_inside(folder, os.fspath(spec)),), folder, python)
        words = _words(spec)
        if not words or not words[0]:
            raise ConfigError(f"entry point {spec!r}: it must be a path, or a list of words")
        program = _inside(folder, words[0]) if "/" in words[0] else words[0]
        arguments = [_absolute_if_file(folder, word) for word in words[1:]]
        return cls("program", (program, *arguments), folder, python)

    @classmethod
    @strict_types
    def module(
        cls, name: str, python: str | None = None, root: str | os.PathLike[str] | None = None
    ) -> EntryPoint:
        """Return the entry point of a module, which runs with ``python -m``.

        Raises:
            ConfigError: If ``name`` is not a module's name but, for example, a file's path.
        """
        if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
            raise ConfigError(
                f"entry point -m {name!r}: write a module's name such as 'package.train', or a "
                "file's path without -m"
            )
        return cls("module", (name,), os.path.abspath(root or os.curdir), python)

    @property
    def python_path(self) -> tuple[str, ...]:
        """Folders that a run's PYTHONPATH must start with for the module to be found."""
        return (self.root,) if self.kind == "module" else ()

    def command(self, python: str = sys.executable) -> list[str]:
        """Return the first words of a run's argv; programs and files as absolute paths.

        Args:
            python: Interpreter, unless this entry point has its own.
        """
        first, *others = self.words
        if self.kind == "module":
            return [_program(self.python or python), "-m", first]
        if "/" not in first:
            return [_program(first), *others]
        if first.endswith(".py"):
            return [_program(self.python or python), first, *others]
        return [*_interpreter(Path(first)), first, *others]

    def check(self, python: str = sys.executable) -> None:
        """Check for whatever would make every run fail at its start, without running anything.

        The syntax of Python sources and modules outside ``root`` are checked only if they run in
        this interpreter, since another one may accept or find more.

        Args:
            python: As for ``command``.

        Raises:
            ConfigError: If something is missing, cannot be executed or does not compile; the
                message says how to fix it.
        """
        python = self.python or python
        if shutil.which(python) is None:
            raise ConfigError(f"python {python!r}: interpreter not found: correct the path")
        here = shutil.which(python) == sys.executable
        source: Path | None = Path(self.words[0])
        if self.kind == "module":
            source = _module_source(self.words[0], self.root, here)
        else:
            self._check_program()
        if here and source and source.is_absolute() and source.suffix == ".py":
            _check_syntax(source)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the source in hexadecimal; for a script, that of ``sha256sum``.

        For a program with arguments it covers the words and the contents of the files among
        them, but not a program that is found on PATH.

        Raises:
            ConfigError: If the source cannot be read.
        """
        if self.kind == "module":
            source = _module_source(self.words[0], self.root, self.python in (None, sys.executable))
            return _digest(_content(source) if source else self.words[0].encode())
        if len(self.words) == 1 and "/" in self.words[0]:
            return _digest(_content(Path(self.words[0])))
        parts = [
            _digest(_content(Path(word))) if os.path.isabs(word) and os.path.isfile(word) else word
            for word in self.words
        ]
        return _digest(encode_json(parts).encode())

    def _check_program(self) -> None:
        program, *arguments = self.words
        if "/" in program:
            _check_file(Path(program))
            _check_can_start(Path(program))
        elif shutil.which(program) is None:
            raise ConfigError(
                f"program {program!r} is not on PATH: install it, or write './{program}' for a "
                f"file in {self.root}"
            )
        for word in arguments:
            is_script = Path(word).suffix.lower() in _SCRIPTS and "://" not in word
            if is_script and not word.startswith("-"):
                _check_file(Path(_inside(self.root, word)))


# -- parsing ----------------------------------------------------------------------------------


def _words(spec: object) -> list[str]:
    """Return the words of a list; empty if it is not a list of strings and paths."""
    if not isinstance(spec, list | tuple):
        return []
    words = [os.fspath(word) for word in spec if isinstance(word, str | os.PathLike)]
    return words if len(words) == len(spec) else []


def _inside(folder: str, path: str) -> str:
    return os.path.abspath(os.path.join(folder, os.path.expanduser(path)))


def _program(name: str) -> str:
    """Return the absolute path of a program on PATH, or its name if it is not there."""
    found = shutil.which(name)
    return os.path.abspath(found) if found else name


def _absolute_if_file(folder: str, word: str) -> str:
    # A word without a dot or slash is more likely a subcommand than a file of that name.
    is_path = "." in word or "/" in word
    return _inside(folder, word) if is_path and os.path.isfile(_inside(folder, word)) else word


# -- files ------------------------------------------------------------------------------------


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise ConfigError(f"entry point {path} is a folder: name a script in it")
    if path.is_file():
        return
    if os.path.lexists(path):
        raise ConfigError(
            f"entry point {path} is neither a file nor a link to one: name a script, or repair the "
            "link"
        )
    if not path.parent.is_dir():
        raise ConfigError(f"entry point {path}: folder {path.parent} not found: correct the path")
    if " " in str(path):
        hint = _explain_command(path)
        raise ConfigError(f"entry point {path}: file not found{hint}")
    hint = _nearest(path.name, (each.name for each in path.parent.iterdir()))
    if not hint and shutil.which(path.name):
        hint = f": write [{path.name!r}] for the program of that name on PATH"
    raise ConfigError(f"entry point {path}: file not found{hint}")


def _explain_command(path: Path) -> str:
    """Return what is wrong with a path that is a command with arguments."""
    program, *arguments = path.name.split()
    if (path.parent / program).is_file():
        fixed = ", ".join(f'"{word}"' for word in [*arguments, "{parameters}"])
        return f": name {program!r} alone, and its arguments in CommandLine(arguments=[{fixed}])"
    if shutil.which(program):
        return f": write a command as a list: {[program, *arguments]!r}"
    return _nearest(path.name, (each.name for each in path.parent.iterdir()))


def _check_can_start(path: Path) -> None:
    """Check what the kernel or the script's interpreter requires of an existing file."""
    if path.suffix == ".py":
        return
    first_line = _first_line(path)
    if _shebang(first_line):
        _check_shebang(path, first_line)
    elif path.suffix == ".sh":
        return
    elif path.suffix == ".ipynb":
        raise ConfigError(
            f"entry point {path} is a notebook: write it as a script with `jupyter nbconvert --to "
            f"script {path.name}`, and have that read its arguments"
        )
    elif not os.access(path, os.X_OK):
        raise ConfigError(
            f"entry point {path} is not executable: run chmod +x {shlex.quote(str(path))}, or "
            f"name its interpreter in a list, as in ['Rscript', {path.name!r}]"
        )
    elif b"\0" not in first_line:
        # Binaries have a NUL among their first bytes, so this is a script.
        raise ConfigError(
            f"entry point {path} names no interpreter: add a first line such as "
            "'#!/usr/bin/env bash'"
        )


def _check_shebang(path: Path, first_line: bytes) -> None:
    if first_line.endswith(b"\r\n"):
        raise ConfigError(
            f"entry point {path} has Windows line endings, which the kernel would read as part "
            "of the interpreter's name: convert it with dos2unix"
        )
    program, *arguments = _shebang(first_line)
    if os.path.basename(program) == "env":
        # env -S NAME=VALUE program: skip options and assignments.
        words = [word for argument in arguments for word in argument.split()]
        program = next((w for w in words if not w.startswith("-") and "=" not in w), program)
    elif not os.path.isabs(program):
        raise ConfigError(
            f"entry point {path}: its first line names {program!r}, but the kernel needs an "
            f"absolute path: write '#!/usr/bin/env {program}'"
        )
    if shutil.which(program) is None:
        raise ConfigError(
            f"entry point {path}: its first line names {program!r}, which is not installed: "
            "install it, or correct the line"
        )


def _interpreter(path: Path) -> list[str]:
    """Return the words that start a file; empty if the kernel can execute it directly."""
    is_shell = path.suffix == ".sh"
    if not path.is_file() or (os.access(path, os.X_OK) and not is_shell):
        return []
    # Files lose their permissions in an object store: use the interpreter of the first line.
    words = _shebang(_first_line(path))
    return words or ([_program("sh")] if is_shell else [])


def _first_line(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.readline(1024)
    except OSError as error:
        raise _unreadable(path, error) from error


def _shebang(first_line: bytes) -> list[str]:
    """Return the interpreter and at most one argument, split as the kernel does."""
    if not first_line.startswith(b"#!"):
        return []
    return os.fsdecode(first_line[2:]).strip().split(maxsplit=1)


def _check_syntax(path: Path) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they concern the script's authors
            compile(_content(path), str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:  # ValueError: Python 3.11 on NUL characters
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        problem = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ConfigError(f"entry point {path}{line}: {problem}: fix it before tuning") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"entry point {path} cannot be read: {error.strerror}")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _nearest(name: str, names: Iterable[str]) -> str:
    hint = suggest(name, sorted(names))
    return hint and f" {hint}"


# -- modules ----------------------------------------------------------------------------------


def _module_source(name: str, root: str, anywhere: bool) -> Path | None:
    """Find the file that ``python -m name`` runs, without importing its packages.

    Args:
        name: Module's dotted name.
        root: Folder to look in first.
        anywhere: Whether modules of this interpreter count, too.

    Returns:
        The file; None if it has no source, or if only another interpreter can find it.

    Raises:
        ConfigError: If the module does not exist, or is a package that cannot be run.
    """
    importlib.invalidate_caches()
    spec: ModuleSpec | None = None
    places = [root]
    parts = name.split(".")
    for depth, part in enumerate(parts):
        so_far = ".".join(parts[: depth + 1])
        # By its last name alone: looking up a dotted name would import its parents.
        spec = PathFinder.find_spec(part, places)
        if spec is None and depth == 0:
            if not anywhere:
                return None
            spec = _installed(part)
        if spec is None:
            where = ", ".join(places) or f"{'.'.join(parts[:depth])!r}, which is not a package"
            hint = _nearest(part, _modules_in(places))
            raise ConfigError(f"module {name!r}: no {so_far!r} in {where}{hint}")
        places = list(spec.submodule_search_locations or [])
    if places:
        spec = PathFinder.find_spec("__main__", places)
    if spec is None:
        raise ConfigError(
            f"module {name!r} is a package without __main__.py: name a module in it "
            f"({', '.join(_modules_in(places)) or 'it has none'})"
        )
    return Path(spec.origin) if spec.has_location and spec.origin else None


def _modules_in(places: Iterable[str]) -> list[str]:
    found = [each for place in places for each in Path(place).glob("[!_.]*")]
    return sorted({each.stem for each in found if each.suffix == ".py" or each.is_dir()})


def _installed(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except ValueError:  # a module without a spec, such as __main__
        return None
