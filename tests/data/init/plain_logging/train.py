"""A script that logs its metric, but does not set up logging."""

import argparse
import logging

log = logging.getLogger("train")
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--level", default="info")
args = parser.parse_args()
log.info("val_loss: %.3f", args.lr)
print("val_error", args.lr)
