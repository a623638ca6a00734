"""`solve`: one problem, one budget, one solver, one `Solution`."""

from moe2_pl.selection._collapse import Collapsed
from moe2_pl.selection._problem._budget import Budget
from moe2_pl.selection._problem._problem import SelectionProblem, Subset
from moe2_pl.selection._solution import Solution, conclude
from moe2_pl.selection._solvers._registry import solver_named
from moe2_pl.selection._solvers._search import Search, SearchOptions

__all__ = ["solve"]


def solve(
    problem: SelectionProblem,
    budget: Budget,
    solver: str = "monotonic",
    time_limit_s: float = 60.0,
    *,
    warm_start: Subset | None = None,
    **options: object,
) -> Solution:
    """The best subset under a budget, with a bound on how far from optimal it can be.

    Args:
        problem: experts, costs and utility.
        budget: what a query may cost in each category.
        solver: a name in `SOLVERS`.
        time_limit_s: after it the incumbent is returned with its gap.
        warm_start: a subset to start from; ignored where it is infeasible under this budget.
        options: the other fields of `SearchOptions`.

    Returns:
        A `Solution`; its status is ``infeasible`` when no subset meets the budget.

    Raises:
        UnknownNameError: no such solver, category or expert.
        ConfigError: a limit that makes no sense, or ``epsilon`` for a utility that has no ε-mode.

    Example:
        >>> from moe2_pl.selection import FacilityLocation
        >>> problem = SelectionProblem(FacilityLocation([[0.9, 0.2], [0.1, 0.6]]), [5, 1], [2, 1])
        >>> solution = solve(problem, Budget(energy_j=5))
        >>> solution.experts, solution.value, solution.status
        (('expert0', 'expert1'), 0.75, 'optimal')
    """
    chosen = solver_named(solver)
    settings = SearchOptions(time_limit_s=time_limit_s, **options)  # type: ignore[arg-type]
    collapsed = Collapsed.of(problem, settings.merge_tolerance)
    search = Search(collapsed.problem.at(budget), settings)
    if warm_start is not None:
        search.offer(problem.mask(warm_start))
    try:
        chosen.run(search)
    except KeyboardInterrupt:
        search.stopped = True
    return conclude(collapsed.lifted(search), solver, proves=chosen.proves)
