"""A metric store over ``oci://``: the ``oci`` client against ocifs, on the same emulated bucket.

python -m tests.benchmarks.oci_store
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.oci_emulator import Emulator
from tune_jobs import Connection
from tune_jobs.metric_store.base import Folder
from tune_jobs.metric_store.file_system import FsspecFolder
from tune_jobs.metric_store.object_storage import ObjectStorageFolder

OBJECTS = 200


def main() -> None:
    """Print the table: milliseconds (the emulator's included) and requests."""
    with tempfile.TemporaryDirectory() as folder, Emulator(Path(folder)) as emulator:
        root = f"oci://tune-jobs@{emulator.namespace}"
        connection = Connection(config_file=emulator.config_file, endpoint=emulator.endpoint)
        ocifs = {
            "config": str(emulator.config_file),
            "config_kwargs": {"service_endpoint": emulator.endpoint},
        }
        stores: dict[str, Folder] = {
            "oci client": ObjectStorageFolder(f"{root}/a", connection),
            "ocifs": FsspecFolder(f"{root}/b", ocifs),
        }
        print("| operation | store | ms | requests |")
        print("| --- | --- | ---: | ---: |")
        for name, store in stores.items():
            for operation, count, work in works(store):
                emulator.requests.clear()
                began = time.perf_counter()
                work()
                spent = 1000 * (time.perf_counter() - began) / count
                requests = len(emulator.requests) / count
                print(f"| {operation} | {name} | {spent:.2f} | {requests:.1f} |")


def works(store: Folder) -> list[tuple[str, int, Callable[[], object]]]:
    """What is done, how often, and what does it."""
    names = [f"trial-{n:06d}-1.jsonl" for n in range(OBJECTS)]

    def write() -> None:
        for name in names:
            store.write(f"metrics/{name}", b"x" * 500)

    return [
        ("write", OBJECTS, write),
        ("read", OBJECTS, lambda: [store.read(f"metrics/{n}") for n in names]),
        ("read on", OBJECTS, lambda: [store.read(f"metrics/{n}", 400) for n in names]),
        ("list 200", 1, lambda: store.versions("metrics", names[0], names[-1])),
        ("list 10", 1, lambda: store.versions("metrics", names[50], names[59])),
    ]


if __name__ == "__main__":
    main()
