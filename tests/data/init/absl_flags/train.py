"""Flags of absl."""

from absl import app, flags, logging

FLAGS = flags.FLAGS
_LR = flags.DEFINE_float("learning_rate", 0.1, "Learning rate.", lower_bound=0.0)
flags.DEFINE_integer("batch_size", 128, "Batch size.", lower_bound=1)
flags.DEFINE_enum("optimizer", "sgd", ["sgd", "adam"], "Optimizer.")
flags.DEFINE_bool("augment", False, "Augment the data.")
flags.DEFINE_integer("num_epochs", 2, "Epochs.")
flags.DEFINE_string("workdir", None, "Where the model goes.")
flags.mark_flag_as_required("workdir")


def main(argv):
    for epoch in range(FLAGS.num_epochs):
        loss = abs(_LR.value - 0.3) + 1 / FLAGS.batch_size + 1 / (epoch + 1)
        logging.info("epoch: %d, train_loss: %.4f, test_loss: %.4f", epoch, loss / 2, loss)


if __name__ == "__main__":
    app.run(main)
