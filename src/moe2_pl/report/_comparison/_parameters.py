"""A search for settings: validation score against each of them, and from trial to trial."""

import math
from itertools import accumulate
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]

from moe2_pl.report._comparison._data import Comparison, JobRow, number, shown
from moe2_pl.report._comparison._panels import Section, axis, job_hover
from moe2_pl.report._format import score
from moe2_pl.report._panel import INK, MOE2, QUIET, Panel, figure, plain

__all__ = ["parameter_sections"]

_FEW = 10  # jobs whose numbers have room beside each other
_LEAST = 3  # values of a number that make a curve rather than a comparison


def parameter_sections(c: Comparison) -> list[Section]:
    """Validation score by setting; none for sweeps over budgets, whose jobs are not ranked.

    Of a search all settings have a panel, of other sweeps numbers with three values or more.
    """
    jobs = [job for job in c.with_deployment if not math.isnan(job.validation_score)]
    if len(jobs) < 2 or (c.budgets_varied and not c.search):
        return []
    best = max(jobs, key=lambda job: job.validation_score)
    asked = {key: [number(job.asked.get(key, "")) for job in jobs] for key in c.settings}
    drawn = [
        key
        for key, values in asked.items()
        if c.search or (not any(map(math.isnan, values)) and len(set(values)) >= _LEAST)
    ]
    panels = [_trials(c, jobs, best)] if c.search else []
    panels += [_against(c, i, key, jobs, best) for i, key in enumerate(drawn)]
    title = (
        "Search: validation score by trial and by setting"
        if c.search
        else "Settings: validation score by number"
    )
    return [Section("search", title, tuple(panels))] if panels else []


def _trials(c: Comparison, jobs: list[JobRow], best: JobRow) -> Panel:
    x = [number(job.job) if not math.isnan(number(job.job)) else i for i, job in enumerate(jobs)]
    so_far = list(accumulate((job.validation_score for job in jobs), max))
    last_gain = max(i for i in range(len(jobs)) if i == 0 or so_far[i] > so_far[i - 1])
    missing = len(c.jobs) - len(jobs)
    caption = (
        f"The line is the best so far: {score(so_far[0])} after the first trial, {score(so_far[-1])} from job "
        f"{jobs[last_gain].job} on. If it still rises at the end, more trials may pay."
        + (f" {missing} of {len(c.jobs)} trials have no score." if missing else "")
    )
    line = go.Scatter(
        x=x,
        y=so_far,
        mode="lines",
        name="best so far",
        line={"color": QUIET, "width": 2, "shape": "hv"},
        hoverinfo="skip",
    )
    xaxis: dict[str, Any] = {"title": {"text": "job"}, "zeroline": False}
    if max(x) - min(x) <= _FEW:
        # Plotly would put ticks between the numbers; of more it chooses whole ones itself.
        xaxis["dtick"] = 1
    drawn = _figure([line, *_marks(c, x, jobs, best)], xaxis)
    return Panel("search-trials", "Over trials", caption, drawn)


def _against(c: Comparison, i: int, key: str, jobs: list[JobRow], best: JobRow) -> Panel:
    values = [number(job.asked.get(key, "")) for job in jobs]
    if any(map(math.isnan, values)):
        x: list[Any] = [plain(job.asked.get(key, "")) for job in jobs]
        layout: dict[str, Any] = {"title": {"text": plain(key)}, "type": "category"}
    else:
        x, layout = values, axis(plain(key), values)
        if len(set(values)) <= 6:
            layout |= {
                "tickvals": sorted(set(values)),
                "ticktext": [f"{value:g}" for value in sorted(set(values))],
            }
    caption = f"The best (star) has {shown(best.asked.get(key, ''))}. {_trend(values, jobs)}"
    return Panel(f"search-{i}", c.short[key], caption.strip(), _figure(_marks(c, x, jobs, best), layout))


def _trend(values: list[float], jobs: list[JobRow]) -> str:
    """Where along a number the better half of the jobs lies."""
    if any(map(math.isnan, values)) or len(jobs) < 4:
        return "Marks that lie high show values that work."
    ranked = [
        v for v, _ in sorted(zip(values, jobs, strict=True), key=lambda pair: -pair[1].validation_score)
    ]
    half = sorted(ranked[: len(ranked) // 2])
    return f"The better half of the jobs lies between {half[0]:.3g} and {half[-1]:.3g}."


def _marks(c: Comparison, x: list[Any], jobs: list[JobRow], best: JobRow) -> list[go.Scatter]:
    at = jobs.index(best)
    return [
        go.Scatter(
            x=x,
            y=[job.validation_score for job in jobs],
            mode="markers",
            name="a job",
            marker={"color": MOE2.colour, "symbol": "circle", "size": 9, "opacity": 0.8},
            hovertext=[job_hover(job, c) for job in jobs],
            hoverinfo="text",
        ),
        go.Scatter(
            x=[x[at]],
            y=[best.validation_score],
            mode="markers",
            name="best",
            marker={"symbol": "star", "size": 16, "color": "#f0c33c", "line": {"color": INK, "width": 1.5}},
            hovertext=[job_hover(best, c)],
            hoverinfo="text",
        ),
    ]


def _figure(traces: list[go.Scatter], xaxis: dict[str, Any]) -> go.Figure:
    return figure(
        traces,
        height=320,
        xaxis=xaxis,
        yaxis={"title": {"text": "validation score"}, "zeroline": False},
        showlegend=False,
    )
