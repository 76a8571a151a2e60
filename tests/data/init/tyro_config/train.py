"""A command line that tyro makes of nested dataclasses."""

from dataclasses import dataclass, field

import tyro


@dataclass
class Optimizer:
    """The optimizer."""

    lr: float = 1e-2
    nesterov: bool = False


@dataclass
class Config:
    """The training."""

    batch_size: int = 32
    optimizer: Optimizer = field(default_factory=Optimizer)


if __name__ == "__main__":
    config = tyro.cli(Config)
    print("auc", 1 - abs(config.optimizer.lr - 0.02) - 1 / config.batch_size)
