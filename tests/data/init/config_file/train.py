"""A script whose settings are in a file that an argument names."""

import argparse
import yaml

parser = argparse.ArgumentParser()
parser.add_argument("--config", default="settings/base.yaml")
parser.add_argument("--gpu", type=int, default=0)
args = parser.parse_args()
with open(args.config) as file:
    config = yaml.safe_load(file)
for epoch in range(config["training"]["epochs"]):
    error = abs(config["training"]["lr"] - 0.2) + 1 / config["model"]["depth"]
    print(f"epoch {epoch}: mae={error:.4f} ({config['name']})")
