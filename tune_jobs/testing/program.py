"""Program that the conformance suite runs on a backend; it does what its arguments say.

    --exit=3            end with this exit code
    --seconds=60        end after that time
    --output=FILE       write a file
    --save=FOLDER       save a checkpoint in a folder
    --resume=FOLDER     report the checkpoint that lies in a folder, as the metric ``resumed``

Each run prints ``value``, a checksum of its arguments, its environment variable ``CONFORMANCE`` and
its file ``conf/given.txt``, and ``token``, a random number. Standard library only.
"""

from __future__ import annotations

import os
import random
import sys
import time
import zlib
from collections.abc import Sequence

VARIABLE = "CONFORMANCE"
FILE = "conf/given.txt"
_CHECKPOINT = "checkpoint.txt"


def checksum(argv: Sequence[str], variable: str = "", file: str = "") -> int:
    """Return the ``value`` of a run with these arguments, this variable and this file."""
    return zlib.crc32(repr((list(argv), variable, file)).encode())


def parse_options(argv: Sequence[str]) -> dict[str, str]:
    """Return the options of the form ``--name=value`` by name."""
    pairs = (word[2:].partition("=") for word in argv if word.startswith("--"))
    return {name: value for name, _, value in pairs}


def main(argv: Sequence[str]) -> int:
    """Run, and return the exit code."""
    options = parse_options(argv)
    given = _read(FILE) if os.path.exists(FILE) else ""
    print(f"value={checksum(argv, os.environ.get(VARIABLE, ''), given)}")
    print(f"token={random.getrandbits(32)}", flush=True)
    if "resume" in options:
        print(f"resumed={_read(os.path.join(options['resume'], _CHECKPOINT))}")
    if "output" in options:
        _write(options["output"], "output")
    if "save" in options:
        _write(os.path.join(options["save"], _CHECKPOINT), "1")
    time.sleep(float(options.get("seconds", "0")))
    return int(options.get("exit", "0"))


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _write(path: str, content: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(content)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
