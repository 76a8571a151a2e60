"""A parser that simple_parsing makes of a dataclass."""

from dataclasses import dataclass, field

from simple_parsing import ArgumentParser, choice


@dataclass
class Options:
    """Options of the training."""

    learning_rate: float = 0.1  # learning rate
    batch_size: int = field(default=32, metadata={"help": "batch size"})
    optimizer: str = choice("adam", "sgd", default="adam")
    augment: bool = False
    epochs: int = 2


parser = ArgumentParser()
parser.add_arguments(Options, dest="options")
options = parser.parse_args().options
for epoch in range(options.epochs):
    score = 1 - abs(options.learning_rate - 0.2) - 1 / options.batch_size
    print(f"Epoch {epoch}: eval/score = {score:.4f}")
