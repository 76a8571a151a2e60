"""A group of click with shared options."""

import click


def common(function):
    for option in reversed(
        [
            click.option("--depth", type=int, default=3),
            click.option("--seed", type=int, default=0),
        ]
    ):
        function = option(function)
    return function


@click.group()
@click.option("--momentum", type=float, default=0.9)
@click.pass_context
def cli(context, momentum):
    """Train and predict."""
    context.obj = momentum


@cli.command("predict")
@common
def predict(depth, seed):
    """Predict something."""
    click.echo(f"predicted with {depth}")


@cli.command("fit")
@common
@click.option("--eta", type=float, default=0.1)
@click.pass_obj
def fit(momentum, depth, seed, eta):
    """Fit a model."""
    print({"rmse": abs(eta - 0.2) + 1 / depth + momentum, "depth": depth})


if __name__ == "__main__":
    cli()
