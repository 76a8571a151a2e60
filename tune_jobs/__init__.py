"""Hyperparameter tuning with Optuna where every trial is a job run.

The names below are imported when they are first used: ``import tune_jobs`` inside a training
script, for `report`, costs nothing but the standard library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_jobs.argument_styles import ConfigField as ConfigField
    from tune_jobs.argument_styles import ConfigFile as ConfigFile
    from tune_jobs.argument_styles import Environment as Environment
    from tune_jobs.argument_styles import Hydra as Hydra
    from tune_jobs.argument_styles import JsonField as JsonField
    from tune_jobs.argument_styles import KeyValue as KeyValue
    from tune_jobs.argument_styles import Omit as Omit
    from tune_jobs.argument_styles import Option as Option
    from tune_jobs.argument_styles import Positional as Positional
    from tune_jobs.argument_styles import Switch as Switch
    from tune_jobs.backends.data_science.backend import DataScienceBackend as DataScienceBackend
    from tune_jobs.backends.data_science.definition import Infrastructure as Infrastructure
    from tune_jobs.backends.local import LocalBackend as LocalBackend
    from tune_jobs.backends.simulated import Course as Course
    from tune_jobs.backends.simulated import Report as Report
    from tune_jobs.backends.simulated import SimulatedBackend as SimulatedBackend
    from tune_jobs.backends.simulated import SimulatedRun as SimulatedRun
    from tune_jobs.command_line import CommandLine as CommandLine
    from tune_jobs.costs import Costs as Costs
    from tune_jobs.entry_point import EntryPoint as EntryPoint
    from tune_jobs.errors import TuneJobsError as TuneJobsError
    from tune_jobs.final import FinalRun as FinalRun
    from tune_jobs.looking import compare as compare
    from tune_jobs.looking import write_report as write_report
    from tune_jobs.metrics.objective import Metric as Metric
    from tune_jobs.metrics.report import checkpoint_dir as checkpoint_dir
    from tune_jobs.metrics.report import outputs_dir as outputs_dir
    from tune_jobs.metrics.report import report as report
    from tune_jobs.metrics.report import resume_dir as resume_dir
    from tune_jobs.oci_connection import Connection as Connection
    from tune_jobs.opening import load_study as load_study
    from tune_jobs.promotion import Promotion as Promotion
    from tune_jobs.pruners import BanditPruner as BanditPruner
    from tune_jobs.pruners import MedianStoppingPruner as MedianStoppingPruner
    from tune_jobs.pruners import TruncationPruner as TruncationPruner
    from tune_jobs.replaying import replay as replay
    from tune_jobs.tuner import Tuner as Tuner

_HOME = {
    "BanditPruner": "pruners",
    "CommandLine": "command_line",
    "ConfigField": "argument_styles",
    "ConfigFile": "argument_styles",
    "Connection": "oci_connection",
    "Costs": "costs",
    "Course": "backends.simulated",
    "DataScienceBackend": "backends.data_science.backend",
    "EntryPoint": "entry_point",
    "Environment": "argument_styles",
    "FinalRun": "final",
    "Hydra": "argument_styles",
    "Infrastructure": "backends.data_science.definition",
    "JsonField": "argument_styles",
    "KeyValue": "argument_styles",
    "LocalBackend": "backends.local",
    "MedianStoppingPruner": "pruners",
    "Metric": "metrics.objective",
    "Omit": "argument_styles",
    "Option": "argument_styles",
    "Positional": "argument_styles",
    "Promotion": "promotion",
    "Report": "backends.simulated",
    "SimulatedBackend": "backends.simulated",
    "SimulatedRun": "backends.simulated",
    "Switch": "argument_styles",
    "TruncationPruner": "pruners",
    "TuneJobsError": "errors",
    "Tuner": "tuner",
    "checkpoint_dir": "metrics.report",
    "compare": "looking",
    "load_study": "opening",
    "outputs_dir": "metrics.report",
    "replay": "replaying",
    "report": "metrics.report",
    "resume_dir": "metrics.report",
    "write_report": "looking",
}

__all__ = sorted(_HOME)  # pyright: ignore


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tune_jobs' has no attribute {name!r}")
    value = getattr(import_module(f"tune_jobs.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
