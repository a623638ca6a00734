"""Frontiers of several pools, objectives or devices in one figure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go  # type: ignore[import-untyped]

from moe2_pl.planning import FrontierRow
from moe2_pl.report._comparison._data import Comparison
from moe2_pl.report._comparison._panels import COLOURS, SYMBOLS, Section, axis, queries_caution
from moe2_pl.report._panel import QUIET, Panel, figure, hover, plain

__all__ = ["frontier_sections"]

_FIELDS = {"energy": "energy_budget_j", "latency": "latency_budget_s"}
_UNITS = {"energy": "J", "latency": "s"}


@dataclass(frozen=True)
class _Curve:
    """One frontier: rows of many budgets, of jobs that share ``name``."""

    name: str
    origin: str
    rows: tuple[FrontierRow, ...]

    def along(self, field: str, other: str) -> list[FrontierRow]:
        """For each limit of ``field`` the row with the loosest limit of ``other``, ascending."""
        best: dict[float, FrontierRow] = {}
        for row in self.rows:
            at = getattr(row, field)
            if row.feasible and math.isfinite(at) and not math.isnan(getattr(row, other)):
                kept = best.get(at)
                if kept is None or getattr(row, other) > getattr(kept, other):
                    best[at] = row
        return [best[at] for at in sorted(best)]


def frontier_sections(c: Comparison) -> list[Section]:
    """The jobs' frontiers above each other; none where there are fewer than two different ones."""
    curves = _curves(c)
    style = _styles(curves)
    panels = []
    for kind, other in (("energy", "latency"), ("latency", "energy")):
        lines = [(curve, curve.along(_FIELDS[kind], _FIELDS[other])) for curve in curves]
        lines = [(curve, rows) for curve, rows in lines if len(rows) > 1]
        if len(lines) > 1:
            caption = (
                f"Held-out score that each {kind} limit buys while the {other} limit is the loosest that was swept. "
                "Higher is better, and further left is cheaper; where lines cross, the better one depends on the limit."
            )
            if len({curve.name for curve, _ in lines}) > len(COLOURS):
                caption += f" The {len(COLOURS)} highest have a colour; the rest is grey, point at a line for its name."
            caption += queries_caution(c)
            drawn = _overlay(lines, kind, style)
            panels.append(Panel(f"frontiers-{kind}", f"Score by {kind} limit", caption, drawn))
    return [Section("frontiers", "Frontiers: all jobs above each other", tuple(panels))] if panels else []


def _curves(c: Comparison) -> list[_Curve]:
    """One for each variant and seed with a swept grid; without grids, the jobs' own budgets make them up."""
    families = c.families()
    curves = []
    for family in families:
        seen = set()
        for job in family.jobs:
            seed = job.asked.get("seed", "")
            if job.grid and seed not in seen:
                # Jobs that differ in the budget alone have swept the same grid.
                seen.add(seed)
                name = family.name if len(families) > 1 else f"seed={seed}"
                curves.append(_Curve(name, f"job {job.job}", job.grid))
    if curves or len(families) < 2:
        return curves
    return [_Curve(f.name, f.name, tuple(job.row for job in f.jobs if job.row)) for f in families]


def _styles(curves: list[_Curve]) -> dict[str, tuple[str, str]]:
    """Colour and symbol of the curves that reach highest, the same in every figure."""
    top = {
        curve.name: max((row.score for row in curve.rows if row.feasible), default=-math.inf)
        for curve in curves
    }
    return dict(
        zip(sorted(top, key=lambda name: -top[name]), zip(COLOURS, SYMBOLS, strict=True), strict=False)
    )


def _overlay(
    lines: list[tuple[_Curve, list[FrontierRow]]], kind: str, style: Mapping[str, tuple[str, str]]
) -> go.Figure:
    seen: set[str] = set()
    traces = []
    # The grey ones first, so that they lie below.
    for curve, rows in sorted(lines, key=lambda line: line[0].name in style):
        colour, symbol = style.get(curve.name, (QUIET, "circle"))
        traces.append(
            go.Scatter(
                x=[getattr(row, _FIELDS[kind]) for row in rows],
                y=[row.score for row in rows],
                mode="lines+markers",
                name=plain(curve.name),
                legendgroup=plain(curve.name),
                showlegend=curve.name in style and curve.name not in seen,
                line={"color": colour, "width": 2 if curve.name in style else 1},
                marker={"symbol": symbol, "size": 7 if curve.name in style else 4},
                hovertext=[
                    f"<b>{plain(curve.name)}</b> ({plain(curve.origin)})<br>{hover(row)}" for row in rows
                ],
                hoverinfo="text",
            )
        )
        seen.add(curve.name)
    x = [getattr(row, _FIELDS[kind]) for _, rows in lines for row in rows]
    return figure(
        traces,
        # Long names take a line of the legend each, on a phone all do.
        height=400 + 30 * len(seen & style.keys()),
        xaxis=axis(f"{kind} limit ({_UNITS[kind]} per query)", x),
        yaxis={"title": {"text": "held-out score"}, "zeroline": False, "tickformat": ".2f"},
        hovermode="closest",
    )
