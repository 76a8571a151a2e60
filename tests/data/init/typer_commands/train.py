"""An app of typer with two commands, one of which has a positional argument."""

from pathlib import Path

import typer

app = typer.Typer()


@app.command()
def export(model: Path) -> None:
    """Export a model."""
    print("exported", model)


@app.command(name="train-model")
def train(name: str, depth: int = 2, learning_rate: float = 0.1) -> None:
    """Train a model."""
    print(f"{name}: f1={depth / 100 + learning_rate:.3f}")


if __name__ == "__main__":
    app()
