"""Record learning curves of a small network on scikit-learn's digits for `pruning`.

    python -m tests.benchmarks.record_digits > tests/benchmarks/data/digits_mlp.csv

It takes about ten minutes on one core. Each line has a random configuration, the seconds per
epoch, and the accuracy on 500 held-out images after each of 27 epochs.
"""

from __future__ import annotations

import math
import random
import time
from typing import Any

CONFIGURATIONS = 300
EPOCHS = 27
NAMES = ("learning_rate", "batch_size", "hidden", "alpha", "activation")


def draw(rng: random.Random) -> dict[str, Any]:
    """Draw a configuration."""
    return {
        "learning_rate": 10 ** rng.uniform(-4.5, -0.5),
        "batch_size": rng.choice([8, 16, 32, 64, 128]),
        "hidden": round(2 ** rng.uniform(2, 8)),
        "alpha": 10 ** rng.uniform(-6, 0),
        "activation": rng.choice(["relu", "tanh", "logistic"]),
    }


def main() -> None:
    """Print the table."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    images, digits = load_digits(return_X_y=True)
    train, held_out, labels, held_out_labels = train_test_split(
        images / 16.0, digits, train_size=800, test_size=500, random_state=0, stratify=digits
    )
    rng = random.Random(0)
    print(",".join([*NAMES, "seconds", *(str(epoch) for epoch in range(1, EPOCHS + 1))]))
    for _ in range(CONFIGURATIONS):
        params = draw(rng)
        model = MLPClassifier(
            hidden_layer_sizes=(params["hidden"],),
            activation=params["activation"],
            learning_rate_init=params["learning_rate"],
            batch_size=params["batch_size"],
            alpha=params["alpha"],
            random_state=0,
        )
        start, scores = time.process_time(), []
        for _ in range(EPOCHS):
            model.partial_fit(train, labels, classes=range(10))
            scores.append(model.score(held_out, held_out_labels))
        seconds = (time.process_time() - start) / EPOCHS
        print(format_line(params, seconds, scores), flush=True)
        assert not math.isnan(scores[-1])


def format_line(params: dict[str, Any], seconds: float, scores: list[float]) -> str:
    """Return a line of the table."""
    formats = {"learning_rate": ".5g", "alpha": ".4g"}
    cells = [format(params[name], formats.get(name, "")) for name in NAMES]
    return ",".join([*cells, f"{seconds:.4f}", *(f"{score:.3f}" for score in scores)])


if __name__ == "__main__":
    main()
