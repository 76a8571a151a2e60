"""A script whose parser is in another module."""

from options import TrainOptions

args = TrainOptions().parse()
error = abs(args.lr - 0.1) + args.weight_decay + 1 / args.n_layers
print("validation error: {:.4f}".format(error))
