"""Run the tests of OCI against a tenancy.

    python -m tests.acceptance --tenancy tenancy.yaml       asks before anything costs money
    python -m tests.acceptance                              the same against the emulator
    python -m tests.acceptance --tenancy tenancy.yaml -- -k arguments

`tests.acceptance.tenancy` shows what is in the file. Tests that need the emulator itself, such as
its faults, are left out. Whatever was made is removed at the end, also after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

from tests.acceptance.removal import remove_all
from tests.acceptance.tenancy import SESSION, VARIABLE, Tenancy, read_tenancy
from tests.oci_emulator import Emulator

FILES = ("test_backend.py", "test_conformance.py", "test_runtimes.py", "test_promotion.py")
RUNS_PER_TEST = 3
MINUTES_PER_RUN = 5.0
"""What a run is billed for, more or less: its setup and the script's seconds."""


class Selection:
    """Plugin of pytest that selects the tests which need no emulator.

    Attributes:
        selected: Names of the tests.
    """

    def __init__(self) -> None:
        self.selected: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out the tests that use the emulator."""
        fit = [i for i in items if "emulator" not in getattr(i, "fixturenames", ())]
        config.hook.pytest_deselected(items=[item for item in items if item not in fit])
        items[:] = fit
        self.selected = [item.nodeid for item in fit]


def main(arguments: Sequence[str] | None = None, ask: Callable[[str], str] = input) -> int:
    """Run the tests; return the exit code of pytest.

    Args:
        arguments: The command line.
        ask: Returns the answer to a question.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance")
    parser.add_argument("--tenancy", type=Path, metavar="FILE", help="the tenancy, in YAML")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("options", nargs="*", help="options of pytest, after --")
    options = parser.parse_args(arguments)
    if options.tenancy is not None:
        return run_in(options.tenancy, options.options, _agree if options.yes else ask)
    with tempfile.TemporaryDirectory() as folder, Emulator(Path(folder, "oci")) as emulator:
        file = Path(folder, "tenancy.yaml")
        file.write_text(yaml.safe_dump(describe_emulator(emulator)))
        return run_in(file, options.options, _agree)


def describe_emulator(emulator: Emulator) -> dict[str, object]:
    """Return the file of an emulated tenancy."""
    return {
        "connection": {
            "config_file": str(emulator.config_file),
            "endpoint": emulator.endpoint,
        },
        "infrastructure": {
            "compartment": emulator.compartment,
            "project": emulator.project,
            "shape": "VM.Standard.E4.Flex",
            "ocpus": 1,
            "memory_gb": 16,
            "block_storage_gb": 50,
        },
        "store": f"oci://tune-jobs@{emulator.namespace}/acceptance",
        "price_per_hour": 0.05,
        "poll_seconds": 0.1,
    }


def _agree(question: str) -> str:
    return "yes"


def run_in(file: Path, options: Sequence[str], ask: Callable[[str], str]) -> int:
    """Run the tests in the tenancy of a file, and remove what they made."""
    session = f"acceptance-{secrets.token_hex(4)}"
    tenancy = read_tenancy(file, session)
    os.environ |= {VARIABLE: str(file.absolute()), SESSION: session}
    try:
        selected = _select(options)
        print(describe_price(len(selected), tenancy), flush=True)
        if ask("continue? [y/N] ").strip().lower() not in ("y", "yes"):
            return 0
        try:
            return int(_run_pytest(options, Selection()))
        finally:
            for what in remove_all(tenancy, session):
                print(f"removed {what}")
    finally:
        del os.environ[VARIABLE], os.environ[SESSION]


def describe_price(tests: int, tenancy: Tenancy) -> str:
    """Return what the tests will cost, roughly."""
    runs = tests * RUNS_PER_TEST
    hours = runs * MINUTES_PER_RUN / 60.0
    price = tenancy.price_per_hour
    money = "unknown (no price_per_hour)" if price is None else f"{hours * price:.2f}"
    shape = tenancy.infrastructure.shape
    return f"{tests} tests, about {runs} job runs, {hours:.1f} hours of {shape}: price {money}"


def _select(options: Sequence[str]) -> list[str]:
    selection = Selection()
    _run_pytest([*options, "--collect-only", "-q", "--no-summary", "--quiet"], selection)
    return selection.selected


def _run_pytest(options: Sequence[str], selection: Selection) -> int:
    folder = Path(__file__).parents[1] / "backends" / "data_science"
    files = [str(folder / name) for name in FILES]
    return int(pytest.main([*files, "-p", "no:cacheprovider", *options], plugins=[selection]))


if __name__ == "__main__":
    sys.exit(main())
