"""The configuration."""

import ml_collections


def get_config():
    config = ml_collections.ConfigDict()
    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.learning_rate = 3e-4
    config.batch_size = 2 * 64
    config.steps = 100
    return config
