"""`sweep`: many budgets of one problem, each answer helping the others."""

from collections.abc import Callable, Sequence

from moe2_pl.selection._budget import Budget
from moe2_pl.selection._problem import SelectionProblem
from moe2_pl.selection._solution import Solution
from moe2_pl.selection._solve import solve

__all__ = ["sweep"]


def sweep(
    problem: SelectionProblem,
    budgets: Sequence[Budget],
    solver: str = "monotonic",
    time_limit_s: float = 60.0,
    *,
    on_solution: Callable[[int, Solution], None] | None = None,
    **options: object,
) -> list[Solution]:
    """The best subset for each budget, in the order of ``budgets``.

    Args:
        problem: experts, costs and utility.
        budgets: the grid.
        solver: a name in `SOLVERS`.
        time_limit_s: for each budget.
        on_solution: called with the position and the solution as each is finished.
        options: the other arguments of `solve`.
    """
    solutions = []
    for position, budget in enumerate(budgets):
        solution = solve(problem, budget, solver, time_limit_s, **options)  # type: ignore[arg-type]
        solutions.append(solution)
        if on_solution is not None:
            on_solution(position, solution)
    return solutions
