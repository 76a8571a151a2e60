"""A script of ml_collections, which is not installed where the tests run."""

from absl import app, flags
from ml_collections import config_flags

flags.DEFINE_string("workdir", None, "Where the model goes.", required=True)
config_flags.DEFINE_config_file("config", None, "Path of the configuration.")


def main(argv):
    config = flags.FLAGS.config
    print(f"step {config.steps} eval_accuracy: {config.optimizer.learning_rate}")


if __name__ == "__main__":
    app.run(main)
