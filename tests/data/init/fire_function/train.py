"""A command line that fire makes of a function."""

import fire


def train(lr=0.01, hidden=32, epochs=2, augment=False):
    """Train a model."""
    for epoch in range(epochs):
        print(
            f"[{epoch}] valid loss: {abs(lr - 0.02) + 1 / hidden + 1 / (epoch + 1) - augment / 100}"
        )


if __name__ == "__main__":
    fire.Fire(train)
