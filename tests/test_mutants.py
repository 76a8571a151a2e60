"""The mutants of the protocol still fit the sources."""

from __future__ import annotations

import ast
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.model import Mutant
from tests.mutants.protocol import MUTANTS
from tests.mutants.run import ROOT, make_table


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_the_program(mutant: Mutant, tmp_path: Path) -> None:
    copy = tmp_path / mutant.file
    copy.parent.mkdir(parents=True)
    shutil.copy2(ROOT / mutant.file, copy)
    mutant.apply(tmp_path)
    assert ast.dump(ast.parse(copy.read_text())) != ast.dump(
        ast.parse((ROOT / mutant.file).read_text())
    )
    for test in mutant.tests:
        assert (ROOT / test.partition("::")[0]).exists(), test


def test_names_of_mutants_are_unique() -> None:
    assert [name for name, n in Counter(m.name for m in MUTANTS).items() if n > 1] == []


def test_the_documentation_lists_every_mutant() -> None:
    page = ROOT / "docs/design/mutants.md"
    assert make_table(MUTANTS) in page.read_text(encoding="utf-8"), (
        "replace its table by the output of: python -m tests.mutants --table"
    )
