"""Experts × budgets: which experts each budget of a sweep deploys."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]

from moe2_pl.planning import FrontierRow
from moe2_pl.report._comparison._data import Comparison, JobRow, is_budget
from moe2_pl.report._comparison._panels import job_hover
from moe2_pl.report._format import limit
from moe2_pl.report._panel import MOE2, QUIET, Panel, figure, plain

__all__ = ["experts_panel"]

_FAINT = "rgba(31, 122, 209, 0.2)"  # MoE²'s colour, for the smallest share of seeds
_FEW = 12  # columns whose labels fit on a phone


@dataclass(frozen=True)
class _Column:
    """One budget: its jobs, one for each seed, and its limits in the row of one of them."""

    jobs: tuple[JobRow, ...]
    row: FrontierRow

    def share(self, name: str) -> float:
        """Of how many of its jobs an expert is deployed, 0 to 1."""
        return sum(job.row is not None and name in job.row.experts for job in self.jobs) / len(self.jobs)


def experts_panel(c: Comparison) -> Panel:
    """A column for each budget, a row for each expert that some budget deploys."""
    placed = [
        _Column(budget.jobs, rows[0])
        for budget in c.variants(among=[job for job in c.jobs if job.chosen])
        # The limits of an infeasible job may not be known.
        if (
            rows := sorted(
                (job.chosen for job in budget.jobs if job.chosen), key=lambda row: not row.feasible
            )
        )
    ]
    rows = [job.row for column in placed for job in column.jobs if job.row]
    count = {name: sum(name in row.experts for row in rows) for row in rows for name in row.experts}
    experts = sorted(count, key=lambda name: (count[name], name))
    always = [name for name in experts if count[name] == len(rows)]
    cell = "a filled cell is an expert that the deployment loads"
    if c.seeds > 1:
        cell += ", a faint one an expert that only some of the seeds deploy"
    caption = (
        f"Each column is a budget; {cell}. Columns are grouped by "
        "latency limit, and the energy limit grows from left to right in each group. In all of them: "
        f"{', '.join(always) or 'none'}. Experts that no budget deploys have no row."
    )
    if any(not column.row.feasible for column in placed):
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
            z=[[(column.share(name) or None) if column else None for column in columns] for name in experts],
            hovertext=[[_hover(at, name, c) if at else "" for at in columns] for name in experts],
            hoverinfo="text",
            zmin=0,
            zmax=1,
            colorscale=[[0, _FAINT], [1, MOE2.colour]],
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


def _hover(column: _Column, name: str, c: Comparison) -> str:
    if len(column.jobs) == 1:
        return f"{plain(name)}<br>{job_hover(column.jobs[0], c)}"
    chosen = [job.job for job in column.jobs if job.row and name in job.row.experts]
    which = f" (job{'s' * (len(chosen) > 1)} {', '.join(chosen)})" if chosen else ""
    count = f"{len(chosen)} of {len(column.jobs)} seeds{plain(which)}"
    return f"<b>{plain(name)}</b><br>{_label(column, c)}<br>{count}"


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
        return plain(c.named(column.jobs[0], [key for key in c.varied if is_budget(key)]))
    return f"{limit(limits[0], 'J')}, {limit(limits[1], 's')}"
