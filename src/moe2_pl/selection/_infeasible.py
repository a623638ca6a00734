"""Why a budget is infeasible, by how much it would have to grow, and the range in which budgets matter.

The common factor, and what one limit alone would have to be, are found by a best-first search over which experts serve
the categories, whose least factor bounds what any completion needs: exact, unless its time limit ends it between two
bounds.
"""

import heapq
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import InfeasibleBudgetError, ProblemError
from moe2_pl.selection._problem._budget import Budget, rounded_up
from moe2_pl.selection._problem._instance import Instance
from moe2_pl.selection._problem._problem import SelectionProblem

__all__ = [
    "EXPLAIN_LIMIT_S",
    "BudgetRange",
    "CategoryRequirement",
    "Infeasibility",
    "OneLimit",
    "budget_range",
    "explain",
    "explain_infeasible",
]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

EXPLAIN_LIMIT_S = 10.0
_LIMITS = ("energy_j", "latency_s")


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
        energy = f"at least {self.energy_j:.4g} J ({self.energy_expert})"
        return f"{self.category} needs {energy} and at least {self.latency_s:.4g} s ({self.latency_expert})"


@dataclass(frozen=True)
class OneLimit:
    """The least that one limit would have to be if the other stays as it is.

    Attributes:
        name: ``energy_j`` or ``latency_s``.
        limit: the least that makes some subset feasible, J or s; None where categories have limits of their own.
        factor: by which it is to be multiplied; infinite on a limit of 0.
        category: the one that needs so much.
        experts: a subset feasible then.
    """

    name: str
    limit: float | None
    factor: float
    category: str
    experts: tuple[str, ...]

    def __str__(self) -> str:
        word, unit = {"energy_j": ("an energy limit", "J"), "latency_s": ("a latency limit", "s")}[self.name]
        if self.limit is None:
            what = f"{word.split()[1]} limits times {rounded_up(self.factor, 4):g}"
        else:
            what = f"{word} of {rounded_up(self.limit, 4):g} {unit}"
        return f"{what} ({self.category} needs it)"


@dataclass(frozen=True)
class Infeasibility:
    """What a budget lacks.

    Attributes:
        requirements: one per category.
        factor: a common factor on all limits that makes some subset feasible, and the smallest one when
            ``exact``; infinite when no budget would (memory, cardinality, or a limit of 0).
        at_least: no smaller factor makes any subset feasible; equal to ``factor`` when ``exact``.
        experts: a subset feasible at that factor.
        alone: of each limit that would suffice if it alone grew, how far; empty where none would, or time ran out.
    """

    requirements: tuple[CategoryRequirement, ...]
    factor: float
    at_least: float
    experts: tuple[str, ...]
    alone: tuple[OneLimit, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether the search for the factor was finished within its time limit."""
        return self.at_least == self.factor

    @property
    def verdict(self) -> str:
        """How far one limit would have to grow, or all of them where none is enough alone."""
        if self.alone:
            return f"{' or '.join(map(str, self.alone))} would do"
        grow = f"all limits times {rounded_up(self.factor, 4):g} would do"
        if not np.isfinite(self.factor):
            if self.exact:
                return "no larger budget helps"
            return f"all limits would have to grow at least {self.at_least:.4g} times"
        if self.exact:
            return grow
        return f"{grow}, and less than {self.at_least:.4g} would not (the time limit left the rest open)"

    def __str__(self) -> str:
        needs = "; ".join(str(requirement) for requirement in self.requirements)
        return f"no subset meets the budget: alone, {needs}; {self.verdict}"


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


def explain_infeasible(
    problem: SelectionProblem, budget: Budget, *, time_limit_s: float = EXPLAIN_LIMIT_S
) -> Infeasibility:
    """What each category needs alone, the smallest common factor on the limits, and what one limit alone could do.

    Args:
        problem: experts and costs; the utility plays no part.
        budget: an infeasible one.
        time_limit_s: of everything. After it, or Ctrl-C, the factor is the best found, beside a bound on the smallest.

    Raises:
        InfeasibleBudgetError: when the budget is feasible (factor ≤ 1), so there is nothing to explain.
    """
    result = explain(problem, budget, time_limit_s)
    if result.experts and problem.feasible(result.experts, budget):
        raise InfeasibleBudgetError(f"the budget is feasible: {', '.join(result.experts)} meet it")
    return result


def explain(problem: SelectionProblem, budget: Budget, time_limit_s: float) -> Infeasibility:
    """`explain_infeasible` without the check that the budget is infeasible."""
    deadline = time.perf_counter() + time_limit_s
    found = _least_factor(problem.at(budget), time_limit_s)
    requirements = tuple(_requirement(problem, c) for c in range(problem.n_categories))
    result = Infeasibility(requirements, found.factor, found.at_least, problem.names(found.mask))
    return replace(result, alone=_alone(problem, budget, deadline)) if result.exact else result


def _alone(problem: SelectionProblem, budget: Budget, deadline: float) -> tuple[OneLimit, ...]:
    """What each limit would have to be if the other stayed; only what is proven to be the least."""
    found = []
    for name in _LIMITS:
        limit = getattr(budget, name)
        if limit is None or limit == np.inf:
            continue
        shared = isinstance(limit, float)
        # Of one limit for all the factor on 1 is the limit, also where 0 was asked for.
        instance = problem.at(replace(budget, **{name: 1.0}) if shared else budget)
        least = _least_factor(instance, deadline - time.perf_counter(), (name,))
        if least.at_least < least.factor:
            break
        if 0 < least.factor < np.inf:
            needy = problem.categories[int(np.argmax(_served(instance, least.mask, (name,))))]
            experts = problem.names(least.mask)
            if shared:
                factor = least.factor / limit if limit else np.inf
                found.append(OneLimit(name, least.factor, factor, needy, experts))
            else:
                found.append(OneLimit(name, None, least.factor, needy, experts))
    return tuple(found)


def budget_range(problem: SelectionProblem) -> BudgetRange:
    """Where the pool's budgets begin and cease to matter, for presets and sweep grids.

    Some subset is feasible at the lower ends; in pools too large for `explain_infeasible` to finish they
    need not be the lowest such budgets.

    Raises:
        ProblemError: when memory, cardinality and requirements allow no subset at all.

    Example:
        >>> from moe2_pl.selection import FacilityLocation
        >>> budget_range(SelectionProblem(FacilityLocation([[0.9, 0.2]]), energy_j=[5, 1], latency_s=[2, 3]))
        BudgetRange(energy_j=(1.0, 5.0), latency_s=(2.0, 3.0))
    """
    least_energy = _least_factor(problem.at(Budget(energy_j=1.0)), EXPLAIN_LIMIT_S).factor
    least_latency = _least_factor(problem.at(Budget(latency_s=1.0)), EXPLAIN_LIMIT_S).factor
    if not np.isfinite(least_energy):
        raise ProblemError("no budget is large enough: look at memory, max_experts, required, excluded")
    usable = ~problem.excluded
    if problem.energy_model == "deployed":
        instance = problem.at(Budget())
        most_energy = instance.most_idle(instance.devices(usable)) + problem.energy_j[:, usable].max()
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


class _Least(NamedTuple):
    factor: float
    at_least: float
    mask: BoolArray


def _least_factor(instance: Instance, time_limit_s: float, growing: Collection[str] = _LIMITS) -> _Least:
    """min over packing S ⊇ required of the factor on the limits in ``growing`` at which S serves every category.

    ``deployed``: f(S) = max_c min_{j∈S} max((idle(S) + e_cj) / E_c, latency_cj / L_c), where the part of a limit that
    does not grow is 0 inside it and infinite outside. A node is a set S
    that must be included, and itself a candidate. For S to grow into something better, the category
    that needs the most must get a new expert; the bound of a node lets each category take its best
    one as if it alone were added. ``active``: every expert only adds cost, so the smallest S ⊇ required
    is enough.
    """
    deadline = time.perf_counter() + time_limit_s
    start = instance.problem.required.copy()
    if not instance.stands(start):
        return _Least(np.inf, np.inf, np.zeros_like(start))
    if not instance.deployed:
        return _least_factor_active(instance, start, growing)
    best, chosen = _dive(instance, start, growing)
    at_least = 0.0
    serial = count()
    seen = {start.tobytes()}
    queue = [(0.0, 0, next(serial), start)]
    try:
        while queue and queue[0][0] < best and time.perf_counter() < deadline:
            at_least, depth, _, mask = heapq.heappop(queue)
            least, here, factors = _needs(instance, mask, growing)
            if here.max() < best:
                best, chosen = float(here.max()), mask
            if max(at_least, least.max()) >= best:
                continue
            needy = int(np.argmax(here))
            for j in np.flatnonzero(instance.fits(mask) & (factors[needy] < best)):
                child = mask.copy()
                child[j] = True
                if child.tobytes() not in seen:
                    seen.add(child.tobytes())
                    floor = max(at_least, float(least.max()), float(factors[needy, j]))
                    heapq.heappush(queue, (floor, depth - 1, next(serial), child))
    except KeyboardInterrupt:
        return _Least(best, min(at_least, best), chosen)
    return _Least(best, min(queue[0][0], best) if queue else best, chosen)


def _dive(instance: Instance, mask: BoolArray, growing: Collection[str]) -> tuple[float, BoolArray]:
    """A good subset at once: give the category that needs the most its cheapest expert, while that helps."""
    best, chosen = np.inf, np.zeros_like(mask)
    while True:
        _, here, factors = _needs(instance, mask, growing)
        if here.max() < best:
            best, chosen = float(here.max()), mask
        needy = np.where(instance.fits(mask), factors[int(np.argmax(here))], np.inf)
        j = int(np.argmin(needy))
        if needy[j] >= here.max():
            return best, chosen
        mask = mask.copy()
        mask[j] = True


def _needs(
    instance: Instance, mask: BoolArray, growing: Collection[str]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Factors: each category's least with any S ⊇ mask, [C]; with S = mask, [C]; by expert, [C, N]."""
    problem = instance.problem
    on = instance.devices(mask)
    own = np.where(on[problem.device], 0.0, problem.idle_per_query_j[problem.device])
    factors = _factors(instance, instance.idle(on) + own + problem.energy_j, problem.latency_s, growing)
    possible = instance.fits(mask) | mask
    least = np.where(possible, factors, np.inf).min(axis=1)
    return least, np.where(mask, factors, np.inf).min(axis=1), factors


def _served(instance: Instance, mask: BoolArray, growing: Collection[str]) -> FloatArray:
    """The factor that each category needs with S = mask, [C]."""
    if instance.deployed:
        return _needs(instance, mask, growing)[1]
    problem = instance.problem
    energy = problem.energy_j[:, mask].sum(axis=1, keepdims=True)
    slowest = problem.latency_s[:, mask].max(axis=1, keepdims=True)
    return _factors(instance, energy, slowest + problem.aggregation_s[int(mask.sum())], growing)[:, 0]


def _factors(
    instance: Instance, energy_j: FloatArray, latency_s: FloatArray, growing: Collection[str]
) -> FloatArray:
    """The factor on the growing limits that each category needs to afford costs, all [C, any]."""
    budget, categories = instance.budget, instance.problem.categories
    energy = (
        _ratio(energy_j, budget.energy_limits(categories)[:, None])
        if "energy_j" in growing
        else np.where(energy_j <= instance.energy_limit[:, None], 0.0, np.inf)
    )
    latency = (
        _ratio(latency_s, budget.latency_limits(categories)[:, None])
        if "latency_s" in growing
        else np.where(latency_s <= instance.latency_limit[:, None], 0.0, np.inf)
    )
    return np.maximum(energy, latency)


def _ratio(cost: FloatArray, limit: FloatArray) -> FloatArray:
    """cost / limit, 0 for a cost of 0 or no limit, infinite for a cost against a limit of 0."""
    limit = np.broadcast_to(limit, cost.shape)
    quotient = np.divide(cost, limit, out=np.full(cost.shape, np.inf), where=limit > 0)
    return np.where(cost == 0, 0.0, quotient)


def _least_factor_active(instance: Instance, start: BoolArray, growing: Collection[str]) -> _Least:
    problem = instance.problem
    best, chosen = np.inf, np.zeros_like(start)
    singles = [None] if start.any() else list(np.flatnonzero(~problem.excluded))
    for j in singles:
        mask = start.copy()
        if j is not None:
            mask[j] = True
        if not instance.stands(mask):
            continue
        factor = float(_served(instance, mask, growing).max())
        if factor < best:
            best, chosen = factor, mask
    return _Least(best, best, chosen)
