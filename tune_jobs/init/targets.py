"""What `tune-jobs init` is called with: a script, a module, or something that is no program."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from tune_jobs.errors import ConfigError
from tune_jobs.init.draft import Entry
from tune_jobs.init.interpreting.modules import Sources
from tune_jobs.script.entry_point import EntryPoint

_SHELLS = {".sh", ".bash", ".zsh"}
_PROGRAMS = {".r": "Rscript", ".jl": "julia", ".pl": "perl", ".rb": "ruby", ".js": "node"}


def find_entry(script: str, module: str | None, python: str | None, base: Path) -> Entry:
    """Return what is to be run.

    Args:
        script: Path of the script; empty if a module is given.
        module: Name of the module.
        python: Interpreter.
        base: Folder of the study.yaml.

    Raises:
        ConfigError: If it does not exist, or cannot be run; the message says what can be.
    """
    if module is not None:
        point = EntryPoint.module(module, python, base)
        return Entry("module", module, f"python -m {module}", point, python)
    path = Path(script)
    if path.is_dir():
        return _find_package(path, python, base)
    if not path.is_file():
        EntryPoint.parse(script).check()  # says what there is instead
        raise ConfigError(f"{script}: no such file")
    return _find_file(path, python, base)


def _find_package(path: Path, python: str | None, base: Path) -> Entry:
    if (path / "__main__.py").is_file():
        name = os.path.relpath(path, base)
        if all(part.isidentifier() for part in Path(name).parts):
            return find_entry("", ".".join(Path(name).parts), python, base)
    scripts = sorted(each.name for each in path.glob("*.py") if not each.name.startswith("_"))
    listed = f": name one of its scripts ({', '.join(scripts[:10])})" if scripts else ""
    raise ConfigError(f"{path} is a folder{listed}, or a module with -m")


def _find_file(path: Path, python: str | None, base: Path) -> Entry:
    relative = os.path.relpath(path, base)
    suffix = path.suffix.lower()
    if suffix == ".ipynb":
        converted = path.with_suffix(".py")
        raise ConfigError(
            f"{path} is a notebook, which cannot be run with other values: write it as a script "
            f"(jupyter nbconvert --to script {shlex.quote(str(path))}), let the script take its "
            f"hyperparameters as arguments, and try: tune-jobs init {shlex.quote(str(converted))}"
        )
    if suffix in (".yaml", ".yml", ".json", ".toml"):
        raise ConfigError(f"{path} is a configuration: name the script that reads it")
    if suffix in _PROGRAMS:
        command = [_PROGRAMS[suffix], relative]
        return Entry("command", command, path.name, EntryPoint.parse(command, root=base))
    if suffix == ".py" or suffix in _SHELLS:
        point = EntryPoint.parse(relative, python, base)
        return Entry("script", relative, path.name, point, python if suffix == ".py" else None)
    return _find_by_content(path, python, base)


def _find_by_content(path: Path, python: str | None, base: Path) -> Entry:
    """Return a file without a known suffix: an executable, or a script with a first line."""
    relative = os.path.relpath(path, base)
    with path.open("rb") as file:
        first_line = file.readline(1024)
    if b"python" in first_line and first_line.startswith(b"#!") and not os.access(path, os.X_OK):
        command = [python or "python3", relative]
        return Entry("command", command, path.name, EntryPoint.parse(command, root=base))
    point = EntryPoint.parse(f"./{relative}", python, base)
    point.check()
    return Entry("script", f"./{relative}", path.name, point)


def is_python(entry: Entry) -> bool:
    """Return whether the source of an entry is Python."""
    if entry.key == "module":
        return True
    path = Path(entry.point.words[-1])
    if path.suffix == ".py":
        return True
    try:
        with path.open("rb") as file:
            first_line = file.readline(1024)
    except OSError:
        return False
    return first_line.startswith(b"#!") and b"python" in first_line


def find_sources(entry: Entry, base: Path) -> Sources:
    """Return the source files of an entry.

    Args:
        entry: The entry.
        base: Folder of the study.yaml.

    Raises:
        ConfigError: If a module cannot be found.
    """
    if entry.key == "module":
        name = entry.point.words[0]
        root = Path(entry.point.root)
        path = root.joinpath(*name.split("."))
        for candidate in (path.with_suffix(".py"), path / "__main__.py"):
            if candidate.is_file():
                return Sources(root, candidate.relative_to(root).as_posix())
        entry.point.check()
        raise ConfigError(f"module {name!r}: its source is not in {root}: run init where it is")
    path = Path(entry.point.words[-1])
    return Sources(path.parent, path.name, (base, Path.cwd()))


def name_study(entry: Entry, folder: Path) -> str:
    """Return the name of the study: that of the script, or of its folder if it is main.py."""
    last = entry.value if isinstance(entry.value, str) else entry.value[-1]
    name = last if entry.key == "module" else Path(last).stem
    if name in ("main", "__main__"):
        name = folder.absolute().name
    cleaned = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
    return cleaned.strip("._-") or "study"
