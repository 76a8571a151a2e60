"""Measure the cost of reading metrics from lines of any content.

Lines are repetitions of random pieces that look like names, numbers, steps, bars, boxes, objects.
The cost of reading is linear if it doubles with the size. The table shows the worst lines: CPU
milliseconds by size, and the factor between the last two sizes, which is 2 if the cost is linear.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator

from tune_jobs.runtime.extract import Extractor
from tune_jobs.runtime.unread import explain_unread

PIECES = [
    *("accuracy ", "accuracy: ", "accuracy: 0.9", "accuracy=0.", "best accuracy ", "val_accuracy"),
    *("Epoch 1x ", "epoch: 3 ", "Epoch(val) [", "best epoch ", "epoch 1\n", "epoch 1x\n"),
    *('{"a":', '{"a":[', "{'accuracy': ", "'a': ", "}", "[(", "(", '\\"', "\\", "'\""),
    *("5%|", "100%|##", "100%|  | 4/4 [00:01<", "45it [00:01, ", "\u2501", "a%"),
    *("1", ",111", "1 234 ", "1'234", "e5", "-->", "tensor(", "0" * 50, "\uff10", "\uff1a"),
    *("\x1b[", "\x1b]", "\x1b[31m", "[rank0]: ", "|", "\u2502 ", " ", "\t", "-", "=", "#", "a:"),
    *("accuracy\r", "accuracy: 1\r", "accuracy 1\n", "  accuracy: 1\n", "title:\n", "\n"),
    *("| accuracy | 1 |\n", "| a | 1 |\n", "  a: 1\n", " 'a': 1,\n", ' "accuracy": 1,\n'),
    *("- accuracy: 1\n", "- a: 1\n", "[a]\n", "accuracy = 1\n", "a = 1\n", "<a>", ">", "</a>"),
    *("<accuracy>1</accuracy>\n", "  <epoch>1</epoch>\n", "<a b='", "    - "),
]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=100, help="number of lines (default: 100)")
    parser.add_argument("--size", type=int, default=1 << 20, help="largest size in bytes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sizes = [options.size >> shift for shift in (4, 1, 0)]
    rows = [(unit, measure(unit, sizes)) for unit in generate(options.lines, options.seed)]
    rows.sort(key=lambda row: -row[1][-1] / max(row[1][-2], 5e-3))
    print(f"{'line':40}" + "".join(f"{size:>12}" for size in sizes) + f"{'factor':>9}")
    for unit, costs in rows[:10]:
        factor = costs[-1] / max(costs[-2], 5e-3)
        print(f"{unit[:36]!r:40}" + "".join(f"{1e3 * c:12.1f}" for c in costs) + f"{factor:9.2f}")
    print(f"worst cost of {options.size} bytes: {max(costs[-1] for _, costs in rows):.2f} s CPU")


def generate(count: int, seed: int) -> Iterator[str]:
    """Yield each piece, and then combinations of several."""
    yield from PIECES[:count]
    rng = random.Random(seed)
    for _ in range(count - len(PIECES)):
        yield "".join(rng.choices(PIECES, k=rng.randint(2, 4)))


def measure(unit: str, sizes: list[int]) -> list[float]:
    """Return the CPU seconds that reading repetitions of a text takes, by size."""
    costs = []
    for size in sizes:
        data = (unit.encode() * (size // len(unit.encode()) + 1))[:size] + b"\n"
        start = time.process_time()
        extractor = Extractor(["accuracy"], {"b": r"b=(\S+).*c"}, "epoch")
        extractor.feed(data, 1.0)
        extractor.finish(1.0)
        explain_unread(data, "accuracy", step="epoch")
        costs.append(time.process_time() - start)
    return costs


if __name__ == "__main__":
    main()
