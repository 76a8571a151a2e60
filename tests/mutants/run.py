"""Run the tests on every mutant of the protocol, and list those that survive.

    python -m tests.mutants                        all, with two workers
    python -m tests.mutants --only lease- --jobs 1
    python -m tests.mutants --results FILE         continue where FILE ends
    python -m tests.mutants --search               look for a test that catches a survivor
    python -m tests.mutants --table                the table of the documentation, from the list

Each mutant is applied to a copy of the sources, and its own tests are run. With ``--search``, those
of the whole protocol follow if they pass; the mutant has survived even if one of these catches it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.model import Mutant
from tests.mutants.protocol import MUTANTS

ROOT = Path(__file__).parents[2]
PARTS = ("tune_jobs", "samplers", "tests", "pyproject.toml", "docs", "notebooks")
SUITE = ("tests/core", "tests/tuning", "tests/storage", "tests/backends", "tests/metric_store")
LIMIT_SECONDS = 900


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Args:
        word: ``caught``, ``caught elsewhere``, ``survived`` or ``invalid``.
        test: The test that failed, or the reason.
    """

    mutant: Mutant
    word: str
    test: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mutants; return 1 unless the tests of each one catch it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="names that contain this")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--results", type=Path, help="file of verdicts: those in it are kept")
    parser.add_argument("--search", action="store_true", help="run all tests on survivors")
    options = parser.parse_args(arguments)
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.name]
    if options.table:
        print(make_table(chosen))
        return 0
    began = time.monotonic()
    earlier = read_verdicts(options.results, chosen)
    known = {verdict.mutant.name for verdict in earlier}
    new = [mutant for mutant in chosen if mutant.name not in known]
    suite = SUITE if options.search else ()
    verdicts = [*earlier, *judge_all(new, options.jobs, suite, options.results)]
    missed = [v for v in verdicts if v.word != "caught"]
    print(
        f"{len(verdicts)} mutants, {len(verdicts) - len(missed)} caught by their tests, "
        f"{len(missed)} not, {time.monotonic() - began:.0f} s"
    )
    return 1 if missed else 0


def make_table(mutants: Sequence[Mutant]) -> str:
    """Return the documentation's table of mutants."""
    rows = [f"| {m.breaks} | {m.name} | {', '.join(f'`{t}`' for t in m.tests)} |" for m in mutants]
    return "\n".join(["| breaks | mutant | caught by |", "| --- | --- | --- |", *rows])


def read_verdicts(path: Path | None, mutants: Sequence[Mutant]) -> list[Verdict]:
    """Return the verdicts on mutants that a file has from earlier calls."""
    if path is None or not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    found = {line["mutant"]: line for line in lines}
    return [
        Verdict(mutant, found[mutant.name]["word"], found[mutant.name]["test"])
        for mutant in mutants
        if mutant.name in found
    ]


def _record(path: Path | None, verdict: Verdict) -> None:
    if path is not None:
        line = {"mutant": verdict.mutant.name, "word": verdict.word, "test": verdict.test}
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def judge_all(
    mutants: Sequence[Mutant], jobs: int, suite: Sequence[str] = (), results: Path | None = None
) -> list[Verdict]:
    """Judge mutants side by side, each worker in a copy of its own.

    Args:
        mutants: The mutants.
        jobs: Number of workers.
        suite: Tests that are run on a survivor of its own tests.
        results: File to which verdicts are added.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            copies.put(_copy_sources(Path(folder) / str(number)))

        def work(mutant: Mutant) -> Verdict:
            copy = copies.get()
            try:
                verdict = judge(mutant, copy, suite)
            finally:
                shutil.copy2(ROOT / mutant.file, copy / mutant.file)
                copies.put(copy)
            print(f"{verdict.word:<16} {mutant.name}: {verdict.test}", flush=True)
            _record(results, verdict)
            return verdict

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(work, mutants))


def judge(mutant: Mutant, copy: Path, suite: Sequence[str] = ()) -> Verdict:
    """Run the tests of a mutant, and a suite if they pass."""
    try:
        mutant.apply(copy)
    except ValueError as error:
        return Verdict(mutant, "invalid", str(error))
    for tests, word in ((mutant.tests, "caught"), (suite, "caught elsewhere")):
        if not tests:
            continue
        code, failed = _run_tests(tests, copy)
        if code == 1:
            return Verdict(mutant, word, failed)
        if code not in (0, 5):
            return Verdict(mutant, "invalid", f"pytest ended with {code}: {failed}")
    return Verdict(mutant, "survived")


def _copy_sources(copy: Path) -> Path:
    copy.mkdir()
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "_build", "node_modules")
            shutil.copytree(source, copy / part, symlinks=True, ignore=ignored)
        else:
            shutil.copy2(source, copy / part)
    return copy


def _run_tests(tests: Sequence[str], copy: Path) -> tuple[int, str]:
    """Return pytest's exit code, and the first test that failed or its last line."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=no"]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [*command, "--timeout=120", "-m", "not slow or slow", *tests],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, f"not done after {LIMIT_SECONDS} s"
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()[-200:]]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return done.returncode, (failed or lines[-1:])[0].removeprefix("FAILED ").partition(" - ")[0]
