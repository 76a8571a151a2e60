"""An app of typer."""

from enum import Enum
from typing import Annotated, Optional

import typer

app = typer.Typer(add_completion=False)


class Optimizer(str, Enum):
    """Optimizers."""

    adam = "adam"
    sgd = "sgd"


@app.command()
def train(
    lr: Annotated[
        float, typer.Option("--lr", "-l", min=1e-4, max=0.05, help="Learning rate.")
    ] = 0.01,
    batch_size: int = 32,
    optimizer: Optimizer = Optimizer.adam,
    dropout: float = typer.Option(0.1, help="Share of dropped units."),
    augment: bool = False,
    epochs: int = 2,
    limit: Optional[int] = None,
) -> None:
    """Train a model."""
    for epoch in range(epochs):
        accuracy = 1 - abs(lr - 0.02) - dropout / 2 - 1 / batch_size + augment / 100
        typer.echo(f"epoch {epoch} val_accuracy {accuracy:.4f}")


if __name__ == "__main__":
    app()
