"""Variants and their seeds: mean and scatter of each, with one mark for each job."""

import math
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]

from moe2_pl.report._comparison._data import Comparison, JobRow, Variant, is_budget
from moe2_pl.report._comparison._panels import Section, bars, job_hover, queries_caution
from moe2_pl.report._format import score
from moe2_pl.report._panel import MOE2, Panel, figure, plain

__all__ = ["variant_sections"]

_MOST = 40
_FIGURES = {
    "validation_score": "Validation score: choose by this",
    "score": "Held-out score: report this",
}


def variant_sections(c: Comparison) -> list[Section]:
    """Mean and scatter of everything that varied but the seed; none where only budgets did, which are not ranked."""
    variants = c.variants()
    if len(c.with_deployment) < 2 or c.only_budgets or (c.seeds == 1 and not c.settings):
        return []
    by = "validation_score" if any(not math.isnan(v.validation_score) for v in variants) else "score"
    budget = [key for key in c.varied if is_budget(key)]
    under = list(dict.fromkeys(c.named(v.jobs[0], budget) for v in variants))

    def rank(v: Variant) -> tuple[int, float]:
        at = getattr(v, by)
        return under.index(c.named(v.jobs[0], budget)), math.inf if math.isnan(at) else -at

    variants.sort(key=rank)
    left_out = len(variants) - _MOST
    variants = variants[:_MOST]
    panels = []
    for name, title in _FIGURES.items():
        if any(not math.isnan(getattr(v, name)) for v in variants):
            caption = _caption(c, name, variants) + queries_caution(c)
            if left_out > 0:
                caption += f" The {left_out} last are only in the table."
            panels.append(Panel(f"variants-{name}", title, caption, _dots(c, name, variants)))
    return [Section("variants", "Variants: what each setting scores", tuple(panels))]


def _caption(c: Comparison, name: str, variants: list[Variant]) -> str:
    first = "Best first under each budget. " if c.budgets_varied else "Best first. "
    order = first if name == "validation_score" else "The same order. "
    if c.seeds > 1:
        return (
            f"{order}Small marks are jobs, one a seed; the large mark is their mean, the bar ± one standard deviation "
            "over the seeds. Variants whose bars overlap are not told apart."
        )
    if name == "score" and any(
        j.row and not math.isnan(j.row.score_half_width) for v in variants for j in v.jobs
    ):
        return (
            f"{order}One job each; the bar is the 95 % interval over held-out queries. How much the training seed "
            "matters is not known: add seed=0,1,2."
        )
    return f"{order}One job each, one seed."


def _dots(c: Comparison, name: str, variants: list[Variant]) -> go.Figure:
    jobs = [(y, job) for y, v in enumerate(variants) for job in v.jobs if not math.isnan(getattr(job, name))]
    single = c.seeds == 1
    traces: list[Any] = []
    if not single:
        traces.append(
            go.Scatter(
                x=[getattr(v, name) for v in variants],
                y=list(range(len(variants))),
                mode="markers",
                name="mean ± sd over seeds",
                marker={"color": MOE2.colour, "symbol": "diamond", "size": 13},
                error_x=bars([v.deviation(name) for v in variants], MOE2.colour),
                hovertext=[
                    f"<b>{plain(v.name)}</b><br>{score(getattr(v, name))} ± {score(v.deviation(name))}"
                    for v in variants
                ],
                hoverinfo="text",
            )
        )
    traces.append(
        go.Scatter(
            x=[getattr(job, name) for _, job in jobs],
            y=[y + (0 if single else 0.2) for y, _ in jobs],
            mode="markers",
            name="a job",
            marker={
                "color": MOE2.colour,
                "symbol": "circle" if single else "circle-open",
                "size": 11 if single else 8,
                "line": {"color": MOE2.colour, "width": 2},
            },
            error_x=bars([_half_width(job) for _, job in jobs], MOE2.colour)
            if single and name == "score"
            else None,
            hovertext=[job_hover(job, c) for _, job in jobs],
            hoverinfo="text",
        )
    )
    # Names stand above their line: beside it they would leave no room for the marks on a phone.
    names = [
        {
            "x": 0,
            "xref": "paper",
            "y": y,
            "text": f"<b>{plain(v.name)}</b>",
            "showarrow": False,
            "xanchor": "left",
            "yanchor": "bottom",
            "yshift": 5,
        }
        for y, v in enumerate(variants)
    ]
    return figure(
        traces,
        height=110 + 50 * len(variants),
        showlegend=not single,
        xaxis={"title": {"text": _FIGURES[name].split(":")[0].lower()}, "zeroline": False},
        yaxis={
            "range": [len(variants) - 0.5, -0.75],
            "tickvals": list(range(len(variants))),
            "showticklabels": False,
            "zeroline": False,
        },
        annotations=names,
    )


def _half_width(job: JobRow) -> float:
    return job.row.score_half_width if job.row else math.nan
