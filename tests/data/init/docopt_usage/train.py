"""Train a model.

Usage:
  train.py [options]

Options:
  -h --help               Show this.
  --lr=<x>                Learning rate [default: 0.1].
  -b N --batch-size=N     Batch size [default: 32].
  --nesterov              Use Nesterov's momentum.
  --epochs=<n>            Epochs [default: 2].
"""

from docopt import docopt

arguments = docopt(__doc__)
lr, size = float(arguments["--lr"]), int(arguments["--batch-size"])
print("accuracy =", 1 - abs(lr - 0.2) - 1 / size + arguments["--nesterov"] / 100)
