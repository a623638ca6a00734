"""Planning: every router's best subset for every budget of a run, and the next step from the chosen one."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from moe2_pl.planning._judge import Queries, paired
from moe2_pl.planning._progress import Watch
from moe2_pl.planning._results import StepRow
from moe2_pl.planning._routers import Router
from moe2_pl.selection import Budget, Progress, Solution, next_step, sweep

__all__ = ["next_steps", "plan_budgets"]

log = logging.getLogger(__name__)

Config = Mapping[str, Any]


def plan_budgets(
    routers: Mapping[str, Router],
    budgets: Sequence[Budget],
    solver: Config,
    on_interrupt: Callable[[], None],
    watch: Watch,
) -> dict[str, list[Solution]]:
    """Router → its solutions in the order of the budgets.

    Args:
        routers: ``moe2`` and the baselines.
        budgets: of the run.
        solver: ``name``, and the fields of ``SearchOptions`` that ``conf/solver`` has.
        on_interrupt: as for :func:`moe2_pl.selection.sweep`.
        watch: shows progress.
    """
    solutions: dict[str, list[Solution]] = {}
    with watch("planning", len(budgets) * len(routers)) as advance:
        for key, router in routers.items():
            done = len(solutions) * len(budgets)
            finished, searching = _followed(key, budgets, done, advance)
            # The ε-mode is for mixtures; the baselines' values are means of scores, whatever the gate's objective.
            options = _options(solver) if key == "moe2" else {**_options(solver), "epsilon": False}
            solutions[key] = sweep(
                router.problem,
                budgets,
                solver=solver["name"],
                on_solution=finished,
                on_interrupt=on_interrupt,
                progress=searching,
                **options,
            )
    return solutions


def next_steps(
    held_out: Queries, router: Router, budget: Budget, solution: Solution, solver: Config
) -> Iterator[StepRow]:
    """What a little more of each limit would buy; nothing for a mixture, whose best value can fall as a limit grows."""
    if not router.problem.evaluator.monotone or not solution.experts:
        return
    now = held_out.under_load(router, solution)
    for limit in ("energy_j", "latency_s"):
        step = next_step(router.problem, budget, limit, solution, solver=solver["name"], **_options(solver))
        if step is not None:
            then = held_out.under_load(router, step.solution)
            difference, half = paired(then, now)
            yield StepRow(
                limit,
                step.more,
                step.gain,
                step.solution.experts,
                difference=difference,
                half_width=half,
                energy_j=float(then.energy_j.mean()),
                latency_s=float(then.latency_s.mean()),
            )


def _options(solver: Config) -> dict[str, Any]:
    return {key: value for key, value in solver.items() if key != "name"}


def _followed(
    router: str, budgets: Sequence[Budget], done: int, advance: Callable[[int, str], None]
) -> tuple[Callable[[int, Solution], None], Callable[[Progress], None]]:
    """What a sweep calls once a budget is planned, and while it searches for one."""
    count = done

    def finished(at: int, solution: Solution) -> None:
        nonlocal count
        count += 1
        advance(count, router)
        log.debug(
            "%s, %s: %s, value %.4f, gap %.2g, %d nodes, %.2f s: %s",
            *(router, budgets[at]),
            *(solution.status, solution.value, solution.gap, solution.nodes, solution.wall_s),
            " + ".join(solution.experts) or "–",
        )

    return finished, lambda state: advance(count, f"{router}, {state}")
