"""What planned subsets come to on held-out queries: the frontier's rows, and the chosen deployment's figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moe2_pl.planning._baselines import baseline_rows
from moe2_pl.planning._budgets import UNLIMITED
from moe2_pl.planning._contrasts import contrast_rows
from moe2_pl.planning._judge import Queries
from moe2_pl.planning._load import load_curve
from moe2_pl.planning._parts import leaner, part_rows
from moe2_pl.planning._results import BaselineRow, ContrastRow, FrontierRow, LoadRow, PartRow
from moe2_pl.planning._routers import Router
from moe2_pl.selection import Budget, Solution

__all__ = ["Findings", "findings"]


@dataclass(frozen=True)
class Findings:
    """Held-out figures of a run.

    Args:
        rows: of every budget, in their order.
        load: the chosen deployment at several arrival rates; empty where it is infeasible, or all of the pool
            answers every query.
        baselines: MoE² and the baselines under each named budget with a limit.
        contrasts: the chosen deployment beside its alternatives; empty where it is infeasible.
        parts: the chosen deployment without each device and expert, likewise.
        validation_score: mean score of validation queries in the chosen deployment; NaN where it is infeasible.
    """

    rows: tuple[FrontierRow, ...]
    load: tuple[LoadRow, ...]
    baselines: tuple[BaselineRow, ...]
    contrasts: tuple[ContrastRow, ...] = ()
    parts: tuple[PartRow, ...] = ()
    validation_score: float = float("nan")


def findings(
    held_out: Queries,
    validation: Queries,
    routers: Mapping[str, Router],
    solutions: Mapping[str, Sequence[Solution]],
    named: Mapping[str, Budget],
    grid: Sequence[Budget],
    chosen: str,
) -> Findings:
    """Realise every budget's subset.

    Args:
        held_out: queries to judge by.
        validation: queries to choose by.
        routers: ``moe2``, ``lookup`` and, where families are known, ``family_oracle``.
        solutions: router → its solutions of the named budgets, then of the grid.
        named: name → budget.
        grid: of budgets.
        chosen: name of the budget that was asked for.
    """
    rows = tuple(
        held_out.frontier_row(
            name,
            budget,
            solutions["moe2"][at],
            routers,
            {key: found[at] for key, found in solutions.items() if key != "moe2"},
        )
        for at, (name, budget) in enumerate([*named.items(), *(("grid", budget) for budget in grid)])
    )
    of_budget = {key: dict(zip(named, found, strict=False)) for key, found in solutions.items()}
    limited = {name: budget for name, budget in named.items() if name != UNLIMITED}
    baselines = tuple(baseline_rows(held_out, routers, of_budget, limited))
    best = of_budget["moe2"][chosen]
    if not best.experts:
        return Findings(rows, (), baselines)
    moe2 = routers["moe2"]
    fewer = leaner(validation, moe2, best)
    return Findings(
        rows,
        _load(held_out, moe2, best),
        baselines,
        contrasts=tuple(contrast_rows(held_out, routers, of_budget, chosen, named[chosen], fewer)),
        parts=tuple(part_rows(held_out, moe2, best)),
        validation_score=float(validation.under_load(moe2.on_planning_queries(), best).score.mean()),
    )


def _load(held_out: Queries, router: Router, best: Solution) -> tuple[LoadRow, ...]:
    planner = held_out.planner
    if planner.energy_model != "deployed":
        return ()
    got = held_out.under_load(router, best)
    return load_curve(
        planner.pool, held_out.costs, got.choice, got.latency_s, got.utilisation, planner.queries_per_s
    )
