"""A script whose flags are in groups, as those of larger projects are."""

import argparse
import logging
from pathlib import Path

OPTIMIZERS = {"adam": 0.9, "sgd": 0.8}


def get_parser():
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    model = parser.add_argument_group("model", "What is trained.")
    model.add_argument("--hidden", type=int, default=64, metavar="N", help="units per layer")
    model.add_argument("--dropout", type=float, default=0.1, help="share of units that are dropped")
    model.add_argument("--batch-norm", action="store_true", help="normalize each batch")
    training = parser.add_argument_group("training")
    training.add_argument("-lr", "--learning-rate", type=float, default=1e-3, dest="lr")
    training.add_argument("-b", "--batch-size", type=int, default=32)
    training.add_argument("--optimizer", choices=sorted(OPTIMIZERS), default="adam")
    training.add_argument("--epochs", type=int, default=3, help="passes over the data")
    training.add_argument("--seed", type=int, default=0)
    schedule = training.add_mutually_exclusive_group()
    schedule.add_argument("--cosine", action="store_true", help="anneal the learning rate")
    schedule.add_argument("--warmup", type=int, default=0, help="steps of a warmup")
    output = parser.add_argument_group("output")
    output.add_argument("--output-dir", type=Path, required=True, help="where the model goes")
    output.add_argument("--no-cuda", action="store_false", dest="cuda", help="use the CPU")
    return parser


def main():
    args = get_parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    accuracy = 0.0
    for epoch in range(args.epochs):
        accuracy = (
            OPTIMIZERS[args.optimizer] - abs(args.lr - 0.01) - args.dropout / 10 + epoch / 100
        )
        logging.info("epoch %d | train loss %.4f | val acc %.4f", epoch, 1 - accuracy, accuracy)
    (args.output_dir / "model.txt").write_text(str(accuracy))


if __name__ == "__main__":
    main()
