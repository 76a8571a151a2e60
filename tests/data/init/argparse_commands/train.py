"""A script with commands, with a flag in front of them and flags that they share."""

import argparse


def add_model(parser):
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--alpha", type=float, default=1e-4, help="penalty")


def train(args):
    for step in range(args.steps):
        print(
            f"step={step} loss={abs(args.lr - 0.02) + args.alpha + 1 / args.width + 1 / (step + 1)}"
        )


def evaluate(args):
    print("nothing to evaluate:", args.checkpoint)


parser = argparse.ArgumentParser()
parser.add_argument("--data", choices=["small", "large"], default="small")
parser.add_argument("--momentum", type=float, default=0.9)
commands = parser.add_subparsers(dest="command", required=True)
training = commands.add_parser("train", help="train a model")
training.add_argument("--lr", type=float, default=0.01)
training.add_argument("--steps", type=int, default=3)
add_model(training)
training.set_defaults(function=train, alpha=1e-3)
evaluation = commands.add_parser("evaluate", help="evaluate a model")
evaluation.add_argument("checkpoint")
add_model(evaluation)
evaluation.set_defaults(function=evaluate)

if __name__ == "__main__":
    arguments = parser.parse_args()
    arguments.function(arguments)
