"""Why a budget is infeasible, by how much it would have to grow, and the range in which budgets matter.

The common factor is exact: a best-first search over which experts serve the categories, whose
least factor bounds what any completion needs.
"""

import heapq
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import InfeasibleBudgetError, ProblemError
from moe2_pl.selection._budget import Budget
from moe2_pl.selection._instance import Instance
from moe2_pl.selection._problem import SelectionProblem

__all__ = [
    "BudgetRange",
    "CategoryRequirement",
    "Infeasibility",
    "budget_range",
    "explain",
    "explain_infeasible",
]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CategoryRequirement:
    """The least that one category needs if it were the only one.

    Attributes:
        category: its name.
        energy_j: least energy of a query, idle of what must be on included, J.
        energy_expert: the expert that needs the least energy.
        latency_s: least latency, s.
        latency_expert: the fastest expert.
    """

    category: str
    energy_j: float
    energy_expert: str
    latency_s: float
    latency_expert: str

    def __str__(self) -> str:
        energy = f"{self.energy_j:.4g} J ({self.energy_expert})"
        return f"{self.category} needs {energy} and {self.latency_s:.4g} s ({self.latency_expert})"


@dataclass(frozen=True)
class Infeasibility:
    """What a budget lacks.

    Attributes:
        requirements: one per category.
        factor: the smallest common factor on all limits that makes some subset feasible; infinite
            when no budget would (memory, cardinality, or a limit of 0).
        experts: a subset feasible at that factor.
    """

    requirements: tuple[CategoryRequirement, ...]
    factor: float
    experts: tuple[str, ...]

    def __str__(self) -> str:
        needs = "; ".join(str(requirement) for requirement in self.requirements)
        grow = f"all limits times {self.factor:.4g} would do"
        verdict = grow if np.isfinite(self.factor) else "no larger budget helps"
        return f"no subset meets the budget: alone, {needs}; {verdict}"


@dataclass(frozen=True)
class BudgetRange:
    """The budgets between which anything changes.

    Attributes:
        energy_j: least energy at which something is feasible with unlimited latency, and the energy
            above which more changes nothing, J.
        latency_s: the same for latency with unlimited energy, s.
    """

    energy_j: tuple[float, float]
    latency_s: tuple[float, float]


def explain_infeasible(problem: SelectionProblem, budget: Budget) -> Infeasibility:
    """What each category needs alone, and the smallest common factor on the limits.

    Raises:
        InfeasibleBudgetError: when the budget is feasible (factor ≤ 1), so there is nothing to explain.
    """
    result = explain(problem, budget)
    if result.experts and problem.feasible(result.experts, budget):
        raise InfeasibleBudgetError(f"the budget is feasible: {', '.join(result.experts)} meet it")
    return result


def explain(problem: SelectionProblem, budget: Budget) -> Infeasibility:
    """`explain_infeasible` without the check that the budget is infeasible."""
    factor, mask = _least_factor(problem.at(budget))
    requirements = tuple(_requirement(problem, c) for c in range(problem.n_categories))
    return Infeasibility(requirements, factor, problem.names(mask))


def budget_range(problem: SelectionProblem) -> BudgetRange:
    """Where the pool's budgets begin and cease to matter, for presets and sweep grids.

    Raises:
        ProblemError: when memory, cardinality and requirements allow no subset at all.

    Example:
        >>> from moe2_pl.selection import FacilityLocation
        >>> budget_range(SelectionProblem(FacilityLocation([[0.9, 0.2]]), energy_j=[5, 1], latency_s=[2, 3]))
        BudgetRange(energy_j=(1.0, 5.0), latency_s=(2.0, 3.0))
    """
    least_energy, _ = _least_factor(problem.at(Budget(energy_j=1.0)))
    least_latency, _ = _least_factor(problem.at(Budget(latency_s=1.0)))
    if not np.isfinite(least_energy):
        raise ProblemError("no budget is large enough: look at memory, max_experts, required, excluded")
    usable = ~problem.excluded
    if problem.energy_model == "deployed":
        on = np.unique(problem.device[usable])
        most_energy = problem.idle_per_query_j[on].sum() + problem.energy_j[:, usable].max()
    else:
        most_energy = problem.energy_j[:, usable].sum(axis=1).max()
    size = min(problem.max_experts, int(usable.sum()))
    most_latency = problem.latency_s[:, usable].max() + problem.aggregation_s[size]
    return BudgetRange((least_energy, float(most_energy)), (least_latency, float(most_latency)))


def _requirement(problem: SelectionProblem, c: int) -> CategoryRequirement:
    usable = np.flatnonzero(~problem.excluded)
    energy, latency = [], []
    for j in usable:
        mask = problem.required.copy()
        mask[j] = True
        if problem.energy_model == "deployed":
            energy.append(problem.idle_j(mask) + problem.energy_j[c, j])
            latency.append(problem.latency_s[c, j])
        else:
            energy.append(problem.energy_j[c, mask].sum())
            latency.append(problem.latency_s[c, mask].max() + problem.aggregation_s[int(mask.sum())])
    cheap, quick = int(np.argmin(energy)), int(np.argmin(latency))
    return CategoryRequirement(
        category=problem.categories[c],
        energy_j=float(energy[cheap]),
        energy_expert=problem.experts[usable[cheap]],
        latency_s=float(latency[quick]),
        latency_expert=problem.experts[usable[quick]],
    )


def _least_factor(instance: Instance) -> tuple[float, BoolArray]:
    """min over packing S ⊇ required of the factor at which S serves every category.

    ``deployed``: f(S) = max_c min_{j∈S} max((idle(S) + e_cj) / E_c, latency_cj / L_c). A node is a set S
    that must be included, and itself a candidate. For S to grow into something better, the category
    that needs the most must get a new expert; the bound of a node lets each category take its best
    one as if it alone were added. ``active``: every expert only adds cost, so the smallest S ⊇ required
    is enough.
    """
    start = instance.problem.required.copy()
    best, chosen = np.inf, np.zeros_like(start)
    if not _loads(instance, start):
        return best, chosen
    if not instance.deployed:
        return _least_factor_active(instance, start)
    serial = count()
    seen = {start.tobytes()}
    queue = [(0.0, 0, next(serial), start)]
    while queue:
        bound, depth, _, mask = heapq.heappop(queue)
        if bound >= best:
            break
        least, here, factors = _needs(instance, mask)
        if here.max() < best:
            best, chosen = float(here.max()), mask
        if max(bound, least.max()) >= best:
            continue
        needy = int(np.argmax(here))
        for j in np.flatnonzero(instance.fits(mask) & (factors[needy] < best)):
            child = mask.copy()
            child[j] = True
            if child.tobytes() not in seen:
                seen.add(child.tobytes())
                floor = max(bound, float(least.max()), float(factors[needy, j]))
                heapq.heappush(queue, (floor, depth - 1, next(serial), child))
    return best, chosen


def _needs(instance: Instance, mask: BoolArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Factors: each category's least with any S ⊇ mask, [C]; with S = mask, [C]; by expert, [C, N]."""
    problem = instance.problem
    on = instance.devices(mask)
    own = np.where(on[problem.device], 0.0, problem.idle_per_query_j[problem.device])
    factors = _factors(instance, instance.idle(on) + own)
    possible = instance.fits(mask) | mask
    least = np.where(possible, factors, np.inf).min(axis=1)
    return least, np.where(mask, factors, np.inf).min(axis=1), factors


def _loads(instance: Instance, mask: BoolArray) -> bool:
    problem = instance.problem
    heavy = (instance.load(mask) > instance.memory_limit).any()
    return not heavy and int(mask.sum()) <= problem.max_experts and not (mask & problem.excluded).any()


def _factors(instance: Instance, idle: FloatArray) -> FloatArray:
    """The factor that each category needs to use each expert at an idle energy per expert, [C, N]."""
    problem, budget = instance.problem, instance.budget
    energy = _ratio(idle + problem.energy_j, budget.energy_limits(problem.categories)[:, None])
    latency = _ratio(problem.latency_s, budget.latency_limits(problem.categories)[:, None])
    return np.maximum(energy, latency)


def _ratio(cost: FloatArray, limit: FloatArray) -> FloatArray:
    """cost / limit, 0 for a cost of 0 or no limit, infinite for a cost against a limit of 0."""
    limit = np.broadcast_to(limit, cost.shape)
    quotient = np.divide(cost, limit, out=np.full(cost.shape, np.inf), where=limit > 0)
    return np.where(cost == 0, 0.0, quotient)


def _least_factor_active(instance: Instance, start: BoolArray) -> tuple[float, BoolArray]:
    problem, budget = instance.problem, instance.budget
    best, chosen = np.inf, np.zeros_like(start)
    singles = [None] if start.any() else list(np.flatnonzero(~problem.excluded))
    for j in singles:
        mask = start.copy()
        if j is not None:
            mask[j] = True
        if not _loads(instance, mask):
            continue
        energy = _ratio(problem.energy_j[:, mask].sum(axis=1), budget.energy_limits(problem.categories))
        seconds = problem.latency_s[:, mask].max(axis=1) + problem.aggregation_s[int(mask.sum())]
        factor = float(max(energy.max(), _ratio(seconds, budget.latency_limits(problem.categories)).max()))
        if factor < best:
            best, chosen = factor, mask
    return best, chosen
