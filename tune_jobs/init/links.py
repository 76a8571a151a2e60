"""Files and folders that a script opens by a relative path, to be linked into its runs."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from tune_jobs.init.flags import Flag
from tune_jobs.init.interpreting.modules import list_nodes

_READERS = {
    "open",
    "load",
    "loadtxt",
    "genfromtxt",
    "read",
    "read_csv",
    "read_json",
    "read_parquet",
    "read_table",
    "read_excel",
    "read_pickle",
    "Path",
    "join",
    "listdir",
    "glob",
    "walk",
    "exists",
    "ImageFolder",
    "load_dataset",
    "load_from_disk",
    "image_dataset_from_directory",
    "read_text",
}
_WRITERS = {"to_csv", "to_json", "to_parquet", "save", "savez", "savetxt", "savefig", "dump"}
_OUTPUTS = re.compile(r"(?i)(outputs?|out|results?|runs?|logs?|checkpoints?|ckpts?|wandb|mlruns)")


def find_links(
    trees: Mapping[str, ast.Module], flags: Iterable[Flag], folders: Iterable[Path], base: Path
) -> list[str]:
    """Return what the script reads beside it.

    Args:
        trees: Source files of the script.
        flags: Its flags, whose defaults may be paths.
        folders: Where the script may be started.
        base: Folder of the study.yaml.

    Returns:
        Paths that exist, relative to the folder of the study.yaml: the first part of each, as
        runs link it by its name.
    """
    named = {flag.default: True for flag in flags if _may_be_input(flag)}
    written: set[str] = set()
    for tree in trees.values():
        for string, is_path in _find_strings(tree, written):
            named[string] = named.get(string, False) or is_path
    found: dict[str, None] = {}
    for string, is_path in named.items():
        first = _first_part(string)
        if not first or string in written or _OUTPUTS.fullmatch(first):
            continue
        if not is_path and "/" not in string and not Path(string).suffix:
            continue
        for folder in folders:
            is_code = string.endswith(".py") or (folder / first / "__init__.py").exists()
            if (folder / string).exists() and not is_code:
                found.setdefault(os.path.relpath(folder / first, base))
                break
    return list(found)


def find_parents(trees: Mapping[str, ast.Module]) -> list[str]:
    """Return the paths above the working folder that a script opens, such as ``../data``."""
    strings = [
        string
        for tree in trees.values()
        for string, is_path in _find_strings(tree, set())
        if is_path
    ]
    return list(dict.fromkeys(each for each in strings if re.match(r"\.\./[\w./-]+$", each)))


def _may_be_input(flag: Flag) -> bool:
    is_string = isinstance(flag.default, str) and flag.kind in ("str", "path", None)
    return is_string and not re.search(r"(?i)out|save|log|result|checkpoint|ckpt", flag.name)


def _first_part(string: str) -> str:
    """Return the first part of a relative path; empty if it is none."""
    if not string or len(string) > 200 or "\n" in string or string.startswith(("/", "~", "..")):
        return ""
    parts = PurePosixPath(string).parts
    return parts[0] if parts and "\0" not in string else ""


def _find_strings(tree: ast.Module, written: set[str]) -> Iterator[tuple[str, bool]]:
    """Yield the strings of a file, and whether each is an argument of what reads files."""
    for node in list_nodes(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, False
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = node.func.id if isinstance(node.func, ast.Name) else name
            strings = [
                each.value
                for each in [*node.args, *(keyword.value for keyword in node.keywords)]
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
            ]
            writes = name == "open" and any(re.fullmatch(r"[wax]b?\+?", s) for s in strings[1:])
            if writes or name in _WRITERS:
                written.update(strings)
            elif name in _READERS:
                yield from ((string, True) for string in strings[:3])
