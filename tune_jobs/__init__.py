"""Hyperparameter tuning with Optuna where every trial is a job run.

The names below are imported when they are first used: ``import tune_jobs`` inside a training
script, for `report`, costs nothing but the standard library.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_jobs.backends.data_science.backend import DataScienceBackend as DataScienceBackend
    from tune_jobs.backends.data_science.controller_job import ControllerJob as ControllerJob
    from tune_jobs.backends.data_science.definition import Infrastructure as Infrastructure
    from tune_jobs.backends.local.backend import LocalBackend as LocalBackend
    from tune_jobs.backends.simulated.backend import SimulatedBackend as SimulatedBackend
    from tune_jobs.backends.simulated.courses import Course as Course
    from tune_jobs.backends.simulated.courses import SimulatedReport as SimulatedReport
    from tune_jobs.backends.simulated.courses import SimulatedRun as SimulatedRun
    from tune_jobs.core.costs import Costs as Costs
    from tune_jobs.core.job_runs import RunPaths as RunPaths
    from tune_jobs.core.objectives import Metric as Metric
    from tune_jobs.core.promotion import Promotion as Promotion
    from tune_jobs.core.secret import Secret as Secret
    from tune_jobs.dashboard.api import compare as compare
    from tune_jobs.dashboard.api import write_report as write_report
    from tune_jobs.errors import TuneJobsError as TuneJobsError
    from tune_jobs.oci.connection import Connection as Connection
    from tune_jobs.pruners import BanditPruner as BanditPruner
    from tune_jobs.pruners import MedianStoppingPruner as MedianStoppingPruner
    from tune_jobs.pruners import TruncationPruner as TruncationPruner
    from tune_jobs.replaying import replay as replay
    from tune_jobs.runtime.report import checkpoint_dir as checkpoint_dir
    from tune_jobs.runtime.report import outputs_dir as outputs_dir
    from tune_jobs.runtime.report import report as report
    from tune_jobs.runtime.report import resume_dir as resume_dir
    from tune_jobs.script.command_line import CommandLine as CommandLine
    from tune_jobs.script.entry_point import EntryPoint as EntryPoint
    from tune_jobs.script.styles import ConfigField as ConfigField
    from tune_jobs.script.styles import ConfigFile as ConfigFile
    from tune_jobs.script.styles import Environment as Environment
    from tune_jobs.script.styles import Hydra as Hydra
    from tune_jobs.script.styles import JsonField as JsonField
    from tune_jobs.script.styles import KeyValue as KeyValue
    from tune_jobs.script.styles import Omit as Omit
    from tune_jobs.script.styles import Option as Option
    from tune_jobs.script.styles import Positional as Positional
    from tune_jobs.script.styles import Switch as Switch
    from tune_jobs.storage.bucket.opening import bucket_storage as bucket_storage
    from tune_jobs.storage.bulk_read import load_study as load_study
    from tune_jobs.tuner import Tuner as Tuner
    from tune_jobs.tuning.final_run import FinalRun as FinalRun

_HOME = {
    "BanditPruner": "pruners",
    "CommandLine": "script.command_line",
    "ConfigField": "script.styles",
    "ConfigFile": "script.styles",
    "Connection": "oci.connection",
    "ControllerJob": "backends.data_science.controller_job",
    "Costs": "core.costs",
    "Course": "backends.simulated.courses",
    "DataScienceBackend": "backends.data_science.backend",
    "EntryPoint": "script.entry_point",
    "Environment": "script.styles",
    "FinalRun": "tuning.final_run",
    "Hydra": "script.styles",
    "Infrastructure": "backends.data_science.definition",
    "JsonField": "script.styles",
    "KeyValue": "script.styles",
    "LocalBackend": "backends.local.backend",
    "MedianStoppingPruner": "pruners",
    "Metric": "core.objectives",
    "Omit": "script.styles",
    "Option": "script.styles",
    "Positional": "script.styles",
    "Promotion": "core.promotion",
    "RunPaths": "core.job_runs",
    "Secret": "core.secret",
    "SimulatedReport": "backends.simulated.courses",
    "SimulatedBackend": "backends.simulated.backend",
    "SimulatedRun": "backends.simulated.courses",
    "Switch": "script.styles",
    "TruncationPruner": "pruners",
    "TuneJobsError": "errors",
    "Tuner": "tuner",
    "bucket_storage": "storage.bucket.opening",
    "checkpoint_dir": "runtime.report",
    "compare": "dashboard.api",
    "load_study": "storage.bulk_read",
    "outputs_dir": "runtime.report",
    "replay": "replaying",
    "report": "runtime.report",
    "resume_dir": "runtime.report",
    "write_report": "dashboard.api",
}

__all__ = sorted(_HOME)  # pyright: ignore


_RENAMED = {"Report": "SimulatedReport"}
"""Old public names, which work for one release."""


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        message = f"tune_jobs.{name} is now tune_jobs.{_RENAMED[name]}"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        name = _RENAMED[name]
    if name not in _HOME:
        hint = import_module("tune_jobs.errors").suggest(name, __all__)
        raise AttributeError(f"module 'tune_jobs' has no attribute {name!r} {hint}".rstrip())
    value = getattr(import_module(f"tune_jobs.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
