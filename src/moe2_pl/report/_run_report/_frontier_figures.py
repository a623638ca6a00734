"""The frontier as two figures: score against energy for each latency, and the map of both limits."""

import math
from collections.abc import Callable
from statistics import fmean
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]

from moe2_pl.planning import FrontierRow, Results
from moe2_pl.report._format import budget_text, limit, score, signed
from moe2_pl.report._panel import (
    BEST_SINGLE,
    BLUES,
    FAMILY_ORACLE,
    INK,
    LOOKUP,
    MOE2,
    OVERLOAD,
    QUIET,
    Axis,
    Panel,
    Router,
    figure,
    hover,
)

__all__ = ["frontier_panel", "map_panel"]

_SCORES: dict[Router, Callable[[FrontierRow], float]] = {
    FAMILY_ORACLE: lambda row: row.family_oracle_score,
    MOE2: lambda row: row.score,
    LOOKUP: lambda row: row.lookup_score,
    BEST_SINGLE: lambda row: row.best_single_score,
}


def frontier_panel(data: Results) -> Panel:
    """Score against the energy budget, one latency budget at a time, the baselines beside MoE².

    Without a grid the named budgets stand in, one line each.
    """
    title = "Frontier: what a budget buys"
    rows = data.grid or (data.chosen, *data.presets)
    feasible = [row for row in rows if row.feasible]
    if not feasible:
        return Panel("frontier", title, "None of the budgets is feasible: there is nothing to draw.", None)
    if not data.grid:
        caption = f"Score by budget; no grid was swept. {_versus(feasible)}"
        return Panel("frontier", title, caption, _by_budget(feasible))
    caption = (
        "Held-out score (higher is better) that each energy budget buys; the slider sets the latency budget, "
        f"thin lines are MoE² at the others. Point at a mark for its subset. {_versus(feasible)}"
    )
    return Panel("frontier", title, caption, _by_energy(data))


def _versus(rows: list[FrontierRow]) -> str:
    """How MoE² compares with the two baselines that matter, over all budgets."""
    ahead = sum(row.score >= row.lookup_score for row in rows)
    lookup = fmean(row.score - row.lookup_score for row in rows)
    oracle = [row.score - row.family_oracle_score for row in rows]
    text = (
        f"MoE² is at or above the lookup in {ahead} of {len(rows)} feasible budgets (mean {signed(lookup)})"
    )
    known = [value for value in oracle if not math.isnan(value)]
    return f"{text}; against the family oracle {signed(fmean(known))}." if known else f"{text}."


def _by_energy(data: Results) -> go.Figure:
    energy = Axis.of((row.energy_budget_j for row in data.grid), "J")
    latency = Axis.of((row.latency_budget_s for row in data.grid), "s")
    cell = {(row.energy_budget_j, row.latency_budget_s): row for row in data.grid}
    lines = [[cell.get((e, x)) for e in energy.values] for x in latency.values]
    place = latency.place(data.chosen.latency_budget_s)
    shown = len(lines) // 2 if place is None else round(place)
    traces = [_context(lines)]
    for at, line in enumerate(lines):
        traces += [_line(router, line, visible=at == shown) for router in _SCORES]
    star = energy.place(data.chosen.energy_budget_j)
    if star is not None and data.chosen.feasible:
        latency_limit = limit(data.chosen.latency_budget_s, "s")
        traces.append(_star(star, data.chosen.score, hover(data.chosen), f"chosen (latency {latency_limit})"))
    steps = [
        {
            "label": label,
            "method": "restyle",
            "args": [{"visible": [_drawn(i, at, len(lines), len(traces)) for i in range(len(traces))]}],
        }
        for at, label in enumerate(latency.labels)
    ]
    slider = {
        "active": shown,
        "steps": steps,
        "pad": {"t": 58, "b": 4},
        "currentvalue": {"prefix": "latency budget (s per query): ", "xanchor": "left"},
        "bordercolor": QUIET,
        "tickcolor": QUIET,
        "activebgcolor": MOE2.colour,
        "font": {"color": INK},
    }
    return figure(
        traces,
        height=540,
        xaxis=energy.layout("energy budget"),
        yaxis={"title": {"text": "held-out score"}, "zeroline": False, "tickformat": ".2f"},
        sliders=[slider],
        hovermode="closest",
    )


def _drawn(trace: int, at: int, lines: int, traces: int) -> bool:
    """Whether a trace shows at slider step ``at``: the context, that latency's routers, and the star."""
    return trace == 0 or trace > lines * len(_SCORES) or (trace - 1) // len(_SCORES) == at


def _context(lines: list[list[FrontierRow | None]]) -> go.Scatter:
    x: list[int | None] = []
    y: list[float | None] = []
    for line in lines:
        x += [*range(len(line)), None]
        y += [*(row.score if row else None for row in line), None]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        name="MoE², other latencies",
        line={"color": MOE2.colour, "width": 1},
        opacity=0.35,
        hoverinfo="skip",
    )


def _line(router: Router, line: list[FrontierRow | None], *, visible: bool) -> go.Scatter:
    values = [_SCORES[router](row) if row else math.nan for row in line]
    ours = router is MOE2
    return go.Scatter(
        x=list(range(len(line))),
        y=values,
        mode="lines+markers",
        name=router.name,
        visible=visible,
        line={"color": router.colour, "dash": router.dash, "width": 3 if ours else 2},
        marker={"symbol": router.symbol, "size": 9 if ours else 6},
        hovertext=[
            (hover(row) if ours else f"{router.name} {score(value)}") if row else ""
            for row, value in zip(line, values, strict=True)
        ],
        hoverinfo="text",
    )


def _star(x: float, y: float, text: str, name: str) -> go.Scatter:
    marker = {"symbol": "star", "size": 18, "color": "#f0c33c", "line": {"color": INK, "width": 1.5}}
    return go.Scatter(
        x=[x], y=[y], mode="markers", name=name, marker=marker, hovertext=[text], hoverinfo="text"
    )


def _by_budget(rows: list[FrontierRow]) -> go.Figure:
    marks = [
        go.Scatter(
            x=[value(row) for row in rows],
            y=[row.budget for row in rows],
            mode="markers",
            name=router.name,
            marker={"color": router.colour, "symbol": router.symbol, "size": 12},
            hovertext=[
                hover(row) if router is MOE2 else f"{router.name} {score(value(row))}" for row in rows
            ],
            hoverinfo="text",
        )
        for router, value in _SCORES.items()
    ]
    return figure(
        marks,
        height=150 + 36 * len(rows),
        xaxis={"title": {"text": "held-out score"}, "zeroline": False},
        yaxis={"autorange": "reversed"},
    )


def map_panel(data: Results) -> Panel:
    """Score over both limits; infeasible and overloaded cells are marked."""
    title = "Map: energy × latency"
    if not data.grid:
        return Panel("map", title, "No grid was swept, so there is no map of budgets.", None)
    feasible = sum(row.feasible for row in data.grid)
    overloaded = sum(bool(row.overloaded) for row in data.grid)
    text = f"Held-out score of the best deployment for each pair of limits. {feasible} of {len(data.grid)} "
    text += "budgets are feasible; ✕ marks those that no subset meets."
    if overloaded:
        text += (
            f" ▲ marks {overloaded} whose deployment overloads a device at {data.queries_per_s:g} queries/s."
        )
    return Panel("map", title, text, _map(data))


def _map(data: Results) -> go.Figure:
    energy = Axis.of((row.energy_budget_j for row in data.grid), "J")
    latency = Axis.of((row.latency_budget_s for row in data.grid), "s")
    cell = {(row.energy_budget_j, row.latency_budget_s): row for row in data.grid}
    rows = [[cell.get((e, x)) for x in latency.values] for e in energy.values]
    at = {(x, y): row for y, line in enumerate(rows) for x, row in enumerate(line) if row is not None}
    traces: list[Any] = [
        go.Heatmap(
            z=[[row.score if row else None for row in line] for line in rows],
            hovertext=[[hover(row) if row else "" for row in line] for line in rows],
            hoverinfo="text",
            texttemplate="%{z:.2f}",
            textfont={"size": 11, "color": INK},
            colorscale=BLUES,
            xgap=2,
            ygap=2,
            colorbar={"title": {"text": "score"}, "thickness": 12, "tickformat": ".2f"},
        ),
        _marks("infeasible", "x-thin", QUIET, [key for key, row in at.items() if not row.feasible], 0, at),
        _marks("overloads a device (ρ ≥ 1)", "triangle-up", OVERLOAD,
               [key for key, row in at.items() if row.overloaded], 0.33, at),
    ]  # fmt: skip
    x, y = latency.place(data.chosen.latency_budget_s), energy.place(data.chosen.energy_budget_j)
    if x is not None and y is not None:
        text = f"chosen: {budget_text(data.chosen)}, score {score(data.chosen.score)}"
        traces.append(_star(x, y, text, "chosen budget"))
    return figure(
        [trace for trace in traces if trace is not None],
        height=150 + 32 * max(6, len(rows)),
        xaxis=latency.layout("latency budget") | {"showgrid": False},
        yaxis=energy.layout("energy budget") | {"showgrid": False},
    )


def _marks(
    name: str,
    symbol: str,
    colour: str,
    places: list[tuple[int, int]],
    lift: float,
    at: dict[tuple[int, int], FrontierRow],
) -> go.Scatter | None:
    if not places:
        return None
    return go.Scatter(
        x=[x + lift for x, _ in places],
        y=[y + lift for _, y in places],
        mode="markers",
        name=name,
        marker={"symbol": symbol, "size": 8, "color": colour, "line": {"color": colour, "width": 1.5}},
        hovertext=[hover(at[place]) for place in places],
        hoverinfo="text",
    )
