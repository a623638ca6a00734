"""What every figure shares: its panel on the page, the colours, the hover text, the axis of swept limits.

Colours are of Okabe and Ito's colour-blind-safe family, in tones that stand out on white and on near-black.
The page's script sets the ink, so that one figure serves light, dark and print.
"""

import html
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]

from moe2_pl.planning import FrontierRow
from moe2_pl.report._format import MISSING, limit, quantity, rho, score, status_text

__all__ = [
    "BEST_SINGLE",
    "BLUES",
    "FAMILY_ORACLE",
    "INFEASIBLE",
    "INK",
    "LOOKUP",
    "MOE2",
    "OVERLOAD",
    "QUIET",
    "Axis",
    "Panel",
    "Router",
    "dumbbell",
    "figure",
    "hover",
    "plain",
]

INK = "#24292f"
QUIET = "#8a929c"
OVERLOAD = "#d1495b"
# Of heat maps: the page's ink is legible on all of it, on white and on near-black.
BLUES = [[0.0, "rgba(31,122,209,0.04)"], [1.0, "rgba(31,122,209,0.75)"]]
INFEASIBLE = "The chosen budget is infeasible, so nothing is deployed and there is nothing to draw."


@dataclass(frozen=True)
class Router:
    """How one router is drawn, everywhere."""

    name: str
    colour: str
    symbol: str
    dash: str = "solid"


MOE2 = Router("MoE²", "#1f7ad1", "circle")
LOOKUP = Router("lookup", "#d9700b", "diamond", "dash")
BEST_SINGLE = Router("best single expert", "#9a7fd1", "square", "dot")
FAMILY_ORACLE = Router("family oracle", "#0a9a74", "triangle-up", "dashdot")


@dataclass(frozen=True)
class Panel:
    """One figure of the page, or the reason why there is none.

    Args:
        key: its anchor.
        title: heading.
        caption: what to see.
        figure: None where the data have nothing to draw.
    """

    key: str
    title: str
    caption: str
    figure: go.Figure | None


@dataclass(frozen=True)
class Axis:
    """The swept limits of one kind, one step apart, so that no limit (inf) has a place too.

    Example:
        >>> axis = Axis((1.0, 2.0, 4.0, float("inf")), "s")
        >>> axis.place(2.0), axis.place(3.0), axis.place(float("inf")), axis.place(0.5)
        (1.0, 1.5, 3.0, None)
    """

    values: tuple[float, ...]
    unit: str

    @classmethod
    def of(cls, values: Iterable[float], unit: str) -> "Axis":
        """The distinct limits in ascending order, those that differ between categories left out."""
        return cls(tuple(sorted({value for value in values if not math.isnan(value)})), unit)

    @property
    def labels(self) -> list[str]:
        """Each limit, without its unit."""
        return [limit(value, "").strip() for value in self.values]

    def layout(self, title: str, most: int = 12) -> dict[str, Any]:
        """Settings of a Plotly axis with at most ``most`` labels."""
        ticks = range(0, len(self.values), math.ceil(len(self.values) / most) or 1)
        return {
            "title": {"text": f"{title} ({self.unit} per query)"},
            "tickvals": list(ticks),
            "ticktext": [self.labels[i] for i in ticks],
            "zeroline": False,
        }

    def place(self, value: float) -> float | None:
        """Where a limit lies, in steps from the first; None outside the swept range."""
        if value in self.values:
            return float(self.values.index(value))
        after = bisect_right(self.values, value)
        if not math.isfinite(value) or after in (0, len(self.values)):
            return None
        low, high = self.values[after - 1], self.values[after]
        return after - 1 + (0.5 if math.isinf(high) else (value - low) / (high - low))


def figure(traces: Sequence[Any], height: int, **layout: Any) -> go.Figure:
    """A figure without a background of its own, its legend above."""
    settings: dict[str, Any] = {
        "template": "none",
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 13, "color": INK, "family": "system-ui, -apple-system, 'Segoe UI', sans-serif"},
        "margin": {"l": 56, "r": 16, "t": 12, "b": 52},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hoverlabel": {"align": "left"},
    }
    fig = go.Figure(list(traces), layout=settings | layout)
    fig.update_xaxes(automargin=True, title_standoff=10)
    fig.update_yaxes(automargin=True, title_standoff=10)
    return fig


def dumbbell(names: Sequence[str], ends: Mapping[Router, Sequence[float]], title: str) -> go.Figure:
    """Two figures for each name on one line, joined, so that small differences can be seen."""
    labels = [plain(name) for name in names]
    first, second = ends.values()
    joints = go.Scatter(
        x=[x for pair in zip(first, second, strict=True) for x in (*pair, None)],
        y=[y for label in labels for y in (label, label, None)],
        mode="lines",
        line={"color": QUIET, "width": 2},
        hoverinfo="skip",
        showlegend=False,
    )
    marks = [
        go.Scatter(
            x=list(values),
            y=labels,
            mode="markers",
            name=router.name,
            marker={
                "color": router.colour,
                "symbol": router.symbol,
                "size": 12,
                "line": {"color": router.colour, "width": 2},
            },
            hovertext=[
                f"{label}: {router.name} {score(value)}" for label, value in zip(labels, values, strict=True)
            ],
            hoverinfo="text",
        )
        for router, values in ends.items()
    ]
    return figure(
        [joints, *marks],
        height=110 + 34 * len(names),
        xaxis={"title": {"text": title}, "zeroline": False},
        yaxis={"autorange": "reversed"},
    )


def plain(name: str) -> str:
    """A name as figure text, where Plotly would otherwise read tags."""
    return html.escape(name, quote=False)


def hover(row: FrontierRow) -> str:
    """What a frontier point says: its figures, then its subset."""
    budget = (
        f"energy limit {limit(row.energy_budget_j, 'J')}, latency limit {limit(row.latency_budget_s, 's')}"
    )
    if not row.feasible:
        return f"<b>infeasible</b><br>{budget}"
    busiest = max(row.utilisation.values(), default=math.nan)
    experts = [f"• {plain(name)}" for name in row.experts]
    return "<br>".join(
        [
            f"<b>score {score(row.score)}</b> ({plain(status_text(row))})",
            budget,
            f"routed: {quantity(row.energy_j, 'J')}, {quantity(row.latency_s, 's')}; largest ρ {rho(busiest)}",
            *(experts if len(experts) <= 14 else [*experts[:13], f"• {len(experts) - 13} more"]),
        ]
    ).replace(MISSING, "none")
