"""Everything about a run that does not depend on the gate: pool, costs, baselines, budgets."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe2_pl.errors import ConfigError, InfeasibleBudgetError
from moe2_pl.outputs import ExpertOutputs, ExpertOutputsDataModule
from moe2_pl.planning._budgets import TARIFF, budget_grid, preset_budgets, unlimited_told, wanted_budget
from moe2_pl.planning._routers import Planner, Router, outcome_costs, table_router
from moe2_pl.pool import Costs, ExpertPool
from moe2_pl.selection import Budget, solve

__all__ = ["Inputs", "prepare"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Inputs:
    """Everything about a run that does not depend on the gate.

    Args:
        pool: N experts.
        data: the DataModule, loaded.
        outputs: its outputs, one column per model of the pool.
        costs: [n, N] of all queries.
        planner: category means and constraints.
        baselines: ``lookup`` and, where families are known, ``family_oracle``.
        budgets: name → budget: the presets, and the chosen one.
        chosen: name of the budget that was asked for.
        grid: budgets of the sweep.
        tariff: ``usd_per_kwh`` and ``co2_g_per_kwh``.
        max_utilisation: the ρ that routing keeps every device under where it can; None for whatever comes.
    """

    pool: ExpertPool
    data: ExpertOutputsDataModule
    outputs: ExpertOutputs
    costs: Costs
    planner: Planner
    baselines: Mapping[str, Router]
    budgets: Mapping[str, Budget]
    chosen: str
    grid: list[Budget]
    tariff: Mapping[str, float]
    max_utilisation: float | None


def prepare(
    pool: ExpertPool,
    data: ExpertOutputsDataModule,
    *,
    queries_per_s: float,
    budget: str | Budget | Mapping[str, Any] = "medium",
    output_tokens: Mapping[str, float] | None = None,
    max_utilisation: float | None = None,
    energy_model: str = "deployed",
    required: Iterable[str] = (),
    excluded: Iterable[str] = (),
    max_experts: int | None = None,
    tariff: Mapping[str, float] | None = None,
    energy_points: int = 0,
    latency_points: int = 0,
    solver: str = "monotonic",
) -> Inputs:
    """Costs, baselines and budgets of a run; refuses an infeasible budget before anything is trained.

    Args:
        pool: N experts of M models.
        data: outputs of at least the pool's models.
        queries_per_s: arrivals at the whole fleet.
        budget: a preset's name (tight, medium, loose, unlimited), limits, or a mapping as ``conf/budget`` holds it.
        output_tokens: family or category → assumed tokens of an answer; needed where the outputs counted none.
        max_utilisation: the ρ that routing keeps every device under where it can; None for whatever comes.
        energy_model: ``deployed`` (one expert answers a query) or ``active`` (all of the subset do).
        required, excluded: names of experts that every subset holds, and that none does.
        max_experts: most experts of a subset.
        tariff: ``usd_per_kwh`` and ``co2_g_per_kwh``; needed where the budget is in dollars or grams.
        energy_points, latency_points: size of the grid of budgets; 0 for none.
        solver: that checks whether the budget is feasible.

    Raises:
        ConfigError: a figure that makes no sense.
        InfeasibleBudgetError: what each category needs alone, and by how much the budget would have to grow.
    """
    if max_utilisation is not None and not 0 < max_utilisation <= 1:
        raise ConfigError(
            f"traffic.max_utilisation is {max_utilisation}; need a share above 0 and at most 1, or null"
        )
    outputs = data.outputs.select_experts(pool.model_ids)
    costs = outcome_costs(pool, outputs, output_tokens or {})
    train, validation, test = data.split
    planner = Planner.from_costs(
        pool,
        outputs,
        costs,
        np.concatenate([train, validation]),
        queries_per_s=queries_per_s,
        energy_model=energy_model,
        required=tuple(required),
        excluded=tuple(excluded),
        max_experts=max_experts,
    )
    parts = (train, validation, test)
    hidden = data.hparams["category"] == "unknown"
    kind = np.zeros(len(outputs), dtype=np.int64) if hidden else outputs.category
    baselines = {"lookup": table_router("lookup", planner, outputs, parts, kind)}
    if outputs.family is not None:
        baselines["family_oracle"] = table_router("family oracle", planner, outputs, parts, outputs.family)
    problem = baselines["lookup"].problem
    budgets = preset_budgets(problem)
    tariff = TARIFF if tariff is None else tariff
    chosen, limits = wanted_budget(budget, budgets, queries_per_s, tariff)
    if isinstance(budget, Mapping) and (told := unlimited_told(budget, limits, problem.categories)):
        log.info("%s", told)
    found = solve(problem, limits, solver)
    if found.status == "infeasible":
        why = found.infeasibility
        raise InfeasibleBudgetError(f"budget '{chosen}': {why}", short=why.verdict if why else "")
    grid = budget_grid(problem, energy_points, latency_points)
    named = {**budgets, chosen: limits}
    return Inputs(
        pool, data, outputs, costs, planner, baselines, named, chosen, grid, tariff, max_utilisation
    )
