"""A script with every form of argument."""

import argparse
import enum


class Activation(enum.Enum):
    """Activations."""

    RELU = "relu"
    TANH = "tanh"


def to_bool(string):
    return string.lower() in ("true", "yes", "1")


parser = argparse.ArgumentParser(prefix_chars="-+")
parser.add_argument("data", help="path of the data")
parser.add_argument("task", nargs="?", default="digits")
parser.add_argument("--lr", type=lambda string: float(string), default=0.1)
parser.add_argument("--hidden", type=int, nargs="+", default=[8, 8])
parser.add_argument("--augment", action=argparse.BooleanOptionalAction, default=True)
parser.add_argument("--shuffle", type=to_bool, default=False)
parser.add_argument("--bias", type=bool, default=True)
parser.add_argument("--gamma", default=0.9)
parser.add_argument(
    "--activation", type=Activation, choices=list(Activation), default=Activation.RELU
)
parser.add_argument("+beta1", "++beta1", type=float, default=0.9)
parser.add_argument("--verbose", "-v", action="count", default=0)
parser.add_argument("--threads", type=int, default=2, help=argparse.SUPPRESS)
parser.add_argument("--dropout", type=float, required=True)
args = parser.parse_args()
print("data:", args.data)
print("score: %.3f%%" % (100 * (args.lr / 2 + args.dropout + args.beta1 / 100)))
