"""A command line that jsonargparse makes of a function."""

from jsonargparse import CLI


def train(learning_rate: float = 0.1, depth: int = 3, augment: bool = False, epochs: int = 2):
    """Train a model.

    Args:
        learning_rate: Learning rate.
        depth: Depth of the trees.
    """
    print(f"epoch {epochs} mae: {abs(learning_rate - 0.2) + 1 / depth - augment / 100}")


if __name__ == "__main__":
    CLI(train)
