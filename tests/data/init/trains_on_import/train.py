"""A script that trains before it reads its arguments, and leaves a file beside itself."""

import argparse
from pathlib import Path


class Model:
    """Model that notes that it was trained."""

    def fit(self, epochs):
        for epoch in range(epochs):
            print("epoch", epoch)
        Path(__file__).with_name("trained").write_text("yes")


model = Model()
model.fit(3)

parser = argparse.ArgumentParser()
parser.add_argument("--threshold-lr", type=float, default=0.1)
parser.add_argument("--lr", type=float, default=0.1)
args = parser.parse_args()
print(f"final loss: {args.lr}")
