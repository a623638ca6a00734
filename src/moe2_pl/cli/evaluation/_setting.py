"""Everything about a run that does not depend on the gate: pool, costs, baselines, budgets."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe2_pl.cli.evaluation._budgets import budget_grid, configured_budget, preset_budgets, unlimited_told
from moe2_pl.cli.evaluation._planning import Planner, Router, outcome_costs, table_router
from moe2_pl.errors import ConfigError, InfeasibleBudgetError
from moe2_pl.outputs import ExpertOutputs, ExpertOutputsDataModule
from moe2_pl.pool import Costs, ExpertPool
from moe2_pl.selection import Budget, solve

__all__ = ["Setting", "prepare"]

log = logging.getLogger(__name__)

Config = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Setting:
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


def prepare(config: Config, pool: ExpertPool, data: ExpertOutputsDataModule) -> Setting:
    """Costs, baselines and budgets of a run; refuses an infeasible budget before anything is trained.

    Args:
        config: ``expert_pool``, ``traffic``, ``solver``, ``budget``, ``tariff`` and ``sweep`` of the configuration.
        pool: N experts.
        data: outputs of at least the pool's models.

    Raises:
        InfeasibleBudgetError: what each category needs alone, and by how much the budget would have to grow.
    """
    target = config["traffic"]["max_utilisation"]
    if target is not None and not 0 < target <= 1:
        raise ConfigError(f"traffic.max_utilisation is {target}; need a share above 0 and at most 1, or null")
    settings = config["expert_pool"]
    outputs = data.outputs.select_experts(pool.model_ids)
    costs = outcome_costs(pool, outputs, settings["output_tokens"])
    train, validation, test = data.split
    planner = Planner.from_costs(
        pool,
        outputs,
        costs,
        np.concatenate([train, validation]),
        queries_per_s=config["traffic"]["queries_per_s"],
        energy_model=settings["energy_model"],
        required=tuple(settings["required"]),
        excluded=tuple(settings["excluded"]),
        max_experts=settings["max_experts"],
    )
    parts = (train, validation, test)
    hidden = data.hparams["category"] == "unknown"
    kind = np.zeros(len(outputs), dtype=np.int64) if hidden else outputs.category
    baselines = {"lookup": table_router("lookup", planner, outputs, parts, kind)}
    if outputs.family is not None:
        baselines["family_oracle"] = table_router("family oracle", planner, outputs, parts, outputs.family)
    problem = baselines["lookup"].problem
    budgets = preset_budgets(problem)
    chosen, budget = configured_budget(config["budget"], budgets, planner.queries_per_s, config["tariff"])
    if told := unlimited_told(config["budget"], budget, problem.categories):
        log.info("%s", told)
    found = solve(problem, budget, config["solver"]["name"])
    if found.status == "infeasible":
        why = found.infeasibility
        raise InfeasibleBudgetError(f"budget '{chosen}': {why}", short=why.verdict if why else "")
    grid = budget_grid(problem, config["sweep"]["energy_points"], config["sweep"]["latency_points"])
    return Setting(
        pool,
        data,
        outputs,
        costs,
        planner,
        baselines,
        {**budgets, chosen: budget},
        chosen,
        grid,
        config["tariff"],
        target,
    )
