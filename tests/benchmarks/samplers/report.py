"""Tables of recorded studies.

A table has the median regret by sampler and task for one number of pending trials and evaluations.
<sup>+</sup> marks a sampler that is significantly worse than JobSampler on a task, <sup>-</sup> one
that is significantly better. The mean rank, over tasks and seeds, has a bootstrapped 95 % interval.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np
from scipy.stats import rankdata, wilcoxon

Row = Mapping[str, str]
Studies = dict[tuple[str, str], dict[int, float]]
"""Regrets by task and sampler, then by seed."""


def print_report(rows: Sequence[Row]) -> None:
    """Print the tables for each number of pending trials."""
    for pending in sorted({int(row["pending"]) for row in rows}):
        selected = [row for row in rows if int(row["pending"]) == pending]
        for after in (128, 256):
            _print_regrets(selected, pending, after)
        _print_costs(selected, pending)


def _group_regrets(rows: Sequence[Row], after: int) -> Studies:
    studies: Studies = defaultdict(dict)
    for row in rows:
        if row[f"regret_{after}"]:
            regret = float(row[f"regret_{after}"])
            studies[row["task"], row["sampler"]][int(row["seed"])] = regret
    return studies


def _print_regrets(rows: Sequence[Row], pending: int, after: int) -> None:
    studies = _group_regrets(rows, after)
    tasks = list(dict.fromkeys(task for task, _ in studies))
    samplers = list(dict.fromkeys(sampler for _, sampler in studies))
    print(f"\n### {pending} pending: median regret after {after} evaluations\n")
    print("| sampler | " + " | ".join(tasks) + " | mean rank (95 %) |")
    print("| --- |" + " ---: |" * (len(tasks) + 1))
    signs = _test_differences(studies, tasks, samplers)
    ranks = _rank(studies, tasks, samplers)
    for sampler in samplers:
        cells = [_format_cell(studies, signs, task, sampler) for task in tasks]
        print(f"| {sampler} | " + " | ".join(cells) + f" | {ranks.get(sampler, '')} |")


def _format_cell(
    studies: Studies, signs: Mapping[tuple[str, str], str], task: str, sampler: str
) -> str:
    values = studies.get((task, sampler))
    if not values:
        return ""
    return f"{median(values.values()):.3g}{signs.get((task, sampler), '')}"


def _test_differences(
    studies: Studies, tasks: Sequence[str], samplers: Sequence[str], ours: str = "JobSampler"
) -> dict[tuple[str, str], str]:
    """Return the signs of significant differences, by task and sampler: + where `ours` is better.

    Wilcoxon signed-rank tests, paired by seed, with Holm's correction over all comparisons of the
    table at 5 %.
    """
    comparisons = []
    for task in tasks:
        for other in samplers:
            a, b = studies.get((task, ours), {}), studies.get((task, other), {})
            seeds = sorted(a.keys() & b.keys())
            differences = np.array([b[seed] - a[seed] for seed in seeds])
            if other != ours and len(seeds) >= 5 and differences.any():
                comparisons.append(
                    (wilcoxon(differences).pvalue, float(np.median(differences)), task, other)
                )
    signs = {}
    for index, (p, difference, task, other) in enumerate(sorted(comparisons)):
        if p * (len(comparisons) - index) > 0.05:
            break
        signs[task, other] = "<sup>+</sup>" if difference > 0 else "<sup>-</sup>"
    return signs


def _rank(studies: Studies, tasks: Sequence[str], samplers: Sequence[str]) -> dict[str, str]:
    """Return mean ranks with bootstrapped intervals, of the samplers that have run all tasks."""
    complete = [s for s in samplers if all((task, s) in studies for task in tasks)]
    if len(complete) < 2:
        return {}
    by_task = []
    for task in tasks:
        seeds = set.intersection(*(set(studies[task, s]) for s in complete))
        table = [[studies[task, s][seed] for s in complete] for seed in sorted(seeds)]
        by_task.append(np.array([rankdata(line) for line in table]))
    mean = np.mean([ranks.mean(axis=0) for ranks in by_task], axis=0)
    rng = np.random.default_rng(0)
    bootstrap = [
        np.mean([r[rng.integers(len(r), size=len(r))].mean(axis=0) for r in by_task], axis=0)
        for _ in range(1000)
    ]
    low, high = np.quantile(bootstrap, [0.025, 0.975], axis=0)
    return {s: f"{mean[i]:.2f} ({low[i]:.2f} to {high[i]:.2f})" for i, s in enumerate(complete)}


def _print_costs(rows: Sequence[Row], pending: int) -> None:
    print(f"\n{pending} pending: mean CPU ms per suggestion; share of studies whose best is of the")
    print("best model class\n")
    print("| sampler | ms | classes | models |\n| --- | ---: | ---: | ---: |")
    for sampler in dict.fromkeys(row["sampler"] for row in rows):
        selected = [row for row in rows if row["sampler"] == sampler]
        cpu = np.mean([float(row["ask_ms"]) for row in selected])
        right = [
            f"{np.mean([float(r['right']) for r in selected if r['task'] == task] or [np.nan]):.2f}"
            for task in ("classes", "models")
        ]
        print(f"| {sampler} | {cpu:.1f} | " + " | ".join(right) + " |")
