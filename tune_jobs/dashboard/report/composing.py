"""Compose a report: read what studies say, and choose its figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from tune_jobs.core.formatting import duration
from tune_jobs.dashboard.comparable import choose_shared
from tune_jobs.dashboard.comparing import compare
from tune_jobs.dashboard.comparison_figures import comparison_figures
from tune_jobs.dashboard.drawing import MANY_POINTS
from tune_jobs.dashboard.figures import draw_printed, figure_names, without_webgl
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.parallel_lines import MANY_LINES
from tune_jobs.dashboard.report import findings, phrases, tables
from tune_jobs.dashboard.report.content import (
    Answer,
    Drawing,
    Highlight,
    Overview,
    Report,
    StudyReport,
)
from tune_jobs.dashboard.report.progress import (
    HOUR,
    Progress,
    Spending,
    measure_progress,
    measure_spending,
)
from tune_jobs.dashboard.report.suggestions import suggest_next_steps
from tune_jobs.errors import ComparisonError

CHOSEN: Mapping[str, bool] = {
    "history": False,
    "hypervolume": False,
    "front": False,
    "importance": False,
    "curves": False,
    "rungs": False,
    "constraints": False,
    "distribution": False,
    "cost": False,
    "slice": True,
    "parallel": True,
    "timeline": True,
}
"""Figures of a study that a report shows, and whether they need the whole width.

None of them needs WebGL, which neither paper nor every browser has.
"""

COLOR_NOTES: Mapping[str, str] = {
    "slice": "Color: from the first trial (dark) to the last one (light).",
    "parallel": "Each line is a trial that can be the best; the thick one is the best.",
}

BRIEF = ("history", "front", "importance", "curves", "slice", "parallel")
"""The ones that a report of several studies shows of each."""

COMPARED: Mapping[str, bool] = {
    "race-trials": False,
    "race-time": False,
    "race-hours": False,
    "race-money": False,
    "distribution": False,
    "importances": False,
}


def compose_report(
    studies: Sequence[Study], now: float | None = None, *, with_figures: bool = True
) -> Report:
    """Return what the report of studies says.

    Args:
        studies: Studies to report; several are also compared, if they can be.
        now: Seconds since the epoch; None for the current time.
        with_figures: Whether figures are drawn, which takes most of the time.
    """
    now = time.time() if now is None else now
    several = len(studies) > 1
    chosen = (BRIEF if several else tuple(CHOSEN)) if with_figures else ()
    names = phrases.enumerate_words([phrases.name(s.name) for s in studies], 4)
    return Report(
        title=names or "No studies",
        made=phrases.moment(now),
        overview=_compose_overview(studies, now, with_figures) if several else None,
        studies=tuple(
            _compose_study(study, f"study{i}", now, chosen, brief=several)
            for i, study in enumerate(studies)
        ),
    )


def _compose_study(
    study: Study, key: str, now: float, figures: Sequence[str], *, brief: bool
) -> StudyReport:
    progress, spending = measure_progress(study), measure_spending(study, now)
    answers = {
        "What was tuned": findings.describe_tuned(study, progress, spending),
        "What won": findings.describe_winner(study),
        "Is the lead more than noise?": findings.describe_noise(study),
        "What it cost": findings.describe_cost(study, progress, spending),
    }
    made = (
        tables.make_best_table(study),
        tables.make_failure_table(study),
        None if brief else tables.make_cost_table(study, now),
        tables.make_space_table(study),
    )
    return StudyReport(
        name=phrases.name(study.name),
        status=str(progress),
        is_interim=progress.is_interim,
        highlights=tuple(_list_highlights(study, progress, spending)),
        answers=tuple(
            Answer(title, tuple(sentences)) for title, sentences in answers.items() if sentences
        ),
        next_steps=tuple(suggest_next_steps(study)),
        drawings=tuple(_draw_study(study, key, now, figures)),
        tables=tuple(table for table in made if table is not None),
        provenance=tables.make_provenance(study),
    )


def _list_highlights(study: Study, progress: Progress, spending: Spending) -> list[Highlight]:
    best, front = study.best(), study.front()
    if best is not None:
        label = f"best {phrases.name(study.metrics[0])}"
        first = Highlight(label, phrases.value(best.values[0]), f"trial {best.number}")
    elif front:
        first = Highlight("Pareto front", phrases.count(len(front), "trial"))
    else:
        no_best = study.no_best()
        first = Highlight("best", "none", no_best.summary if no_best else "")
    found = [first, Highlight(f"{progress.noun}s finished", progress.amount.rpartition(" ")[0])]
    if spending.hours is not None:
        found.append(Highlight("elapsed", duration(spending.hours * HOUR)))
    saved = duration(spending.saved_hours * HOUR)
    detail = f"{saved} saved by stopping early" if spending.saved_hours else ""
    found.append(Highlight("run time", duration(spending.run_hours * HOUR), detail))
    if spending.money:
        found.append(Highlight("cost", f"{spending.money:.4g}", "of its trials"))
    return found


def _draw_study(study: Study, key: str, now: float, chosen: Sequence[str]) -> list[Drawing]:
    """Return the chosen figures that are offered, of each objective, with what they show."""
    offered = figure_names(study)
    return [
        Drawing(
            f"{key}-{printed.key}", printed.title, printed.figure, CHOSEN[name], _note(study, name)
        )
        for name in chosen
        if name in offered
        for printed in draw_printed(study, name, now)
    ]


def _note(study: Study, name: str) -> str:
    """Return a line below a figure: what its colors mean, and whether it shows a sample."""
    shown = {"slice": MANY_POINTS, "parallel": MANY_LINES}.get(name)
    found = len(study.complete() if name == "slice" else study.candidates())
    parts = [COLOR_NOTES[name]] if name in COLOR_NOTES else []
    if shown is not None and found > shown:
        parts.append(f"A sample of {shown:,} of {found:,} trials.")
    return " ".join(parts)


def _compose_overview(studies: Sequence[Study], now: float, with_figures: bool) -> Overview:
    all_studies = tables.make_studies_table(studies, now)
    try:
        comparable = choose_shared(studies)
    except ComparisonError:
        each = "different" if any(study.single for study in studies) else "several"
        reason = f"The studies have {each} objectives: no winner among them is named."
        return Overview((reason,), (), (all_studies,), ())
    kept = comparable.studies
    result = compare(kept)
    winners = tables.make_winners_table(result)
    offered = comparison_figures(kept) if with_figures else {}
    drawings = (
        Drawing(f"compare-{name}", offered[name][0], without_webgl(offered[name][1]), wide)
        for name, wide in COMPARED.items()
        if name in offered
    )
    among = (
        f"Of the {len(kept)} studies that {findings.describe_objectives(kept[0])}, the"
        if len(kept) < len(studies)
        else "The"
    )
    sentences = [
        f"{among} best is {phrases.name(w.study)} with {phrases.name(kept[0].metrics[0])} = "
        f"{phrases.value(w.value)} (trial {w.trial})."
        for w in result.winners[:1]
    ]
    statement = phrases.sentence(result.statement)
    return Overview(
        sentences=(*sentences, f"{statement[:1].upper()}{statement[1:]}."),
        warnings=tuple(
            map(phrases.sentence, [*result.without_best, *result.warnings, *comparable.notes])
        ),
        tables=(all_studies, *([winners] if winners else [])),
        drawings=tuple(drawings),
    )
