"""What each device and expert of a deployment adds, and a deployment that does nearly as well without some of them."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from moe2_pl.cli.evaluation._planning import Router
from moe2_pl.cli.evaluation._realise import Queries, Realised, half_width
from moe2_pl.report import PartRow
from moe2_pl.selection import SelectionProblem, Solution

__all__ = ["leaner", "part_rows"]

Mask = NDArray[np.bool_]


def part_rows(held_out: Queries, router: Router, solution: Solution) -> Iterator[PartRow]:
    """The deployment without each device and, where a device loads several experts, without each of them.

    Nothing is planned anew: the other experts stay, and answer more, or more categories, once less idles. The last
    device has no row.

    Args:
        held_out: queries to judge by.
        router: that answers them.
        solution: the deployment.
    """
    problem, pool = router.problem, held_out.planner.pool
    whole = held_out.under_load(router, solution)
    names = [*pool.device_names, *pool.network.links]

    def row(gone: Mask) -> PartRow:
        device = int(problem.device[gone][0])
        of = PartRow(
            pool.device_names[device],
            problem.names(gone),
            bool(gone.sum() == _on(problem, solution, device).sum()),
        )
        if (gone & problem.required).any():
            return replace(of, required=True)
        rest = _without(problem, solution, gone)
        if rest is None:
            left = problem.allowed(solution.mask & ~gone, solution.budget).any(axis=1)
            return replace(of, unserved=tuple(np.array(problem.categories)[~left].tolist()))
        got = held_out.under_load(router, rest)
        difference = got.score - whole.score
        return replace(
            of,
            difference=float(difference.mean()),
            half_width=half_width(difference),
            energy_j=float(got.energy_j.mean() - whole.energy_j.mean()),
            latency_s=float(got.latency_s.mean() - whole.latency_s.mean()),
            overloads=tuple(names[at] for at in np.flatnonzero(_overloaded(got) & ~_overloaded(whole))),
        )

    yield from map(row, _parts(problem, solution))


def leaner(validation: Queries, router: Router, solution: Solution) -> Solution | None:
    """A deployment with some of the same experts that takes fewer joules and scores nearly as much.

    Parts are left out one after the other, each time the one without which the plan takes the fewest joules, as long
    as the mean validation score falls by no more than one standard error of its paired difference to the whole
    deployment: the one-standard-error rule, by which Breiman, Friedman, Olshen and Stone (Classification and
    Regression Trees, 1984, section 3.4.3) choose the simplest model, on differences, which is stricter than on
    scores. Only validation queries choose, so that held-out ones can judge.

    Args:
        validation: queries to choose by.
        router: with validation queries to rank.
        solution: the deployment.

    Returns:
        None where nothing can be left out.
    """
    problem = router.problem
    planned = router.on_planning_queries()
    whole = validation.under_load(planned, solution)
    best: Solution | None = None
    while True:
        now = best or solution
        rests = [_without(problem, now, gone) for gone in _parts(problem, now)]
        fewer = sorted(
            (rest for rest in rests if rest and rest.joules < now.joules), key=lambda rest: rest.joules
        )
        accepted = (rest for rest in fewer if _nearly(validation.under_load(planned, rest), whole))
        step = next(accepted, None)
        if step is None:
            return best
        best = step


def _nearly(got: Realised, whole: Realised) -> bool:
    falls = whole.score - got.score
    return bool(
        falls.mean() <= half_width(falls) / 1.96 and not (_overloaded(got) & ~_overloaded(whole)).any()
    )


def _overloaded(got: Realised) -> Mask:
    return np.asarray(got.utilisation >= 1)


def _parts(problem: SelectionProblem, solution: Solution) -> Iterator[Mask]:
    """Masks [N]: each device's experts, where there is another device; each expert that shares its device."""
    for device in solution.devices:
        here = _on(problem, solution, device)
        if len(solution.devices) > 1:
            yield here
        if here.sum() > 1:
            for j in np.flatnonzero(here):
                yield np.arange(len(here)) == j


def _on(problem: SelectionProblem, solution: Solution, device: int) -> Mask:
    return np.asarray(solution.mask & (problem.device == device))


def _without(problem: SelectionProblem, solution: Solution, gone: Mask) -> Solution | None:
    """The deployment less some experts; None where that breaks the budget or a requirement."""
    mask, at = solution.mask & ~gone, problem.at(solution.budget)
    if not mask.any() or not at.feasible(mask):
        return None
    return replace(
        solution,
        experts=problem.names(mask),
        indices=tuple(int(j) for j in np.flatnonzero(mask)),
        mask=mask,
        allowed=np.array(at.allowed(mask)),
        value=at.value(mask),
        bound=np.inf,
        status="heuristic",
        devices=problem.devices(mask),
        idle_j=problem.idle_j(mask),
        joules=at.joules(mask),
    )
