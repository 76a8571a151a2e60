"""Options that several scripts share."""

import argparse

DEFAULTS = {"lr": 0.05, "weight_decay": 1e-4, "momentum": 0.9}


class BaseOptions:
    """Options of all scripts."""

    def __init__(self):
        self.parser = argparse.ArgumentParser(parents=[common()])
        self.initialize()

    def initialize(self):
        for name, default in DEFAULTS.items():
            self.parser.add_argument(f"--{name}", type=float, default=default)

    def parse(self):
        return self.parser.parse_args()


class TrainOptions(BaseOptions):
    """Options of training."""

    def initialize(self):
        super().initialize()
        self.parser.add_argument("--n_layers", type=int, default=2)
        self.parser.add_argument("--batch_size", default=16, type=int)


def common():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--device", default="cpu")
    return parser


if __name__ == "__main__":
    other = argparse.ArgumentParser()
    other.add_argument("--not_of_the_script")
    other.parse_args()
