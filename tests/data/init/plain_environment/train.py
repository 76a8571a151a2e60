"""A script that reads environment variables."""

import os

LR = float(os.environ.get("LR", "0.01"))
BATCH_SIZE = int(os.getenv("BATCH_SIZE", 32))
AUGMENT = os.environ.get("AUGMENT", "0") == "1"
RANK = int(os.environ.get("RANK", 0))
print(f"val_loss: {abs(LR - 0.02) + 1 / BATCH_SIZE - AUGMENT / 100}")
