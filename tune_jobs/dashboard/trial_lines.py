"""A trial's view as lines of text, for terminals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tune_jobs.core.formatting import duration


def describe_trial(view: Mapping[str, Any]) -> list[str]:
    """Return what `trial_view` says of a trial beside its attempts."""
    beside = view["beside"]
    lines = [f"  {view['explanation']['text']}"]
    lines += [_describe_link(link) for link in (*view["origin"], *view["descendants"])]
    for param in view["params"]:
        other = f"  (trial {beside}: {param['beside']})" if param["differs"] else ""
        value = "none" if param["value"] is None else param["value"]
        lines.append(f"  {param['name']} = {value}{other}")
    lines += [f"  {each['name']} = {each['value']}  (argument)" for each in view["arguments"]]
    for each in view["constraints"]:
        state = f"violated by {each['by']}" if each["violated"] else "satisfied"
        lines.append(f"  {each['text']}: {state}")
    known = [each for each in view["metrics"] if each["value"] is not None]
    lines += [f"  last {each['name']}: {each['value']}" for each in known]
    if view["cost"]:
        hours = duration(3600.0 * view["run_hours"])
        lines.append(f"  cost {view['cost']:.4g} for {hours} of run time")
    command = view["command"] or {}
    lines += [
        f"  {each['name']} is a secret: {each['reference']}" for each in command.get("secrets", ())
    ]
    return lines


def _describe_link(link: Mapping[str, Any]) -> str:
    about = link["trial"] if link["final"] is None else link["final"]
    return f"  {link['text']}{'' if about is None else f' {about}'}"
