"""A script that reads sys.argv itself."""

import sys

lr = float(sys.argv[1])
hidden = int(sys.argv[2]) if len(sys.argv) > 2 else 16
print("test accuracy:", 1 - abs(lr - 0.01) - 1 / hidden)
