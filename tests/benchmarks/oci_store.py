"""Metric store over ``oci://``: the ``oci`` client compared with ocifs, on an emulated bucket.

    python -m tests.benchmarks.oci_store

Prints milliseconds (including the emulator's) and requests of each operation on 200 objects.
"read on" reads an object from an offset; "list 10" lists a range of ten names.
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


def open_stores(emulator: Emulator) -> dict[str, Folder]:
    """Open a folder of the emulated bucket with each client."""
    root = f"oci://tune-jobs@{emulator.namespace}"
    connection = Connection(config_file=emulator.config_file, endpoint=emulator.endpoint)
    options = {
        "config": str(emulator.config_file),
        "config_kwargs": {"service_endpoint": emulator.endpoint},
    }
    return {
        "oci client": ObjectStorageFolder(f"{root}/a", connection),
        "ocifs": FsspecFolder(f"{root}/b", options),
    }


def build_operations(store: Folder) -> list[tuple[str, int, Callable[[], object]]]:
    """Return label, number of operations, and a function that performs them."""
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


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder, Emulator(Path(folder)) as emulator:
        print("| operation | store | ms | requests |")
        print("| --- | --- | ---: | ---: |")
        for name, store in open_stores(emulator).items():
            for operation, count, perform in build_operations(store):
                emulator.requests.clear()
                start = time.perf_counter()
                perform()
                milliseconds = 1000 * (time.perf_counter() - start) / count
                requests = len(emulator.requests) / count
                print(f"| {operation} | {name} | {milliseconds:.2f} | {requests:.1f} |")


if __name__ == "__main__":
    main()
