"""A script of transformers, which is not installed where the tests run."""

import logging
from dataclasses import dataclass, field
from typing import Optional

import transformers
from transformers import HfArgumentParser, Trainer, TrainingArguments

logger = logging.getLogger(__name__)


@dataclass
class ModelArguments:
    """Arguments of the model."""

    model_name_or_path: str = field(metadata={"help": "Path of a pretrained model"})
    hidden_dropout_prob: float = field(default=0.1, metadata={"help": "Dropout"})
    freeze_encoder: bool = field(default=False, metadata={"help": "Freeze the encoder"})
    cache_dir: Optional[str] = field(default=None, metadata={"help": "Where models are cached"})


def main():
    parser = HfArgumentParser((ModelArguments, TrainingArguments))
    model_args, training_args = parser.parse_args_into_dataclasses()
    model = transformers.AutoModel.from_pretrained(model_args.model_name_or_path)
    trainer = Trainer(model=model, args=training_args)
    trainer.train()
    logger.info("done")


if __name__ == "__main__":
    main()
