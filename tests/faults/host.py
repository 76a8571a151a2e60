"""A local host with points around its calls; started in place of the real one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.faults.points import Point, Points, read_points
from tune_jobs.backends.local import host

ORDER = "TUNE_JOBS_FAULTS_HOST"
"""Environment variable of the tuner: the folder, point and action for its host, as JSON."""


def main(arguments: list[str]) -> None:
    """Serve as the real host does."""
    order = json.loads(os.environ[ORDER])
    folder = Path(order["folder"])
    target = Point.parse(order["target"]) if order["target"] else None
    if target in read_points(folder / "hit"):
        target = None  # this one replaces the host that was killed
    Points("host", folder, target, order["action"]).install()
    host.main(*arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
