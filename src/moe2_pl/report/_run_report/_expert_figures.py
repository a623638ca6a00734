"""What each expert is for: how good it is at each category, and how much of it the gate sends there."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]

from moe2_pl.planning import CategoryRow, Results
from moe2_pl.report._format import limit, quantity, score
from moe2_pl.report._panel import BLUES, INFEASIBLE, INK, Panel, figure, plain

__all__ = ["experts_panel", "routing_panel"]


def experts_panel(data: Results) -> Panel:
    """Mean held-out score of every expert of the pool alone, by category."""
    led: dict[str, list[str]] = {}
    for category in _categories(data):
        led.setdefault(
            max(data.expert_scores, key=lambda name: data.expert_scores[name][category]), []
        ).append(category)
    caption = (
        "Mean held-out score of each expert (row; ● is deployed for the chosen budget) if it alone answered all "
        "queries of a category (column): the darker, the nearer to the best of the column. Best: "
        + "; ".join(f"{name} in {', '.join(categories)}" for name, categories in led.items())
        + ". The means hide that experts also differ from query to query, which the gate makes use of."
    )
    return Panel("experts", "Experts: what each is for", caption, _alone(data))


def _categories(data: Results) -> list[str]:
    return list(next(iter(data.expert_scores.values())))


def _alone(data: Results) -> go.Figure:
    categories = _categories(data)
    deployed = {*data.chosen.experts, *(data.experts[name]["model_id"] for name in data.chosen.experts)}
    best = {c: max(scores[c] for scores in data.expert_scores.values()) for c in categories}
    return _matrix(
        categories,
        [f"● {name}" if name in deployed else name for name in data.expert_scores],
        # Categories differ more than experts do: the score itself as colour would show the categories.
        [[scores[c] - best[c] for c in categories] for scores in data.expert_scores.values()],
        [[score(scores[c]) for c in categories] for scores in data.expert_scores.values()],
        [
            [
                f"{name} for {c}: {score(scores[c])}, {score(best[c] - scores[c])} below the best"
                for c in categories
            ]
            for name, scores in data.expert_scores.items()
        ],
    )


def routing_panel(data: Results) -> Panel:
    """Share of each category's queries that each expert of the chosen subset answers."""
    title = "Routing: who answers"
    parts, experts = data.chosen.categories, data.chosen.experts
    if not parts:
        return Panel("routing", title, INFEASIBLE, None)
    caption = "Share of a category's queries (column) that each chosen expert (row) answers; a column sums to 100 %."
    if any(part.kept_out for part in parts):
        caption += (
            " ✕: not allowed there, because the category's queries would take what stands beside it on average, "
            "above its limit."
        )
    return Panel("routing", title, caption, _shares(parts, experts))


def _shares(parts: tuple[CategoryRow, ...], experts: tuple[str, ...]) -> go.Figure:
    z = [[part.shares.get(e, 0.0) if e in part.allowed else math.nan for part in parts] for e in experts]
    return _matrix(
        [part.category for part in parts],
        experts,
        z,
        [
            [_kept_out(part, e) or f"{share:.0%}" for part, share in zip(parts, line, strict=True)]
            for e, line in zip(experts, z, strict=True)
        ],
        [
            [_share_text(e, part, share) for part, share in zip(parts, line, strict=True)]
            for e, line in zip(experts, z, strict=True)
        ],
        zmin=0,
        zmax=1,
    )


def _share_text(expert: str, part: CategoryRow, share: float) -> str:
    where = f"{expert} for {part.category}"
    if expert not in part.kept_out:
        return f"{where}: {share:.1%} of {part.queries}"
    energy_j, latency_s = part.kept_out[expert]
    return (
        f"{where} would take {quantity(energy_j, 'J')} (limit {limit(part.energy_budget_j, 'J')}) and "
        f"{quantity(latency_s, 's')} (limit {limit(part.latency_budget_s, 's')})"
    )


def _kept_out(part: CategoryRow, expert: str) -> str:
    """✕ and what is furthest above its limit; '' for an allowed expert."""
    if expert not in part.kept_out:
        return ""
    energy_j, latency_s = part.kept_out[expert]
    # Multiplied out, because a limit may be 0 or infinite.
    if energy_j * part.latency_budget_s > latency_s * part.energy_budget_j:
        return f"✕ {quantity(energy_j, 'J')}"
    return f"✕ {quantity(latency_s, 's')}"


def _matrix(
    columns: Iterable[str],
    rows: Sequence[str],
    z: list[list[float]],
    text: list[list[str]],
    hovertext: list[list[str]],
    **limits: Any,
) -> go.Figure:
    """Experts × categories, each cell with its text."""
    heat = go.Heatmap(
        x=[plain(name) for name in columns],
        y=[plain(name) for name in rows],
        z=z,
        colorscale=BLUES,
        text=text,
        texttemplate="%{text}",
        textfont={"color": INK},
        hovertext=[[plain(cell) for cell in line] for line in hovertext],
        hoverinfo="text",
        xgap=3,
        ygap=3,
        showscale=False,
        **limits,
    )
    return figure(
        [heat],
        height=74 + 34 * len(rows),
        # Room above the column names for the buttons.
        margin={"l": 56, "r": 16, "t": 54, "b": 8},
        xaxis={"side": "top", "showgrid": False, "zeroline": False},
        yaxis={"autorange": "reversed", "showgrid": False, "zeroline": False},
    )
