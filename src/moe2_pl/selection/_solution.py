"""`Solution`: the plan a solver returns, with everything needed to judge it.

It is made from a finished `Search` by `conclude`, which also drops experts that add nothing.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from moe2_pl.selection._infeasible import EXPLAIN_LIMIT_S, Infeasibility, explain
from moe2_pl.selection._problem._budget import Budget
from moe2_pl.selection._solvers._search import Search, closed

__all__ = ["Solution", "Status", "conclude"]

Status = Literal["optimal", "gap", "epsilon", "heuristic", "infeasible"]


@dataclass(frozen=True, eq=False)
class Solution:
    """A subset, its value, and how far from the optimum it can be.

    Attributes:
        experts: names of S, in the pool's order.
        indices: their indices.
        mask: S as bool [N].
        allowed: M_c(S), bool [C, N].
        value: planned value U(S); −inf when nothing feasible was found.
        bound: no feasible subset is worth more; +inf where the solver proves nothing.
        status: ``optimal`` (proven), ``gap`` (valid bound, a limit was reached or queries were merged),
            ``epsilon`` (the bound rests on measured violations), ``heuristic`` (no bound),
            ``infeasible`` (proven).
        devices: indices of the devices that S uses.
        idle_j: idle energy of those devices, J a query.
        joules: mean energy of a query as `SelectionProblem.joules` gives it.
        budget: what was solved for.
        solver: the solver's name.
        nodes: how many subsets or boxes it looked at.
        wall_s: seconds it took.
        infeasibility: why nothing is feasible, with ``infeasible`` from `solve` only.
    """

    experts: tuple[str, ...]
    indices: tuple[int, ...]
    mask: NDArray[np.bool_] = field(repr=False)
    allowed: NDArray[np.bool_] = field(repr=False)
    value: float
    bound: float
    status: Status
    devices: tuple[int, ...]
    idle_j: float
    joules: float
    budget: Budget
    solver: str
    nodes: int
    wall_s: float
    infeasibility: Infeasibility | None = None

    @property
    def gap(self) -> float:
        """bound − value; 0 for a proven infeasible budget."""
        return 0.0 if self.status == "infeasible" else self.bound - self.value

    @property
    def gap_rel(self) -> float:
        """gap / max(|bound|, 1e-12), what percentages mean."""
        return self.gap / max(abs(self.bound), 1e-12) if math.isfinite(self.gap) else math.inf

    @property
    def proven(self) -> bool:
        """Whether the planned value is proven optimal, or the budget proven infeasible."""
        return self.status in ("optimal", "infeasible")


def conclude(search: Search, solver: str, *, proves: bool, explained: bool = True) -> Solution:
    """The solution that a finished search stands for."""
    instance, problem = search.instance, search.instance.problem
    found = search.value > -np.inf
    mask = _without_idlers(search) if found else np.zeros(problem.n_experts, dtype=bool)
    value = max(instance.value(mask), search.value) if found else -math.inf
    bound = max(search.bound, value) if proves else math.inf
    status: Status
    if proves and not found and (search.bound == -np.inf or not search.stopped):
        status, bound = "infeasible", -math.inf
    elif not proves:
        status = "heuristic"
    elif search.violation is not None:
        status = "epsilon"
    else:
        status = "optimal" if found and closed(value, bound) else "gap"
    return Solution(
        experts=problem.names(mask),
        indices=tuple(int(j) for j in np.flatnonzero(mask)),
        mask=mask,
        allowed=np.array(instance.allowed(mask)),
        value=value,
        bound=bound,
        status=status,
        devices=problem.devices(mask),
        idle_j=problem.idle_j(mask),
        joules=instance.joules(mask),
        budget=instance.budget,
        solver=solver,
        nodes=search.nodes,
        wall_s=search.elapsed_s,
        infeasibility=_why(search) if explained and status == "infeasible" else None,
    )


def _why(search: Search) -> Infeasibility:
    limit = min(EXPLAIN_LIMIT_S, search.options.time_limit_s)
    return explain(search.instance.problem, search.instance.budget, limit)


def _without_idlers(search: Search) -> NDArray[np.bool_]:
    """Drop experts whose absence costs no value, the most expensive first."""
    instance, mask, value = search.instance, search.mask.copy(), search.value
    cost = instance.problem.energy_j.mean(axis=0)
    droppable = np.flatnonzero(mask & ~instance.problem.required)
    for j in sorted(droppable, key=lambda j: (-cost[j], -j)):
        mask[j] = False
        less = instance.value(mask)
        if less >= value:
            value = less
        else:
            mask[j] = True
    return mask
