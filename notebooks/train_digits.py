"""Train a small neural network to read handwritten digits.

An ordinary training script: it takes its hyperparameters as arguments and prints what it measures.
It does not know the tuner that starts it.

    python train_digits.py --learning-rate=0.003 --hidden=200 --epochs=200 --output-dir=model

Labels are scarce here: 200 images to train on, 300 to validate on, 1297 held out.
"""

import argparse
import copy
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

TRAIN, VALIDATION = 200, 300
SPLIT_SEED = 0  # not --seed: scores are comparable only if every run sees the same split


def parse_arguments() -> argparse.Namespace:
    """Parse the command line; the defaults of the hyperparameters are scikit-learn's own."""
    parser = argparse.ArgumentParser(description="Train a classifier of handwritten digits.")
    parser.add_argument("--learning-rate", type=float, default=0.001, help="step size of Adam")
    parser.add_argument(
        "--batch-size", type=int, default=200, help=f"images per step, 1 to {TRAIN}"
    )
    parser.add_argument("--hidden", type=int, default=100, help="units in the hidden layer")
    parser.add_argument("--alpha", type=float, default=0.0001, help="strength of the L2 penalty")
    parser.add_argument("--activation", choices=["relu", "tanh", "logistic"], default="relu")
    parser.add_argument("--epochs", type=int, default=50, help="passes over the training images")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and batches")
    parser.add_argument("--output-dir", type=Path, help="where to write model.joblib")
    arguments = parser.parse_args()
    for name in ("learning_rate", "hidden", "epochs"):
        if not getattr(arguments, name) > 0:  # also rejects nan
            parser.error(f"--{name.replace('_', '-')} must be positive")
    if not arguments.alpha >= 0:
        parser.error("--alpha must not be negative")
    if not 1 <= arguments.batch_size <= TRAIN:
        parser.error(f"--batch-size must be from 1 to {TRAIN}")
    return arguments


def load_split() -> tuple[np.ndarray, ...]:
    """Return images and labels of the training, validation and held-out sets."""
    images, labels = load_digits(return_X_y=True)
    known, test, known_labels, test_labels = train_test_split(
        images, labels, train_size=TRAIN + VALIDATION, stratify=labels, random_state=SPLIT_SEED
    )
    train, validation, train_labels, validation_labels = train_test_split(
        known, known_labels, train_size=TRAIN, stratify=known_labels, random_state=SPLIT_SEED
    )
    return train, train_labels, validation, validation_labels, test, test_labels


def create_model(arguments: argparse.Namespace) -> MLPClassifier:
    """Return the untrained network."""
    return MLPClassifier(
        hidden_layer_sizes=(arguments.hidden,),
        activation=arguments.activation,
        alpha=arguments.alpha,
        batch_size=arguments.batch_size,
        learning_rate_init=arguments.learning_rate,
        # A generator, not a number: otherwise partial_fit draws the same batches in every epoch.
        random_state=np.random.RandomState(arguments.seed),
    )


def main() -> None:
    """Train, and evaluate the model of the best epoch on the held-out images."""
    arguments = parse_arguments()
    train, train_labels, validation, validation_labels, test, test_labels = load_split()
    model = create_model(arguments)
    best, best_accuracy = model, -1.0
    for epoch in range(1, arguments.epochs + 1):
        model.partial_fit(train, train_labels, classes=np.unique(train_labels))
        accuracy = model.score(validation, validation_labels)
        print(f"epoch {epoch}: loss={model.loss_:.4f} val_accuracy={accuracy:.4f}", flush=True)
        if accuracy >= best_accuracy:
            best, best_accuracy = copy.deepcopy(model), accuracy
    if arguments.output_dir is not None:
        arguments.output_dir.mkdir(parents=True, exist_ok=True)
        joblib.dump(best, arguments.output_dir / "model.joblib")
    print(f"val_accuracy={best_accuracy:.4f} test_accuracy={best.score(test, test_labels):.4f}")


if __name__ == "__main__":
    main()
