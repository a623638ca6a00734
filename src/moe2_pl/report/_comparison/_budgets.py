"""Budgets of one gate: what each buys, whether that was planned, and which experts it deploys."""

import math
from collections.abc import Callable, Mapping, Sequence

import plotly.graph_objects as go  # type: ignore[import-untyped]

from moe2_pl.planning import FrontierRow
from moe2_pl.report._comparison._data import Comparison, JobRow, Variant, mean
from moe2_pl.report._comparison._experts import experts_panel
from moe2_pl.report._comparison._panels import COLOURS, SYMBOLS, Section, bars, job_hover, quiet_line
from moe2_pl.report._format import limit, score, signed
from moe2_pl.report._panel import BEST_SINGLE, LOOKUP, MOE2, QUIET, Axis, Panel, Router, figure, plain

__all__ = ["budget_sections"]

Limits = tuple[float, float]
_BASELINES: dict[Router, Callable[[FrontierRow], float]] = {
    LOOKUP: lambda row: row.lookup_score,
    BEST_SINGLE: lambda row: row.best_single_score,
}


def budget_sections(c: Comparison) -> list[Section]:
    """Sections of a sweep in which only the budget varied, and perhaps the seed; none for other sweeps."""
    jobs = c.with_deployment
    budgets = _by_limits(jobs)
    if not c.only_budgets or len(budgets) < 2:
        return []
    lines = _lines(budgets)
    panels = [_score_panel(c, budgets, lines), _planned_panel(c), experts_panel(c)]
    return [Section(panel.key, panel.title, (panel,)) for panel in panels if panel is not None]


def _by_limits(jobs: tuple[JobRow, ...]) -> dict[Limits, list[JobRow]]:
    """Jobs under their limits, (J, s) a query."""
    budgets: dict[Limits, list[JobRow]] = {}
    for job in jobs:
        if job.row:
            # NaN stands for limits of their own for each category, and is unequal to itself.
            key = tuple(
                -1.0 if math.isnan(x) else x for x in (job.row.energy_budget_j, job.row.latency_budget_s)
            )
            budgets.setdefault((key[0], key[1]), []).append(job)
    return budgets


def _lines(budgets: Mapping[Limits, list[JobRow]]) -> int | None:
    """Which limit runs along the axis, 0 for energy and 1 for latency; None where neither makes a line."""
    if any(value < 0 for limits in budgets for value in limits):
        return None
    for along in (0, 1):
        others = [limits[1 - along] for limits in budgets]
        if max(others.count(value) for value in others) > 1:
            return along
    return None


def _score_panel(c: Comparison, budgets: Mapping[Limits, list[JobRow]], along: int | None) -> Panel:
    rows = [job.row for job in c.with_deployment if job.row]
    ahead = sum(row.score >= row.lookup_score for row in rows)
    versus = mean(row.score - row.lookup_score for row in rows)
    seeds = " Each mark is the mean over the seeds, its bar ± one standard deviation." if c.seeds > 1 else ""
    what = (
        "One mark for each budget"
        if along is None
        else f"One line for each {('latency', 'energy')[along]} limit: where it is flat, a larger limit buys nothing; "
        "the space between two lines is what the other limit buys"
    )
    caption = (
        f"Held-out score (higher is better) that each budget buys. {what}. Dashed is what the lookup "
        f"reaches under the same limits, dotted the best single expert. MoE² is at or above the lookup for {ahead} of "
        f"{len(rows)} (mean {signed(versus)}).{seeds}"
    )
    lowest = min((value for row in rows if not math.isnan(value := row.best_single_score)), default=math.nan)
    low, high = _range(rows)
    if lowest < low:
        caption += f" The best single expert falls to {score(lowest)}, below what is drawn."
    drawn = _by_budget(c, budgets) if along is None else _by_limit(c, budgets, along)
    drawn.update_yaxes(range=[low, high])
    return Panel("budgets", "Budgets: what each buys", caption, drawn)


def _range(rows: Sequence[FrontierRow]) -> tuple[float, float]:
    """The scores to draw: all of MoE²'s and of the lookup's, and a baseline that is far below them only in part."""
    values = [value for row in rows for value in (row.score, row.lookup_score) if not math.isnan(value)]
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.01
    single = [row.best_single_score for row in rows if not math.isnan(row.best_single_score)]
    near = [value for value in single if value >= low - 0.5 * (high - low)]
    return min(low, *near, high) - room, max(high, *near, low) + room


def _by_limit(c: Comparison, budgets: Mapping[Limits, list[JobRow]], along: int) -> go.Figure:
    units = (("energy limit", "J"), ("latency limit", "s"))
    ticks = Axis.of((limits[along] for limits in budgets), units[along][1])
    others = sorted({limits[1 - along] for limits in budgets})
    traces: list[go.Scatter] = []
    for i, other in enumerate(others):
        line = sorted((limits, jobs) for limits, jobs in budgets.items() if limits[1 - along] == other)
        x = [ticks.place(limits[along]) for limits, _ in line]
        colour = COLOURS[i % len(COLOURS)]
        name = f"{units[1 - along][0].split()[0]} {limit(other, units[1 - along][1])}"
        for router, value in _BASELINES.items():
            traces.append(
                go.Scatter(
                    x=x,
                    y=[mean(value(job.row) for job in jobs if job.row) for _, jobs in line],
                    mode="lines",
                    line={"color": colour, "dash": router.dash, "width": 1.2},
                    opacity=0.8,
                    legendgroup=router.name,
                    showlegend=False,
                    hovertext=[f"{router.name}, {name}"] * len(line),
                    hoverinfo="text+y",
                )
            )
        groups = [Variant(name, tuple(jobs)) for _, jobs in line]
        traces.append(
            go.Scatter(
                x=x,
                y=[group.score for group in groups],
                error_y=bars([group.deviation("score") for group in groups], colour),
                mode="lines+markers",
                name=name,
                line={"color": colour, "width": 3},
                marker={"symbol": SYMBOLS[i % len(SYMBOLS)], "size": 9},
                hovertext=["<br>".join(job_hover(job, c) for job in jobs) for _, jobs in line],
                hoverinfo="text",
            )
        )
    # The baselines' lines have their latency's colour; the legend says what their dashes mean.
    traces += [
        go.Scatter(
            x=[None],
            y=[None],
            mode="lines",
            name=router.name,
            legendgroup=router.name,
            line={"color": QUIET, "dash": router.dash, "width": 1.5},
        )
        for router in _BASELINES
    ]
    return figure(
        traces,
        height=520,
        xaxis=ticks.layout(units[along][0]),
        yaxis={"title": {"text": "held-out score"}, "zeroline": False, "tickformat": ".2f"},
    )


def _by_budget(c: Comparison, budgets: Mapping[Limits, list[JobRow]]) -> go.Figure:
    groups = c.variants()
    labels = [plain(group.name) for group in groups]
    routers: dict[Router, Callable[[FrontierRow], float]] = {MOE2: lambda row: row.score, **_BASELINES}
    traces = [
        go.Scatter(
            x=labels,
            y=[mean(value(job.row) for job in group.jobs if job.row) for group in groups],
            error_y=bars([group.deviation("score") for group in groups], router.colour)
            if router is MOE2
            else None,
            mode="lines+markers",
            name=router.name,
            line={"color": router.colour, "dash": router.dash, "width": 3 if router is MOE2 else 2},
            marker={"symbol": router.symbol, "size": 10 if router is MOE2 else 7},
            hovertext=[
                "<br>".join(job_hover(job, c) for job in group.jobs) if router is MOE2 else router.name
                for group in groups
            ],
            hoverinfo="text" if router is MOE2 else "text+y",
        )
        for router, value in routers.items()
    ]
    return figure(
        traces,
        height=460,
        xaxis={"type": "category", "zeroline": False},
        yaxis={"title": {"text": "held-out score"}, "zeroline": False, "tickformat": ".2f"},
    )


def _planned_panel(c: Comparison) -> Panel | None:
    """Planned against realised, for jobs that planned in score."""
    pairs = [(job, job.row) for job in c.with_deployment if job.row and job.planned_unit == "score"]
    if len(pairs) < 2:
        return None
    differences = [row.score - row.planned for _, row in pairs]
    worst = max(pairs, key=lambda pair: abs(pair[1].score - pair[1].planned))
    caption = (
        "What the plan promised from validation queries, and what held-out queries gave. On the line both agree; below "
        f"it the plan was too hopeful. Mean difference {signed(mean(differences))}, largest "
        f"{signed(worst[1].score - worst[1].planned)} (job {worst[0].job})."
    )
    values = [value for _, row in pairs for value in (row.planned, row.score)]
    ends = [min(values), max(values)]
    traces = [
        go.Scatter(
            x=ends, y=ends, mode="lines", name="planned = realised", line=quiet_line(1.5), hoverinfo="skip"
        ),
        go.Scatter(
            x=[row.planned for _, row in pairs],
            y=[row.score for _, row in pairs],
            mode="markers",
            name="a job",
            marker={"color": MOE2.colour, "symbol": MOE2.symbol, "size": 10, "opacity": 0.8},
            hovertext=[f"planned {score(row.planned)}<br>{job_hover(job, c)}" for job, row in pairs],
            hoverinfo="text",
        ),
    ]
    drawn = figure(
        traces,
        height=420,
        xaxis={"title": {"text": "planned score"}, "zeroline": False, "tickformat": ".2f"},
        yaxis={"title": {"text": "realised held-out score"}, "zeroline": False, "tickformat": ".2f"},
    )
    return Panel("planned", "Plans: planned against realised", caption, drawn)
