"""Tables of what was recorded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np
from scipy.stats import rankdata, wilcoxon

Row = Mapping[str, str]
Studies = dict[tuple[str, str], dict[int, float]]
"""Regrets by task and sampler, then by seed."""


def report(rows: Sequence[Row]) -> None:
    """Print a table for each number of pending trials and each checkpoint of interest."""
    for pending in sorted({int(row["pending"]) for row in rows}):
        here = [row for row in rows if int(row["pending"]) == pending]
        for after in (128, 256):
            _table(here, pending, after)
        _costs(here, pending)


def _studies(rows: Sequence[Row], after: int) -> Studies:
    made: Studies = defaultdict(dict)
    for row in rows:
        if row[f"regret_{after}"]:
            made[row["task"], row["sampler"]][int(row["seed"])] = float(row[f"regret_{after}"])
    return made


def _table(rows: Sequence[Row], pending: int, after: int) -> None:
    studies = _studies(rows, after)
    tasks = list(dict.fromkeys(task for task, _ in studies))
    samplers = list(dict.fromkeys(sampler for _, sampler in studies))
    print(f"\n### {pending} pending: median regret after {after} evaluations\n")
    print("| sampler | " + " | ".join(tasks) + " | mean rank (95 %) |")
    print("| --- |" + " ---: |" * (len(tasks) + 1))
    signs = _signs(studies, tasks, samplers)
    ranks = _ranks(studies, tasks, samplers)
    for sampler in samplers:
        cells = [_cell(studies, signs, task, sampler) for task in tasks]
        print(f"| {sampler} | " + " | ".join(cells) + f" | {ranks.get(sampler, '')} |")


def _cell(studies: Studies, signs: Mapping[tuple[str, str], str], task: str, sampler: str) -> str:
    values = studies.get((task, sampler))
    if not values:
        return ""
    return f"{median(values.values()):.3g}{signs.get((task, sampler), '')}"


def _signs(
    studies: Studies, tasks: Sequence[str], samplers: Sequence[str], ours: str = "JobSampler"
) -> dict[tuple[str, str], str]:
    """Where `ours` is better (+) or worse (-) than another, by more than chance.

    Wilcoxon's signed ranks of the seeds' pairs; all comparisons of a table are corrected by Holm's
    method at 5 %.
    """
    found = []
    for task in tasks:
        for other in samplers:
            a, b = studies.get((task, ours), {}), studies.get((task, other), {})
            seeds = sorted(a.keys() & b.keys())
            gaps = np.array([b[seed] - a[seed] for seed in seeds])
            if other != ours and len(seeds) >= 5 and gaps.any():
                found.append((wilcoxon(gaps).pvalue, float(np.median(gaps)), task, other))
    signs = {}
    for index, (p, gap, task, other) in enumerate(sorted(found)):
        if p * (len(found) - index) > 0.05:
            break
        signs[task, other] = "<sup>+</sup>" if gap > 0 else "<sup>-</sup>"
    return signs


def _ranks(studies: Studies, tasks: Sequence[str], samplers: Sequence[str]) -> dict[str, str]:
    """The mean rank over tasks and seeds of those that have all, with a bootstrapped interval."""
    whole = [s for s in samplers if all((task, s) in studies for task in tasks)]
    if len(whole) < 2:
        return {}
    by_task = []
    for task in tasks:
        seeds = set.intersection(*(set(studies[task, s]) for s in whole))
        table = [[studies[task, s][seed] for s in whole] for seed in sorted(seeds)]
        by_task.append(np.array([rankdata(line) for line in table]))
    mean = np.mean([ranks.mean(axis=0) for ranks in by_task], axis=0)
    rng = np.random.default_rng(0)
    drawn = [
        np.mean([r[rng.integers(len(r), size=len(r))].mean(axis=0) for r in by_task], axis=0)
        for _ in range(1000)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return {s: f"{mean[i]:.2f} ({low[i]:.2f} to {high[i]:.2f})" for i, s in enumerate(whole)}


def _costs(rows: Sequence[Row], pending: int) -> None:
    print(f"\n{pending} pending: mean CPU ms per suggestion; share of studies whose best is of the")
    print("best model class\n")
    print("| sampler | ms | classes | models |\n| --- | ---: | ---: | ---: |")
    for sampler in dict.fromkeys(row["sampler"] for row in rows):
        here = [row for row in rows if row["sampler"] == sampler]
        spent = np.mean([float(row["ask_ms"]) for row in here])
        right = [
            f"{np.mean([float(r['right']) for r in here if r['task'] == task] or [np.nan]):.2f}"
            for task in ("classes", "models")
        ]
        print(f"| {sampler} | {spent:.1f} | " + " | ".join(right) + " |")
