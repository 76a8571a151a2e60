"""A script whose --help never returns: it starts a process of its own session and waits for it."""

import argparse
import subprocess
import sys
from pathlib import Path

import waiting

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--units", type=int, default=8)
if "--help" in sys.argv:
    Path("scratch.txt").write_text("left behind?")
    waiting.forever(subprocess)
args = parser.parse_args()
print(f"metric error={abs(args.lr - 0.3) + 1 / args.units}")
