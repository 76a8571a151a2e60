"""A script that takes --key=value apart itself."""

import sys

config = {"lr": 0.1, "units": 16, "epochs": 2}
for argument in sys.argv[1:]:
    key, value = argument.lstrip("-").split("=")
    config[key] = type(config[key])(value)
for epoch in range(config["epochs"]):
    print(f"epoch {epoch} val_loss {abs(config['lr'] - 0.2) + 1 / config['units']}")
