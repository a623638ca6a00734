"""The chosen deployment as figures: categories, ρ of the devices, waiting, calibration."""

from statistics import fmean

import plotly.graph_objects as go  # type: ignore[import-untyped]

from moe2_pl.planning import FrontierRow, Results
from moe2_pl.report._format import interval, load_text, rho, signed
from moe2_pl.report._panel import (
    INFEASIBLE,
    INK,
    LOOKUP,
    MOE2,
    OVERLOAD,
    QUIET,
    Panel,
    Router,
    dumbbell,
    figure,
    plain,
)

__all__ = ["calibration_panel", "category_panel", "load_panel", "utilisation_panel"]

_PREDICTED = Router("predicted by the gate", MOE2.colour, "circle-open")
_REALISED = Router("realised", MOE2.colour, "circle")
_SYMBOLS = ("triangle-left-open", "square-open", "triangle-right-open", "circle-open", "diamond-open")


def category_panel(data: Results) -> Panel:
    """Score of each category under the chosen budget, beside the lookup on the same subset."""
    title = "Score by category"
    parts = data.chosen.categories
    if not parts:
        return Panel("categories", title, INFEASIBLE, None)
    best = max(parts, key=lambda part: part.score - part.lookup_score)
    caption = (
        "Held-out score of each category on the chosen deployment. The further MoE² lies to the right of the "
        f"lookup, the more telling queries apart is worth; most in {best.category} "
        f"({signed(best.score - best.lookup_score)})."
    )
    ends = {LOOKUP: [part.lookup_score for part in parts], MOE2: [part.score for part in parts]}
    names = [part.category for part in parts]
    return Panel("categories", title, caption, dumbbell(names, ends, "held-out score"))


def utilisation_panel(data: Results) -> Panel:
    """ρ of every device, for the chosen budget and the presets."""
    title = "Utilisation ρ of each device"
    rows = [row for row in data.presets if row.feasible]
    if not data.chosen.feasible and not rows:
        return Panel("utilisation", title, "None of the budgets is feasible: no device is on.", None)
    caption = (
        f"Share of the time that a device is busy at {data.queries_per_s:g} queries/s (no mark: it is off). "
    )
    hot = data.chosen.overloaded
    if hot:
        names = ", ".join(f"{name} (ρ {data.chosen.utilisation[name]:.2f})" for name in hot)
        caption += f"Overloaded on the chosen deployment: {names}. From 1 on the queue grows without end."
    else:
        caption += "The chosen deployment stays left of 1, from where on a queue grows without end."
    return Panel("utilisation", title, caption, _utilisation(data, rows))


def load_panel(data: Results) -> Panel:
    """Latency of the chosen deployment against the arrival rate."""
    title = "Latency under load"
    if not data.load or not data.chosen.feasible:
        return Panel("load", title, "There is no queue to simulate for the chosen budget.", None)
    caption = (
        "Seconds to the whole answer when queries arrive at random and wait for their device, simulated from held-out "
        "queries. The planner's latency budget is for an idle fleet: it says nothing of waiting. "
        + load_text(data)
    )
    rates = [row.queries_per_s for row in data.load]
    lines = [
        go.Scatter(
            x=rates,
            y=values,
            mode="lines+markers",
            name=name,
            line={"color": MOE2.colour, "dash": dash, "width": 2},
            hovertext=[
                f"{rate:.3g} queries/s: {value:.3g} s" for rate, value in zip(rates, values, strict=True)
            ],
            hoverinfo="text",
        )
        for name, dash, values in (
            ("mean", "solid", [row.mean_s for row in data.load]),
            ("95 % stay below", "dot", [row.p95_s for row in data.load]),
        )
    ]
    fig = figure(
        lines,
        height=340,
        xaxis={"title": {"text": "queries/s"}, "rangemode": "tozero", "zeroline": False},
        yaxis={"title": {"text": "seconds"}, "rangemode": "tozero", "zeroline": False},
    )
    fig.add_vline(x=data.queries_per_s, line={"color": INK, "width": 1, "dash": "dash"}, layer="below")
    return Panel("load", title, caption, fig)


def _utilisation(data: Results, presets: list[FrontierRow]) -> go.Figure:
    devices = list(data.devices)
    marks = [
        _rho_marks(row, row.budget, {"symbol": symbol, "size": 10, "color": QUIET, "line": {"width": 2}})
        for row, symbol in zip(presets, _SYMBOLS * len(presets), strict=False)
    ]
    if data.chosen.feasible:
        marks.append(
            _rho_marks(data.chosen, "chosen", {"symbol": "circle", "size": 13, "color": MOE2.colour})
        )
    largest = max(
        (value for row in (data.chosen, *presets) for value in row.utilisation.values()), default=0.0
    )
    end = max(1.15, largest * 1.1)
    fig = figure(
        marks,
        height=130 + 36 * len(devices),
        xaxis={"title": {"text": "ρ"}, "range": [0, end], "zeroline": False},
        yaxis={
            "categoryorder": "array",
            "categoryarray": [plain(name) for name in reversed(devices)],
            "range": [-0.6, len(devices) - 0.4],
        },
    )
    fig.add_vrect(x0=1, x1=end, fillcolor=OVERLOAD, opacity=0.14, line_width=0, layer="below")
    fig.add_vline(x=1, line={"color": OVERLOAD, "width": 2}, layer="below")
    return fig


def _rho_marks(row: FrontierRow, name: str, marker: dict[str, object]) -> go.Scatter:
    return go.Scatter(
        x=list(row.utilisation.values()),
        y=[plain(device) for device in row.utilisation],
        mode="markers",
        name=name,
        marker=marker,
        hovertext=[f"{plain(device)}, {name}: ρ {rho(value)}" for device, value in row.utilisation.items()],
        hoverinfo="text",
    )


def calibration_panel(data: Results) -> Panel:
    """What the gate predicts for each expert, against what held-out queries show."""
    title = "Calibration: can the plan be believed?"
    if not data.calibration:
        return Panel("calibration", title, "This objective predicts no score per expert.", None)
    off = {name: abs(p - r) for name, (p, r) in data.calibration.items()}
    worst = max(off, key=lambda name: off[name])
    caption = (
        "Mean score of each expert over held-out queries. The closer an open mark lies to its filled one, the "
        f"better; the mean distance is {fmean(off.values()):.3f}, the largest {off[worst]:.3f} ({worst})."
    )
    if data.planned_unit == "score" and data.chosen.feasible:
        caption += (
            f" The chosen deployment was planned at {data.chosen.planned:.3f} on validation queries and realised "
            f"{interval(data.chosen.score, data.chosen.score_half_width)} on held-out ones."
        )
    ends = {
        _PREDICTED: [p for p, _ in data.calibration.values()],
        _REALISED: [r for _, r in data.calibration.values()],
    }
    return Panel("calibration", title, caption, dumbbell(list(data.calibration), ends, "mean score"))
