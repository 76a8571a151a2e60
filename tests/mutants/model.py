"""What a mutant is, and how it is applied to a copy of the sources."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A deliberate fault.

    Args:
        name: Short and unique.
        breaks: The invariant, or the row of a failure table, that no longer holds.
        file: Path below the root of the sources.
        old: Text that occurs once in the file.
        new: What stands there instead.
        tests: Test files, or single tests, that catch it.
    """

    name: str
    breaks: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, root: Path) -> None:
        """Change the file below ``root``.

        Raises:
            ValueError: If ``old`` does not occur exactly once.
        """
        path = root / self.file
        source = path.read_text(encoding="utf-8")
        if source.count(self.old) != 1:
            raise ValueError(
                f"{self.name}: its text occurs {source.count(self.old)} times in {self.file}: "
                "adapt tests/mutants to the changed source"
            )
        path.write_text(source.replace(self.old, self.new), encoding="utf-8")
