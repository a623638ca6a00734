"""Experts × budgets: which experts each budget of a sweep deploys."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]

from moe2_pl.report._comparison._data import Comparison, JobRow
from moe2_pl.report._comparison._panels import job_hover
from moe2_pl.report._data import FrontierRow
from moe2_pl.report._format import limit
from moe2_pl.report._panel import MOE2, QUIET, Panel, figure, plain

__all__ = ["experts_panel"]

_FEW = 12  # columns whose labels fit on a phone


@dataclass(frozen=True)
class _Column:
    """One budget: its job, and the row of what that deploys."""

    job: JobRow
    row: FrontierRow


def experts_panel(c: Comparison) -> Panel:
    """A column for each budget, a row for each expert that some budget deploys."""
    placed = [_Column(job, job.chosen) for job in c.jobs if job.chosen is not None]
    rows = [column.row for column in placed if column.row.feasible]
    count = {name: sum(name in row.experts for row in rows) for row in rows for name in row.experts}
    experts = sorted(count, key=lambda name: (count[name], name))
    always = [name for name in experts if count[name] == len(rows)]
    column = "a budget and a seed" if c.seeds > 1 else "a budget"
    caption = (
        f"Each column is {column}; a filled cell is an expert that the deployment loads. Columns are grouped by "
        "latency limit, and the energy limit grows from left to right in each group. In all of them: "
        f"{', '.join(always) or 'none'}. Experts that no budget deploys have no row."
    )
    if len(rows) < len(placed):
        caption += " ✕ marks budgets that no subset meets."
    return Panel(
        "experts", "Experts: which each budget deploys", caption, _matrix(c, experts, _groups(placed))
    )


def _groups(columns: Iterable[_Column]) -> list[list[_Column]]:
    """Columns by ascending latency limit, and by ascending energy limit in each group."""
    groups: dict[float, list[_Column]] = {}
    for column in sorted(columns, key=lambda column: _order(column.row.energy_budget_j)):
        groups.setdefault(_order(column.row.latency_budget_s), []).append(column)
    return [groups[at] for at in sorted(groups)]


def _order(value: float) -> float:
    """A limit to sort by: those that differ between categories come first."""
    return -1.0 if math.isnan(value) else value


def _matrix(c: Comparison, experts: list[str], groups: list[list[_Column]]) -> go.Figure:
    # A column without cells parts two groups.
    columns = [column for group in groups for column in (*group, None)][:-1]
    names = [plain(name) for name in experts]
    traces: list[Any] = [
        go.Heatmap(
            x=list(range(len(columns))),
            y=names,
            z=[
                [1 if column and name in column.row.experts else None for column in columns]
                for name in experts
            ],
            hovertext=[
                [f"{name}<br>{job_hover(at.job, c)}" if at else "" for at in columns] for name in names
            ],
            hoverinfo="text",
            colorscale=[[0, MOE2.colour], [1, MOE2.colour]],
            showscale=False,
            xgap=2,
            ygap=2,
        )
    ]
    crossed = [
        (x, column, name)
        for x, column in enumerate(columns)
        if column and not column.row.feasible
        for name in names
    ]
    if crossed:
        traces.append(
            go.Scatter(
                x=[x for x, _, _ in crossed],
                y=[name for _, _, name in crossed],
                mode="markers",
                name="infeasible",
                showlegend=False,
                marker={"symbol": "x-thin", "size": 7, "line": {"color": QUIET, "width": 1.5}},
                hovertext=[f"infeasible: {_label(column, c)}" for _, column, _ in crossed],
                hoverinfo="text",
            )
        )
    ticks = _group_ticks(groups) if len(columns) > _FEW and len(groups) <= _FEW else _column_ticks(columns, c)
    return figure(
        traces,
        height=130 + 28 * len(experts),
        xaxis={"showgrid": False, "zeroline": False, **ticks},
        yaxis={"showgrid": False, "zeroline": False, "dtick": 1},
    )


def _group_ticks(groups: list[list[_Column]]) -> dict[str, Any]:
    """One label for each group, in its middle: many columns have no room for labels of their own."""
    places, start = [], 0
    for group in groups:
        places.append(start + (len(group) - 1) / 2)
        start += len(group) + 1
    return {
        "title": {"text": "latency limit; in each, energy limit ascending"},
        "tickvals": places,
        "ticktext": [limit(group[0].row.latency_budget_s, "s") for group in groups],
        "tickangle": 0,
    }


def _column_ticks(columns: list[_Column | None], c: Comparison) -> dict[str, Any]:
    labels = {x: _label(column, c) for x, column in enumerate(columns) if column}
    every = math.ceil(len(labels) / (2 * _FEW))
    return {"tickvals": list(labels)[::every], "ticktext": list(labels.values())[::every], "tickangle": -60}


def _label(column: _Column, c: Comparison) -> str:
    limits = (column.row.energy_budget_j, column.row.latency_budget_s)
    if any(map(math.isnan, limits)):
        return plain(c.named(column.job))
    return f"{limit(limits[0], 'J')}, {limit(limits[1], 's')}"
