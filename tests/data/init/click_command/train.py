"""A command of click."""

import click


@click.command()
@click.argument("name", default="digits")
@click.option("--lr", "-l", "learning_rate", default=1e-3, show_default=True, help="Learning rate.")
@click.option("-b", "--batch-size", type=click.IntRange(8, 100), default=32)
@click.option("--optimizer", type=click.Choice(["adam", "sgd"]), default="adam")
@click.option("--augment/--no-augment", default=False, help="Augment the data.")
@click.option("--nesterov", is_flag=True)
@click.option("--layers", multiple=True, type=int, default=[16, 16])
@click.option("--dropout", type=click.FloatRange(0, 0.5), required=True)
@click.option("--epochs", default=2)
def main(name, learning_rate, batch_size, optimizer, augment, nesterov, layers, dropout, epochs):
    """Train a model."""
    for epoch in range(epochs):
        loss = (
            abs(learning_rate - 0.01)
            + dropout
            + 1 / sum(layers)
            + 1 / (epoch + 1)
            + batch_size / 1e4
        )
        click.echo(f"Epoch {epoch + 1}/{epochs}: val_loss={loss:.5f}")


if __name__ == "__main__":
    main()
