"""Record learning curves of a small network on scikit-learn's digits, once for each configuration.

    python -m tests.benchmarks.record_digits > tests/benchmarks/data/digits_mlp.csv

A line has the configuration, the seconds of an epoch, and the accuracy on 500 held-out images after
each of 27 epochs. It takes about ten minutes on one core.
"""

from __future__ import annotations

import math
import random
import time

CONFIGURATIONS = 300
EPOCHS = 27


def main() -> None:
    """Print the table."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    images, digits = load_digits(return_X_y=True)
    train, held_out, labels, held_out_labels = train_test_split(
        images / 16.0, digits, train_size=800, test_size=500, random_state=0, stratify=digits
    )
    chance = random.Random(0)
    names = ["learning_rate", "batch_size", "hidden", "alpha", "activation", "seconds"]
    print(",".join([*names, *(str(epoch) for epoch in range(1, EPOCHS + 1))]))
    for _ in range(CONFIGURATIONS):
        rate = 10 ** chance.uniform(-4.5, -0.5)
        batch = chance.choice([8, 16, 32, 64, 128])
        hidden = round(2 ** chance.uniform(2, 8))
        alpha = 10 ** chance.uniform(-6, 0)
        activation = chance.choice(["relu", "tanh", "logistic"])
        model = MLPClassifier(
            hidden_layer_sizes=(hidden,),
            activation=activation,
            learning_rate_init=rate,
            batch_size=batch,
            alpha=alpha,
            random_state=0,
        )
        began, scores = time.process_time(), []
        for _ in range(EPOCHS):
            model.partial_fit(train, labels, classes=range(10))
            scores.append(model.score(held_out, held_out_labels))
        seconds = (time.process_time() - began) / EPOCHS
        row = [f"{rate:.5g}", batch, hidden, f"{alpha:.4g}", activation, f"{seconds:.4f}"]
        print(",".join([*map(str, row), *(f"{s:.3f}" for s in scores)]), flush=True)
        assert not math.isnan(scores[-1])


if __name__ == "__main__":
    main()
