"""The command that simulates a recorded study with other settings: replay."""

from __future__ import annotations

import argparse
import dataclasses

from tune_jobs.cli.commands import Commands, open_tuner
from tune_jobs.cli.output import print_result
from tune_jobs.config.study_config import StudyConfig, parse_promotion, parse_pruner


def add_replay_command(commands: Commands) -> None:
    """Add the command of this module."""
    replay = commands.add_for_study(
        "replay", _replay, "simulate the recorded study with another pruner, promotion or slots"
    )
    replay.add_argument(
        "--pruner", help="name of a pruner, or YAML such as '{name: bandit, slack_factor: 1}'"
    )
    replay.add_argument("--max-parallel", type=int, help="number of concurrent job runs")
    replay.add_argument("--promotion", help="YAML such as '{argument: epochs, minimum: 1, ...}'")
    replay.add_argument(
        "--provisioning",
        type=float,
        help="seconds until a run starts (default: the median of the recorded runs)",
    )


def _replay(options: argparse.Namespace, config: StudyConfig) -> int:
    from tune_jobs.replaying import replay

    result = replay(
        open_tuner(options, config),
        pruner=parse_pruner(options.pruner) if options.pruner else None,
        max_parallel=options.max_parallel,
        promotion=parse_promotion(options.promotion) if options.promotion else None,
        provisioning=options.provisioning,
    )
    print_result(options, dataclasses.asdict(result), str(result))
    return 0
