"""What the paper compares with, under the same budgets: one device, all experts, chance, greed, and no gate."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from moe2_pl.planning._judge import Queries, Realised, best_single
from moe2_pl.planning._results import BaselineRow
from moe2_pl.planning._routers import Router
from moe2_pl.selection import Budget, Solution, sweep

__all__ = ["baseline_rows"]

_DRAWS = 100
_SUBSETS = 20


def baseline_rows(
    held_out: Queries,
    routers: Mapping[str, Router],
    solutions: Mapping[str, Mapping[str, Solution]],
    budgets: Mapping[str, Budget],
) -> Iterator[BaselineRow]:
    """MoE² and its baselines under every budget; where a baseline has no feasible subset it has no row.

    - *best single expert*, *single device*: the expert, and the device with its best load, of most planned value.
    - *lookup*: its own subset and routing by a table of training means.
    - *greedy*: the gate's routing in the subset of the solver ``greedy``.
    - *random subset*: the gate's routing in random feasible subsets.
    - *no gate*: MoE²'s subset, every query to an allowed expert at random.
    - *uniform ensemble*: all of MoE²'s subset answers, is paid for and waited for, whatever the limits; mean
      probabilities choose. Only where the outputs hold the options' log-probabilities.
    - *all experts*: the gate's routing with everything deployed, whatever the limits.

    Args:
        held_out: queries to judge by.
        routers: ``moe2`` and ``lookup``.
        solutions: router → budget → its solution.
        budgets: by name.
    """
    moe2, names = routers["moe2"], held_out.planner.pool.names

    def row(baseline: str, budget: str, experts: tuple[str, ...], *got: Realised) -> BaselineRow:
        score, energy_j, latency_s = (
            float(np.mean([getattr(one, key).mean() for one in got]))
            for key in ("score", "energy_j", "latency_s")
        )
        return BaselineRow(baseline, budget, score, energy_j, latency_s, experts, len(got))

    for name, budget in budgets.items():
        best = solutions["moe2"][name]
        if not best.experts:
            continue
        yield row("MoE²", name, best.experts, held_out.under_load(moe2, best))
        table = solutions["lookup"][name]
        if table.experts:
            yield row("lookup", name, table.experts, held_out.under_load(routers["lookup"], table))
        single = best_single(routers["lookup"].problem, budget)
        if single is not None:
            yield row("best single expert", name, (names[single],), held_out.single(single))
        alone = _single_device(held_out, moe2, budget)
        if alone is not None:
            yield row("single device", name, alone.experts, held_out.under_load(moe2, alone))
        (greedy,) = sweep(moe2.problem, [budget], "greedy")
        if greedy.experts:
            yield row("greedy", name, greedy.experts, held_out.under_load(moe2, greedy))
        drawn = [held_out.under_load(moe2, subset) for subset in _random_subsets(moe2, budget)]
        if drawn:
            yield row("random subset", name, (), *drawn)
        yield row("no gate", name, best.experts, held_out.at_random(best))
        together = held_out.ensemble(best)
        if together is not None:
            yield row("uniform ensemble", name, best.experts, together)
    yield row("all experts", "unlimited", names, held_out.everything(moe2.rank))


def _single_device(held_out: Queries, router: Router, budget: Budget) -> Solution | None:
    """The best feasible subset of any one device's experts."""
    planner, problem = held_out.planner, router.problem
    found = []
    for d in range(len(planner.pool.devices)):
        elsewhere = tuple(
            n for n, at in zip(planner.pool.names, planner.pool.device_index, strict=True) if at != d
        )
        if set(planner.required) & set(elsewhere):
            continue
        there = replace(planner, excluded=tuple({*planner.excluded, *elsewhere}))
        (solution,) = sweep(there.problem(problem.utility, problem.category), [budget])
        found += [solution] if solution.experts else []
    return max(found, key=lambda s: s.value, default=None)


def _random_subsets(router: Router, budget: Budget) -> list[Solution]:
    """The first feasible subsets of random draws."""
    found: list[Solution] = []
    for seed in range(_DRAWS):
        (solution,) = sweep(router.problem, [budget], "random", node_limit=1, seed=seed)
        found += [solution] if solution.experts else []
        if len(found) == _SUBSETS:
            break
    return found
