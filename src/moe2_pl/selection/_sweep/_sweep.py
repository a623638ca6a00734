"""`sweep`: many budgets of one problem as one search, each answer helping the others.

It goes from loose budgets to tight ones. What is shared is in `_Shared`; the searches themselves are
the solvers' own.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from moe2_pl.selection._collapse import Collapsed
from moe2_pl.selection._problem._budget import Budget
from moe2_pl.selection._problem._instance import Instance
from moe2_pl.selection._problem._problem import SelectionProblem
from moe2_pl.selection._solution import Solution, conclude
from moe2_pl.selection._solvers._registry import solver_named
from moe2_pl.selection._solvers._search import Search, SearchOptions
from moe2_pl.selection._sweep._device_sets import DeviceSets, device_sets

__all__ = ["sweep"]

_MOST_CANDIDATES = 6
_MOST_CANDIDATES_WHEN_STOPPED = 200
_MOST_DEVICE_SETS = 1024

FloatArray = NDArray[np.float64]


class _Shared:
    """Subsets, bounds and multipliers of the budgets solved so far.

    A budget's *reach* is what it lets happen: see `_reaches`. With b ≤ b' meaning that no entry of b's
    reach is above that of b', U*(b) ≤ U*(b') for monotone utilities and for ``active``, so a bound for
    b' bounds b; budgets of equal reach have the same answer whatever the utility. A budget tighter than
    an infeasible one is infeasible. Any subset may be tried at any budget, by its own masks there.
    """

    def __init__(self, problem: SelectionProblem, reaches: FloatArray) -> None:
        self.bounds_hold = problem.evaluator.monotone or problem.energy_model == "active"
        self.reaches = reaches
        self.solved: list[int] = []
        self._first: dict[bytes, int] = {}
        self.bounds = np.full(len(reaches), np.inf)
        self.masks: dict[int, NDArray[np.bool_]] = {}
        self.root: tuple[NDArray[np.float32], FloatArray] | None = None

    def seed(self, search: Search, position: int, most_candidates: int) -> None:
        """Give a new search what the others found: multipliers, a bound, subsets to try."""
        solved, reach = np.array(self.solved, dtype=np.intp), self.reaches[position]
        looser = solved[(self.reaches[solved] >= reach).all(axis=1)]
        same = looser[(self.reaches[looser] == reach).all(axis=1)]
        binding = looser if self.bounds_hold else same
        known = self.bounds[binding].min(initial=np.inf)
        if np.isneginf(self.bounds[looser]).any():
            known = -np.inf
        search.root = self.root
        search.lower_bound_to(float(known))
        if search.bound == -np.inf:
            return
        # The last of the looser budgets are the nearest ones.
        tried: set[bytes] = set()
        for k in [*looser[::-1], *solved[::-1]]:
            mask = self.masks[int(k)]
            if len(tried) >= most_candidates or search.hopeless(search.bound):
                return
            if mask.any() and mask.tobytes() not in tried:
                tried.add(mask.tobytes())
                search.offer(mask)

    def twin(self, position: int) -> int | None:
        """A budget already solved that has the same answer, if there is one."""
        return self._first.get(self.reaches[position].tobytes())

    def learn(self, search: Search, position: int, *, proves: bool) -> None:
        """Keep what a finished search found; its bound only where that is rigorous."""
        self.solved.append(position)
        self._first.setdefault(self.reaches[position].tobytes(), position)
        infeasible = proves and search.value == -np.inf and not search.stopped
        if infeasible:
            self.bounds[position] = -np.inf
        elif proves and search.violation is None:
            self.bounds[position] = search.bound
        self.masks[position] = search.mask
        self.root = search.root


def _reaches(instances: Sequence[Instance]) -> FloatArray:
    """What each budget lets happen, [budgets, …], entries that only grow with its limits.

    ``deployed``: over all sets of devices, how often category c may use expert j, [C · N]: with equal
    counts, masks are equal everywhere. With too many devices to go through, E_c where latency lets j
    answer, and −1 where it does not. ``active``: the limits.
    """
    first = instances[0]
    if not first.deployed:
        return np.array([np.concatenate([i.energy_limit, i.latency_limit]) for i in instances])
    usable = ~first.problem.excluded
    sets = device_sets(first.problem, _MOST_DEVICE_SETS)
    if sets is None:
        return np.array(
            [np.where(i.quick & usable, i.energy_limit[:, None], -1.0).ravel() for i in instances]
        )
    levels = np.unique([first.idle(devices) for devices in sets])[:, None, None]
    return np.array([(i.open_at(levels) & usable).sum(axis=0).ravel() for i in instances], dtype=np.float64)


def sweep(
    problem: SelectionProblem,
    budgets: Sequence[Budget],
    solver: str = "monotonic",
    time_limit_s: float = 60.0,
    *,
    total_time_limit_s: float = np.inf,
    on_solution: Callable[[int, Solution], None] | None = None,
    on_interrupt: Callable[[], None] | None = None,
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
        on_interrupt: called once, at the end, if Ctrl-C ended searching.
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
    if not budgets:
        return []
    collapsed = Collapsed.of(problem, settings.merge_tolerance)
    instances = [collapsed.problem.at(budget) for budget in budgets]
    reaches = _reaches(instances)
    shared = _Shared(collapsed.problem, reaches)
    few_devices = solver == "monotonic" and DeviceSets.suits(collapsed.problem)
    run = DeviceSets(collapsed.problem).run if few_devices else chosen.run
    solutions: dict[int, Solution] = {}
    stopped = interrupted = False
    for position in _loosest_first(reaches):
        left = deadline - time.perf_counter()
        stopped = stopped or left <= 0
        twin = shared.twin(position)
        if twin is not None and (solutions[twin].proven or stopped):
            solution = replace(solutions[twin], budget=budgets[position], nodes=0, wall_s=0.0)
        else:
            limit = time_limit_s if stopped else min(time_limit_s, left)
            search = Search(instances[position], replace(settings, time_limit_s=limit))
            try:
                shared.seed(search, position, _MOST_CANDIDATES_WHEN_STOPPED if stopped else _MOST_CANDIDATES)
                if stopped:
                    search.stopped = search.bound > -np.inf
                elif search.bound > -np.inf and not search.hopeless(search.bound):
                    run(search)
            except KeyboardInterrupt:
                search.stopped = stopped = interrupted = True
            shared.learn(search, position, proves=chosen.proves)
            solution = conclude(collapsed.lifted(search), solver, proves=chosen.proves, explained=False)
        solutions[position] = solution
        try:
            if on_solution is not None:
                on_solution(position, solution)
        except KeyboardInterrupt:
            stopped = interrupted = True
    if interrupted and on_interrupt is not None:
        on_interrupt()
    return [solutions[position] for position in range(len(budgets))]


def _loosest_first(reaches: FloatArray) -> list[int]:
    """An order in which no budget stands before one that is looser in every entry."""
    ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in reaches.T], axis=1)
    return [int(k) for k in np.argsort(-ranks.sum(axis=1), kind="stable")]
