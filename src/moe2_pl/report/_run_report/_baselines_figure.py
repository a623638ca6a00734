"""Score against energy and against latency, for MoE² and what the paper compares it with."""

import plotly.graph_objects as go  # type: ignore[import-untyped]

from moe2_pl.planning import BaselineRow, Results
from moe2_pl.report._format import quantity, score, signed
from moe2_pl.report._panel import BEST_SINGLE, LOOKUP, MOE2, QUIET, Panel, Router, figure, plain

__all__ = ["baselines_panel"]

_ROUTERS = {
    router.name: router
    for router in (
        MOE2,
        LOOKUP,
        BEST_SINGLE,
        Router("single device", "#c2579b", "pentagon", "dot"),
        Router("greedy", "#0a9a74", "cross-open", "dash"),
        Router("random subset", "#b08c00", "x", "dot"),
        Router("no gate", "#5aa9dd", "star", "dot"),
        Router("uniform ensemble", "#8a5a44", "hourglass", "dot"),
        Router("all experts", QUIET, "hexagon", "dot"),
    )
}


def baselines_panel(data: Results) -> Panel:
    """Each baseline's held-out score against its mean energy, and against its mean latency."""
    title = "Baselines: score against energy and latency"
    rows = data.baselines
    if not rows:
        return Panel(
            "baselines", title, "None of the budgets is feasible: there is nothing to compare.", None
        )
    caption = (
        "Held-out score against the mean energy (above) and latency (below) of a query; one mark for each budget that "
        "the baseline can meet, larger for looser ones. Up and to the left is better. All but ‘all experts’ keep the "
        "budgets; ‘random subset’ is the mean of feasible subsets with the gate, ‘no gate’ MoE²'s subset without it."
    )
    if any(row.baseline == "uniform ensemble" for row in rows):
        caption = caption.replace(
            "All but ‘all experts’ keep", "All but ‘all experts’ and ‘uniform ensemble’ keep"
        )
        caption += " In the ‘uniform ensemble’ all of MoE²'s subset answers every query."
    here = {row.baseline: row.score for row in rows if row.budget == data.chosen.budget}
    if "no gate" in here:
        caption += f" Under the chosen budget the gate is worth {signed(here['MoE²'] - here['no gate'])}"
        caption += (
            f", the choice of the subset {signed(here['MoE²'] - here['random subset'])}."
            if "random subset" in here
            else "."
        )
    return Panel("baselines", title, caption, _scatter(rows))


def _scatter(rows: tuple[BaselineRow, ...]) -> go.Figure:
    traces = []
    for name, router in _ROUTERS.items():
        own = [row for row in rows if row.baseline == name]
        for axis, key in (("", "energy_j"), ("2", "latency_s")):
            traces.append(
                go.Scatter(
                    x=[getattr(row, key) for row in own],
                    y=[row.score for row in own],
                    xaxis=f"x{axis}",
                    yaxis=f"y{axis}",
                    mode="markers",
                    name=name,
                    legendgroup=name,
                    showlegend=not axis,
                    marker={
                        "color": router.colour,
                        "symbol": router.symbol,
                        "size": [8 + 3 * i for i in range(len(own))],
                        "line": {"color": router.colour, "width": 1},
                    },
                    hovertext=[_text(row) for row in own],
                    hoverinfo="text",
                )
            )
    return figure(
        traces,
        height=700,
        xaxis={"title": {"text": "mean energy (J per query)"}, "zeroline": False, "anchor": "y"},
        yaxis={"title": {"text": "held-out score"}, "zeroline": False, "domain": [0.57, 1.0]},
        xaxis2={"title": {"text": "mean latency (s per query)"}, "zeroline": False, "anchor": "y2"},
        yaxis2={"title": {"text": "held-out score"}, "zeroline": False, "domain": [0.0, 0.43]},
    )


def _text(row: BaselineRow) -> str:
    subset = f"{row.subsets} subsets" if row.subsets > 1 else f"{len(row.experts)} experts"
    return "<br>".join(
        [
            f"<b>{plain(row.baseline)}, {plain(row.budget)}</b>",
            f"score {score(row.score)}, {quantity(row.energy_j, 'J')}, {quantity(row.latency_s, 's')}",
            subset,
        ]
    )
