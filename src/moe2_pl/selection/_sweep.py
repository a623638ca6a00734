"""`sweep`: many budgets of one problem as one search, each answer helping the others.

It goes from loose budgets to tight ones. What is shared is in `_Shared`; the searches themselves are
the solvers' own.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from moe2_pl.selection._budget import Budget
from moe2_pl.selection._instance import Instance
from moe2_pl.selection._problem import SelectionProblem
from moe2_pl.selection._registry import solver_named
from moe2_pl.selection._search import Search, SearchOptions
from moe2_pl.selection._solution import Solution, conclude

__all__ = ["sweep"]

_MOST_CANDIDATES = 6


class _Shared:
    """Subsets, bounds and multipliers of the budgets solved so far.

    With b ≤ b' meaning that no limit of b is above that of b', U*(b) ≤ U*(b') for monotone utilities and
    for ``active``: so a bound for b' bounds b. A budget tighter than an infeasible one is infeasible.
    Any subset may be tried at any budget, by its own masks there.
    """

    def __init__(self, problem: SelectionProblem) -> None:
        self.bounds_hold = problem.evaluator.monotone or problem.energy_model == "active"
        self.limits = np.zeros((0, 2 * problem.n_categories))
        self.bounds = np.zeros(0)
        self.masks: list[NDArray[np.bool_]] = []
        self.root: tuple[NDArray[np.float32], NDArray[np.float64]] | None = None

    def looser(self, limits: NDArray[np.float64]) -> NDArray[np.intp]:
        return np.flatnonzero((self.limits >= limits).all(axis=1))

    def seed(self, instance: Instance, limits: NDArray[np.float64], options: SearchOptions) -> Search:
        """A search that already knows what the others found."""
        looser = self.looser(limits)
        known = self.bounds[looser]
        if len(known) and (self.bounds_hold or np.isneginf(known).any()):
            search = Search(instance, options, bound=float(known.min()), root=self.root)
        else:
            search = Search(instance, options, root=self.root)
        if search.bound == -np.inf:
            return search
        # The last of the looser budgets are the nearest ones.
        near = [self.masks[k] for k in looser[::-1]] + self.masks[::-1]
        tried: set[bytes] = set()
        for mask in near:
            if len(tried) >= _MOST_CANDIDATES or search.hopeless(search.bound):
                break
            if mask.any() and mask.tobytes() not in tried:
                tried.add(mask.tobytes())
                search.offer(mask)
        return search

    def learn(self, search: Search, limits: NDArray[np.float64], solution: Solution, proves: bool) -> None:
        self.limits = np.vstack([self.limits, limits])
        self.bounds = np.append(self.bounds, solution.bound if proves else np.inf)
        self.masks.append(solution.mask)
        self.root = search.root


def sweep(
    problem: SelectionProblem,
    budgets: Sequence[Budget],
    solver: str = "monotonic",
    time_limit_s: float = 60.0,
    *,
    total_time_limit_s: float = np.inf,
    on_solution: Callable[[int, Solution], None] | None = None,
    **options: object,
) -> list[Solution]:
    """The best subset for each budget, in the order of ``budgets``.

    A looser budget's bound bounds a tighter one, and its subset is tried there; where value and bound
    meet, nothing is searched. Ctrl-C or the total time limit ends searching, not the answer: budgets
    not reached get the best known subset with a valid bound and status ``gap``. Infeasible budgets are
    reported without `Infeasibility`; ask `explain_infeasible` for those of interest.

    Args:
        problem: experts, costs and utility.
        budgets: the grid, in any order.
        solver: a name in `SOLVERS`.
        time_limit_s: for each budget.
        total_time_limit_s: for the sweep.
        on_solution: called with the position and the solution as each is finished.
        options: the other fields of `SearchOptions`.

    Raises:
        UnknownNameError: no such solver or category.
        ConfigError: a limit that makes no sense.

    Example:
        >>> from moe2_pl.selection import FacilityLocation
        >>> problem = SelectionProblem(FacilityLocation([[0.9, 0.2], [0.1, 0.6]]), [5, 1], [2, 1])
        >>> [solution.value for solution in sweep(problem, [Budget(energy_j=e) for e in (1, 5)])]
        [0.4, 0.75]
    """
    chosen = solver_named(solver)
    settings = SearchOptions(time_limit_s=time_limit_s, **options)  # type: ignore[arg-type]
    deadline = time.perf_counter() + total_time_limit_s
    limits = np.array(
        [
            np.concatenate([b.energy_limits(problem.categories), b.latency_limits(problem.categories)])
            for b in budgets
        ]
    )
    shared = _Shared(problem)
    solutions: dict[int, Solution] = {}
    stopped = False
    for position in _loosest_first(limits):
        instance = problem.at(budgets[position])
        search = shared.seed(instance, limits[position], settings)
        stopped = stopped or time.perf_counter() > deadline
        if stopped:
            search.stopped = search.bound > -np.inf
            everything = np.broadcast_to(~problem.excluded, instance.quick.shape)
            search.lower_bound_to(problem.evaluator.bound(~everything & everything, everything))
        elif search.bound > -np.inf and not search.hopeless(search.bound):
            try:
                chosen.run(search)
            except KeyboardInterrupt:
                search.stopped = stopped = True
        solution = conclude(search, solver, proves=chosen.proves, explained=False)
        shared.learn(search, limits[position], solution, chosen.proves)
        solutions[position] = solution
        if on_solution is not None:
            on_solution(position, solution)
    return [solutions[position] for position in range(len(budgets))]


def _loosest_first(limits: NDArray[np.float64]) -> list[int]:
    """An order in which no budget stands before one that is looser in every limit."""
    if not len(limits):
        return []
    ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in limits.T], axis=1)
    return [int(k) for k in np.argsort(-ranks.sum(axis=1), kind="stable")]
