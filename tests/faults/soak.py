"""Play rounds of every kind of study and fault for hours, such as at night.

    python -m tests.faults.soak --hours 8 --results soak.jsonl     continue where the file ends

Kinds take turns, a few rounds each, so that a short soak has seen all of them. Every kind visits
its points again and again, from the second visit on with a second kill at a
random point; see `kill`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path

from tests.databases import SERVERS
from tests.faults import kill
from tests.faults.points import SIGNALS
from tests.faults.scenarios import SCENARIOS

ROUNDS = 10
"""Rounds of one kind before the next one has its turn."""


def list_kinds() -> list[list[str]]:
    """Return the arguments of `kill` for each kind of study and fault."""
    storages = ["sqlite", "journal", "bucket", *SERVERS]
    local = itertools.product(storages, sorted(SCENARIOS), sorted(SIGNALS))
    kinds = [["--storage", s, "--scenario", c, "--action", a] for s, c, a in local]
    emulated = itertools.product(sorted(SCENARIOS), sorted(SIGNALS))
    kinds += [["--backend", "oci", "--scenario", c, "--action", a] for c, a in emulated]
    return kinds


def main(arguments: list[str] | None = None) -> int:
    """Play rounds until the time is over; return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--results", type=Path, default=Path("soak.jsonl"))
    options = parser.parse_args(arguments)
    end, failed = time.monotonic() + 3600 * options.hours, False
    for turn in itertools.count(1):
        for kind in list_kinds():
            if time.monotonic() > end:
                return int(failed)
            rounds = ["--limit", str(ROUNDS), "--rounds", str(1000 * turn)]
            failed |= bool(kill.main([*kind, *rounds, "--results", str(options.results)]))
    raise AssertionError("time does not end")


if __name__ == "__main__":
    sys.exit(main())
