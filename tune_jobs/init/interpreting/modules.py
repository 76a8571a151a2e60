"""The modules of a program: found beside the script, decoded and parsed."""

from __future__ import annotations

import ast
import os
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

_MAX_BYTES = 2 << 20
_MAX_MODULES = 50
_MAX_TOTAL = 3 << 20
_MAX_DEPTH = 20


@lru_cache(maxsize=2 * _MAX_MODULES)
def list_nodes(tree: ast.Module) -> tuple[ast.AST, ...]:
    """Return all nodes of a file, which several modules look through."""
    return tuple(ast.walk(tree))


@dataclass
class Sources:
    """Source files of a program.

    Args:
        root: Folder in which its modules are looked up.
        main: Path of the script, relative to the root.
        further: Further folders in which modules are looked up.

    Attributes:
        problems: Why files could not be parsed, by path.
    """

    root: Path
    main: str
    further: tuple[Path, ...] = ()
    problems: dict[str, str] = field(default_factory=dict)
    _size: int = 0
    _trees: dict[str, ast.Module | None] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Folder of the script."""
        return (self.root / self.main).parent

    @property
    def trees(self) -> dict[str, ast.Module]:
        """The files that were parsed, in this order."""
        return {name: tree for name, tree in self._trees.items() if tree is not None}

    def parse(self, file: str) -> ast.Module | None:
        """Return the tree of a file; None if it cannot be read or parsed."""
        if file not in self._trees:
            if len(self._trees) >= _MAX_MODULES or self._size > _MAX_TOTAL:
                return None
            self._trees[file] = self._parse(file)
        return self._trees[file]

    def _parse(self, file: str) -> ast.Module | None:
        try:
            with (self.root / file).open("rb") as opened:
                source = opened.read(_MAX_BYTES + 1)
            self._size += len(source)
            if len(source) > _MAX_BYTES:
                self.problems[file] = f"it is larger than {_MAX_BYTES >> 20} MiB"
                return None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they concern the script's authors
                return ast.parse(source)
        except SyntaxError as error:
            line = f"line {error.lineno}: " if error.lineno else ""
            self.problems[file] = f"{line}{error.msg}"
        except (OSError, ValueError, RecursionError, MemoryError) as error:
            self.problems[file] = str(error) or type(error).__name__
        return None

    def find(self, name: str, importer: str, level: int = 0) -> str | None:
        """Return the file of a module of the program.

        Args:
            name: Dotted name, as it is imported.
            importer: File with the import.
            level: Number of dots of a relative import.

        Returns:
            Path relative to the root; None if the module is not part of the program.
        """
        parts = [part for part in name.split(".") if part]
        if len(parts) + level > _MAX_DEPTH:
            return None
        folder = Path(importer).parent
        for _ in range(level - 1):
            folder = folder.parent
        # A script finds modules beside itself; a module of a package, from the root.
        further = [Path(os.path.relpath(each, self.root)) for each in self.further]
        absolute = dict.fromkeys([Path(), Path(self.main).parent, *further])
        places = [folder] if level else list(absolute)
        for place in places:
            path = place.joinpath(*parts)
            names = [f"{path}/__init__.py"]
            if parts:
                names.insert(0, f"{path}.py")
            for name in names:
                if (self.root / name).is_file():
                    return os.path.normpath(name)
        return None
