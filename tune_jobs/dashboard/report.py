"""A report of studies as one HTML file that needs neither a network nor a server.

Text and tables are plain HTML; a copy of Plotly in the file draws the figures. Its size hardly
depends on the number of trials: figures are thinned, and the table has the best trials only.
"""

from __future__ import annotations

import html
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tune_jobs.core.best_trials import Standing
from tune_jobs.core.formatting import duration
from tune_jobs.core.no_best import describe_standing
from tune_jobs.core.strict_json import encode_json
from tune_jobs.dashboard.comparing import compare, comparison_figures
from tune_jobs.dashboard.drawing import Figure, finite
from tune_jobs.dashboard.figures import FIGURES, figure_names, timeline_info
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.plotly_bundle import plotly_js
from tune_jobs.dashboard.views import bounded, count_excluded
from tune_jobs.errors import ConfigError
from tune_jobs.runtime.private_files import open_private

TOP = 20
"""Trials in the table of best trials."""

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#16202e;max-width:1000px;margin:32px auto;
padding:0 16px}
h1,h2{overflow-wrap:anywhere}
h1{font-size:26px;margin-bottom:4px}h2{margin-top:40px;border-bottom:1px solid #dfe4ea}
table{border-collapse:collapse;margin:12px 0;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:5px 12px 5px 0;border-bottom:1px solid #dfe4ea;vertical-align:top;
overflow-wrap:anywhere}th{color:#526070;font-weight:600}
.soft{color:#526070}.note{border-left:4px solid #1d4ed8;background:#eef3fd;padding:8px 12px}
.figure{height:340px;margin:8px 0 20px}.scroll{overflow-x:auto}
@media print{.figure{break-inside:avoid}}
"""
_DRAW = """
for (const node of document.querySelectorAll('.figure')) {
  const figure = JSON.parse(document.getElementById(node.id + '-data').textContent);
  Plotly.newPlot(node, figure.data, figure.layout, {displaylogo: false, responsive: true});
}
"""


def report_html(studies: Sequence[Study], now: float | None = None) -> str:
    """Return the document.

    Args:
        studies: Studies to report; several are also compared, if they can be.
        now: Seconds since the epoch; None for the current time.

    Raises:
        MissingPackage: If Plotly is not installed.
    """
    now = time.time() if now is None else now
    parts: list[str] = []
    figures: dict[str, tuple[str, Figure]] = {}
    names = ", ".join(bounded(s.name) for s in studies)
    date = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts.append(f"<h1>{_escape(names)}</h1><p class='soft'>Tuned with tune_jobs. {date}</p>")
    comparable = all(s.single for s in studies) and len({s.maximize for s in studies}) == 1
    if len(studies) > 1 and comparable:
        parts += _comparison(studies, figures)
    for number, study in enumerate(studies):
        parts += _study(study, number, now, figures)
    data = "".join(
        f"<script type='application/json' id='{name}-data'>{_json(figure)}</script>"
        for name, (_, figure) in figures.items()
    )
    plotly = plotly_js().decode().replace("</script", "<\\/script")
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{_escape(names)}</title><style>{_STYLE}</style></head><body><main>"
        f"{''.join(parts)}</main>{data}<script>{plotly}</script><script>{_DRAW}</script></body></html>"
    )


def write_report(studies: Sequence[Study], path: Path) -> Path:
    """Write the document; return its path.

    Raises:
        ConfigError: If it cannot be written.
        MissingPackage: If Plotly is not installed.
    """
    document = report_html(studies)
    try:
        with open(path, "w", encoding="utf-8", opener=open_private) as file:
            file.write(document)
    except OSError as error:
        raise ConfigError(f"the report {path} cannot be written: {error.strerror}") from error
    return path


def _escape(value: object) -> str:
    return html.escape(bounded(value))


def _json(figure: Figure) -> str:
    """Return JSON that cannot close the HTML element that contains it."""
    text = encode_json(finite(figure), default=str)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table; without a head, the first cell of each row is its heading."""
    heading = "".join(f"<th scope='col'>{_escape(h)}</th>" for h in head)
    body = ""
    for first, *rest in rows:
        label = _escape(_format(first))
        cells = f"<td>{label}</td>" if head else f"<th scope='row'>{label}</th>"
        cells += "".join(f"<td>{_escape(_format(cell))}</td>" for cell in rest)
        body += f"<tr>{cells}</tr>"
    table = f"<table><thead><tr>{heading}</tr></thead>" if head else "<table>"
    return f"<div class='scroll' tabindex='0'>{table}<tbody>{body}</tbody></table></div>"


def _format(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value


def _figure(key: str, title: str, figure: Figure, figures: dict[str, tuple[str, Figure]]) -> str:
    """Return the element of a figure, and add the figure to ``figures``."""
    figures[key] = (title, figure)
    label = _escape(title)
    node = f"<div class='figure' id='{key}' role='figure' aria-label='{label}'></div>"
    return f"<h3>{label}</h3>{node}"


def _comparison(studies: Sequence[Study], figures: dict[str, tuple[str, Figure]]) -> list[str]:
    result = compare(studies)
    parts = ["<h2>Comparison</h2>", f"<p class='note'>{_escape(result.statement)}</p>"]
    parts += [f"<p class='note'>{_escape(w)}</p>" for w in result.without_best]
    parts += [f"<p class='note'>{_escape(w)}</p>" for w in result.warnings]
    head = ["study", "trial", "value", "trials", "run time", "cost", *result.differing]
    parts.append(
        _table(
            head,
            [
                [
                    w.study,
                    w.trial,
                    w.value,
                    w.trials,
                    duration(w.run_hours * 3600),
                    w.money or "–",
                    *(w.params.get(name, "(none)") for name in result.differing),
                ]
                for w in result.winners
            ],
        )
    )
    for name, (title, figure) in comparison_figures(studies).items():
        parts.append(_figure(f"compare-{name}", title, figure, figures))
    return parts


def _study(
    study: Study, number: int, now: float, figures: dict[str, tuple[str, Figure]]
) -> list[str]:
    parts = [f"<h2>{_escape(study.name)}</h2>", _table([], _summary(study, now))]
    space = study.definition.get("space")
    if space:
        parts += ["<h3>Search space</h3>", _space(space)]
    for name in figure_names(study):
        title, draw = FIGURES[name]
        parts.append(_figure(f"study{number}-{name}", title, draw(study, now), figures))
    parts += [f"<h3>Best trials (at most {TOP})</h3>", _best(study)]
    parts += ["<h3>Provenance</h3>", _table([], _provenance(study))]
    return parts


def _summary(study: Study, now: float) -> list[tuple[str, object]]:
    counts = study.counts()
    timeline = timeline_info(study.runs, study.known_until(now))
    best = study.best()
    rows: list[tuple[str, object]] = [
        (
            "objective",
            ", ".join(
                f"{'maximize' if up else 'minimize'} {metric}"
                for metric, up in zip(study.metrics, study.maximize, strict=True)
            ),
        ),
        ("trials", ", ".join(f"{n} {state.lower()}" for state, n in counts.items() if n)),
        ("run time", duration(sum(r.seconds or 0.0 for r in study.runs))),
    ]
    cost = sum(t.cost for t in study.trials)
    if cost:
        rows.append(("cost", f"{cost:.4g}"))
    if timeline.slots:
        rows.append(
            (
                "slots",
                f"{timeline.slots}; {timeline.utilization:.0%} of the time running, "
                f"{timeline.provisioning:.0%} provisioning",
            )
        )
    if best is not None:
        params = ", ".join(f"{k}={_format(v)}" for k, v in best.params.items())
        rows.append(("best", f"{best.values[0]:.6g}, trial {best.number}: {params}"))
    elif no_best := study.no_best():
        rows.append(("best", f"none: {no_best}"))
    else:
        rows.append(("Pareto front", f"{len(study.front())} trials"))
    if excluded := count_excluded(study):
        counted = ", ".join(f"{n} {name}" for name, n in excluded.items())
        rows.append(("excluded", counted))
    for run in study.runs:
        if run.is_final:
            rows.append((run.name, f"trial {run.trial}, {run.state.lower()}"))
    return rows


def _space(space: Any) -> str:
    if isinstance(space, Mapping):
        return _table(["parameter", "values"], [(k, str(v)) for k, v in space.items()])
    return f"<pre>{html.escape(str(space)[:5000])}</pre>"


def _best(study: Study) -> str:
    """Return a table of the best trials, followed by the nearest of the infeasible ones."""
    best = (_rank(study) + _rank_infeasible(study))[:TOP]
    names = list(dict.fromkeys(name for t in best for name in t.params))[:20]
    notes = {t.number: describe_standing(t.result) for t in best}
    noted = ["note"] if any(notes.values()) else []
    rows = [
        [
            t.number,
            *t.values,
            *(notes[t.number] for _ in noted),
            duration(t.run_hours * 3600),
            *(t.params.get(n, "–") for n in names),
        ]
        for t in best
    ]
    return _table(["trial", *study.metrics, *noted, "run time", *names], rows)


def _rank(study: Study) -> list[Trial]:
    """Return the trials that can be the best, or the Pareto front, the best first."""
    if not study.single:
        return study.front()
    sign = -1.0 if study.maximize[0] else 1.0
    return sorted(study.candidates(), key=lambda t: sign * t.values[0])


def _rank_infeasible(study: Study) -> list[Trial]:
    infeasible = study.complete_by_standing()[Standing.INFEASIBLE]
    return sorted(infeasible, key=lambda t: t.result.violation)


def _provenance(study: Study) -> list[tuple[str, object]]:
    run = study.definition.get("run", {})
    rows: list[tuple[str, object]] = [("study", f"{study.name}, uid {study.uid}")]
    rows += [(str(k).replace("_", " "), str(v)) for k, v in run.items()]
    if study.store:
        rows.append(("metric store", study.store))
    return rows
