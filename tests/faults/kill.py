"""Kill or suspend a tuner and its local host at every point, and check the result.

    python -m tests.faults.kill                                every point once (SQLite, pruning)
    python -m tests.faults.kill --storage journal --scenario promotion
    python -m tests.faults.kill --backend oci --limit 100
    python -m tests.faults.kill --backend oci --storage bucket
    python -m tests.faults.kill --action suspend
    python -m tests.faults.kill --results FILE --rounds 1000   continue where FILE ends
    python -m tests.faults.kill --list

A study of four trials (`scenarios`) is run once to list its points (`points`): before and after
each commit, access to a journal or a bucket, call of the backend, access to the store, and what
the local host does for a run. Then, for each point, in a folder of its own: a tuner that gets
SIGKILL there (or whose host does), and one that is left alone. With ``--rounds`` beyond the number
of points, each is visited again, with a second kill at a random point. After a round must hold:

    every trial is finished once, as it should be, with the value that its own run wrote
    every run that was started is an attempt of the ledger, and every attempt is one run
    if only tuners were killed, every run was adopted: none is lost, none has a second attempt
    no process is live, no attempt is open, no temporary file is left, the study has no owner
    a killed tuner ended by SIGKILL; the one that was left alone ended with 0

Only rounds whose signal was sent are counted.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import optuna

from tests.databases import SERVERS
from tests.faults.places import EmulatedOci, Place, open_storage, place_locally
from tests.faults.points import SIGNALS, Point, append_line, read_lines
from tests.faults.rounds import Result, list_points, play_round
from tests.faults.scenarios import SCENARIOS

Visit = tuple[Point, Point | None]
Fresh = Callable[[str], Place]


def main(arguments: list[str] | None = None) -> int:
    """Play rounds; return 1 if anything was wrong."""
    options = _parse(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with _open_places(options) as fresh:
        points = [p for p in list_points(fresh("undisturbed")) if _is_wanted(p, options)]
        if options.list:
            print(*points, sep="\n")
            return 0
        return _play(_plan(points, options), fresh, options, len(points))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", choices=["local", "oci"], default="local")
    parser.add_argument(
        "--storage", choices=["sqlite", "journal", "bucket", *SERVERS], default="sqlite"
    )
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="pruning")
    parser.add_argument("--action", choices=sorted(SIGNALS), default="kill")
    parser.add_argument("--role", choices=["tuner", "host"], help="only points of these processes")
    parser.add_argument("--rounds", type=int, help="by default, as many as there are points")
    parser.add_argument("--limit", type=int, help="maximum number of rounds in this call")
    parser.add_argument("--seed", type=int, default=7, help="of the order, and of second kills")
    parser.add_argument("--results", type=Path, help="file of rounds: those in it are not repeated")
    parser.add_argument("--list", action="store_true", help="list the points, and play no round")
    return parser.parse_args(arguments)


def _is_wanted(point: Point, options: argparse.Namespace) -> bool:
    if options.action == "suspend" and point.role == "host":
        return False  # a suspended host is waited for: see the tests of the local backend
    return options.role in (None, point.role)


def _plan(points: Sequence[Point], options: argparse.Namespace) -> Iterator[Visit]:
    """List visits: each point alone, then each with a second kill, again and again."""
    chance = random.Random(options.seed)
    order = sorted(points)
    chance.shuffle(order)
    yield from ((point, None) for point in order)
    while True:
        chance.shuffle(order)
        yield from ((point, chance.choice(points)) for point in order)


@contextlib.contextmanager
def _open_places(options: argparse.Namespace) -> Iterator[Fresh]:
    scenario = SCENARIOS[options.scenario]
    root = Path(tempfile.mkdtemp(prefix="faults-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        storage = stack.enter_context(open_storage(options.storage))
        oci = None
        if options.backend == "oci":
            (root / "oci").mkdir()
            oci = EmulatedOci(root / "oci", scenario)
            stack.callback(oci.close)
            if options.storage == "bucket":
                storage = oci.open_storage

        def fresh(name: str) -> Place:
            folder = root / name
            folder.mkdir()
            return oci.place(folder, storage) if oci else place_locally(folder, scenario, storage)

        yield fresh


def _play(plan: Iterator[Visit], fresh: Fresh, options: argparse.Namespace, points: int) -> int:
    key = f"{options.backend}/{options.storage}/{options.scenario}/{options.action}"
    wanted = options.rounds or points
    earlier = _read_results(options.results, key)
    hits, missed, bad, began = 0, 0, 0, time.monotonic()
    for number, visit in enumerate(itertools.islice(plan, wanted)):
        if _describe(visit) in earlier:
            continue
        if options.limit is not None and hits + missed >= options.limit:
            break
        place = fresh(f"round-{number}")
        result = _play_until_hit(place, visit, options.action, fresh)
        hits, missed = hits + result.hit, missed + (not result.hit)
        bad += bool(result.problems)
        _record(options.results, key, visit, result)
    print(
        f"{key}: {points} points, {len(earlier)} earlier rounds, {hits} rounds, {missed} not hit, "
        f"{bad} bad rounds, {time.monotonic() - began:.0f} s"
    )
    return 1 if bad else 0


def _play_until_hit(place: Place, visit: Visit, action: str, fresh: Fresh) -> Result:
    """Play a round; repeat it if its point was not passed, since threads may differ in order."""
    point, second = visit
    for attempt in range(3):
        result = play_round(place, point, action, second)
        if result.hit or result.problems:
            break
        place = fresh(f"{place.folder.name}-{attempt}")
    for problem in result.problems:
        print(f"{_describe(visit)}: {problem}", flush=True)
    if not result.problems:
        shutil.rmtree(place.folder, ignore_errors=True)
    return result


def _describe(visit: Visit) -> str:
    point, second = visit
    return f"{point}" if second is None else f"{point}, then {second}"


def _read_results(path: Path | None, key: str) -> set[str]:
    """Return the visits that an earlier call made without finding a problem."""
    lines = map(json.loads, read_lines(path) if path else ())
    return {line["visit"] for line in lines if line["key"] == key and not line["problems"]}


def _record(path: Path | None, key: str, visit: Visit, result: Result) -> None:
    if path is not None and (result.hit or result.problems):
        line = {"key": key, "visit": _describe(visit), "problems": result.problems}
        append_line(path, json.dumps(line))


if __name__ == "__main__":
    sys.exit(main())
