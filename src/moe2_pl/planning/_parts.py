"""What each device and expert adds or would add, and a deployment that does nearly as well without some of them."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from moe2_pl.planning._judge import Queries, Realised, paired
from moe2_pl.planning._results import PartRow
from moe2_pl.planning._routers import Router
from moe2_pl.selection import SelectionProblem, Solution

__all__ = ["leaner", "part_rows"]

Mask = NDArray[np.bool_]

# Of the whole deployment's joules: less is not worth another deployment.
_LEAST_SAVING = 0.01


def part_rows(held_out: Queries, router: Router, solution: Solution) -> Iterator[PartRow]:
    """The deployment without devices and experts, and with each further expert: one change at a time.

    Left out are each device, each expert that shares one, and last several devices, one after the other, each time the
    one without which the rest plans highest. Nothing is planned anew: the others stay, and answer more, or more
    categories, once less idles. The last device has no row, and neither has an expert that the configuration excludes.

    Args:
        held_out: queries to judge by.
        router: that answers them.
        solution: the deployment.
    """
    problem, pool = router.problem, held_out.planner.pool
    at, whole = problem.at(solution.budget), held_out.under_load(router, solution)
    names = [*pool.device_names, *pool.network.links]

    def row(mask: Mask, of: PartRow) -> PartRow:
        changed = _changed(problem, solution, mask)
        if changed is None:
            left = at.allowed(mask).any(axis=1)
            return replace(of, unserved=tuple(np.array(problem.categories)[~left].tolist()))
        got = held_out.under_load(router, changed)
        difference, half = paired(got, whole)
        return replace(
            of,
            difference=difference,
            half_width=half,
            energy_j=float(got.energy_j.mean() - whole.energy_j.mean()),
            latency_s=float(got.latency_s.mean() - whole.latency_s.mean()),
            overloads=tuple(names[d] for d in np.flatnonzero(_overloaded(got) & ~_overloaded(whole))),
        )

    for gone in _parts(problem, solution):
        device = int(problem.device[gone][0])
        whole_device = bool(gone.sum() == _on(problem, solution, device).sum())
        of = PartRow("without", (pool.device_names[device],), problem.names(gone), whole_device)
        required = bool((gone & problem.required).any())
        yield replace(of, required=True) if required else row(solution.mask & ~gone, of)
    for devices, gone in _several_devices(problem, solution):
        of = PartRow("without", tuple(pool.device_names[d] for d in devices), problem.names(gone), True)
        yield row(solution.mask & ~gone, of)
    for j in np.flatnonzero(~solution.mask & ~problem.excluded):
        mask, device = solution.mask | (np.arange(problem.n_experts) == j), int(problem.device[j])
        idle_j = problem.idle_j(mask) - solution.idle_j
        of = PartRow("with", (pool.device_names[device],), (problem.experts[j],), idle_j=idle_j)
        yield row(mask, of) if at.stands(mask) else replace(of, room=False)


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
        None where nothing that saves at least 1 % can be left out.
    """
    problem = router.problem
    planned = router.on_planning_queries()
    whole = validation.under_load(planned, solution)
    most_j = (1 - _LEAST_SAVING) * whole.energy_j.mean()
    now, energy_j = solution, whole.energy_j.mean()
    while True:
        rests = [_changed(problem, now, now.mask & ~gone) for gone in _parts(problem, now)]
        fewer = sorted((r for r in rests if r and r.joules < now.joules), key=lambda rest: rest.joules)
        for rest in fewer:
            got = validation.under_load(planned, rest)
            # Planned joules know no prices of busy devices.
            if got.energy_j.mean() < energy_j and _nearly(got, whole):
                now, energy_j = rest, got.energy_j.mean()
                break
        else:
            return now if energy_j <= most_j else None


def _nearly(got: Realised, whole: Realised) -> bool:
    falls, half = paired(whole, got)
    return falls <= half / 1.96 and not (_overloaded(got) & ~_overloaded(whole)).any()


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


def _several_devices(problem: SelectionProblem, solution: Solution) -> Iterator[tuple[list[int], Mask]]:
    """Two and more devices of a deployment, in the order in which they are left out, and their experts [N]."""
    at, now, gone = problem.at(solution.budget), solution.mask, []
    while len(left := problem.devices(now)) > 1:
        value, device = max((at.value(now & (problem.device != d)), -d) for d in left)
        if value == -np.inf:
            return
        gone.append(-device)
        now = now & (problem.device != -device)
        if len(gone) > 1:
            yield list(gone), solution.mask & ~now


def _on(problem: SelectionProblem, solution: Solution, device: int) -> Mask:
    return np.asarray(solution.mask & (problem.device == device))


def _changed(problem: SelectionProblem, solution: Solution, mask: Mask) -> Solution | None:
    """Another subset under the same budget; None where that breaks the budget or a requirement."""
    at = problem.at(solution.budget)
    if not at.feasible(mask):
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
