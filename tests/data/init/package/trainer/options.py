"""Its options."""

import argparse

parser = argparse.ArgumentParser(prog="trainer")
parser.add_argument("--lr", type=float, default=0.1)
