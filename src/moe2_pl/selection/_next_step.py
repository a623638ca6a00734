"""What a little more budget would buy: the nearest looser limit that is worth something."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from moe2_pl.errors import ProblemError
from moe2_pl.selection._infeasible import budget_range
from moe2_pl.selection._problem._budget import Budget
from moe2_pl.selection._problem._problem import SelectionProblem
from moe2_pl.selection._solution import Solution
from moe2_pl.selection._solve import solve

__all__ = ["Step", "next_step"]

# How close to the step the answer is, as a share of what has to be added.
_PRECISION = 1e-3


@dataclass(frozen=True)
class Step:
    """The next step of the frontier in one limit.

    Args:
        limit: ``energy_j`` or ``latency_s``.
        more: what has to be added to every category's limit, in J or s a query; at most .1 % too much.
        gain: by how much the planned value grows.
        solution: the plan there.
    """

    limit: Literal["energy_j", "latency_s"]
    more: float
    gain: float
    solution: Solution


def next_step(
    problem: SelectionProblem,
    budget: Budget,
    limit: Literal["energy_j", "latency_s"],
    solution: Solution,
    *,
    least_gain: float = 1e-3,
    **options: object,
) -> Step | None:
    """The smallest amount more of one limit for which a larger planned value is proven to exist.

    The best value never falls when a limit grows, so that the step can be bisected: about fifteen solves.

    Args:
        problem: with a monotone utility.
        budget: what to start from.
        limit: which limit grows; the other stays.
        solution: of ``budget``.
        least_gain: smaller gains are passed over.
        options: for :func:`solve`.

    Returns:
        None where the limit is absent, or no amount of it buys so much.

    Raises:
        ProblemError: a utility whose best value can fall when a limit grows.

    Example:
        >>> from moe2_pl.selection import FacilityLocation
        >>> problem = SelectionProblem(FacilityLocation([[0.9, 0.2], [0.1, 0.6]]), [5, 1], [2, 1])
        >>> step = next_step(problem, Budget(energy_j=1), "energy_j", solve(problem, Budget(energy_j=1)))
        >>> round(step.more, 1), round(step.gain, 2)
        (4.0, 0.35)
    """
    if not problem.evaluator.monotone:
        raise ProblemError("next_step: the best value of this utility can fall when a limit grows")
    limits = (budget.energy_limits if limit == "energy_j" else budget.latency_limits)(problem.categories)
    if not np.isfinite(limits).any() or not np.isfinite(solution.value):
        return None

    def with_more(more: float) -> Solution:
        grown = {name: float(value + more) for name, value in zip(problem.categories, limits, strict=True)}
        return solve(problem, replace(budget, **{limit: grown}), warm_start=solution.mask, **options)  # type: ignore[arg-type]

    def is_step(found: Solution) -> bool:
        return found.value >= solution.value + least_gain

    # What is enough for everybody, from the smallest limit.
    high = float(getattr(budget_range(problem), limit)[1] - limits.min())
    best = with_more(high) if high > 0 else solution
    if not is_step(best):
        return None
    low = 0.0
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        found = with_more(middle)
        if is_step(found):
            high, best = middle, found
        else:
            low = middle
    return Step(limit, high, best.value - solution.value, best)
