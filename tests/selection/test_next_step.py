"""The next step of a limit is where a finer search finds the value grow, and nothing smaller buys as much."""

import numpy as np
import pytest

from moe2_pl.errors import ProblemError
from moe2_pl.selection import (
    Budget,
    FacilityLocation,
    MixtureLikelihood,
    SelectionProblem,
    budget_range,
    next_step,
    solve,
)


def deployed(seed: int) -> SelectionProblem:
    """Eight experts on three devices, two categories; the better ones cost more."""
    rng = np.random.default_rng(seed)
    skill = rng.random(8)
    return SelectionProblem(
        FacilityLocation(np.clip(skill + rng.normal(0, 0.2, (60, 8)), 0, 1)),
        energy_j=(10 + 90 * skill) * rng.uniform(0.8, 1.2, (2, 8)),
        latency_s=(1 + 5 * skill) * rng.uniform(0.8, 1.2, (2, 8)),
        category=rng.integers(0, 2, 60),
        categories=("tutor", "coder"),
        device=[0, 0, 0, 1, 1, 1, 2, 2],
        idle_w=[1.0, 2.0, 3.0],
        queries_per_s=0.1,
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("limit", ["energy_j", "latency_s"])
def test_just_before_the_step_nothing_is_gained(seed, limit):
    problem = deployed(seed)
    limits = budget_range(problem)
    budget = Budget(float(np.mean(limits.energy_j)), float(np.mean(limits.latency_s)))
    here = solve(problem, budget)
    step = next_step(problem, budget, limit, here)
    at = {"energy_j": budget.energy_j, "latency_s": budget.latency_s}
    if step is None:
        assert solve(problem, Budget(**{**at, limit: None})).value < here.value + 1e-3
        return
    assert step.gain >= 1e-3
    assert solve(problem, Budget(**{**at, limit: at[limit] + step.more})).value == pytest.approx(
        here.value + step.gain
    )
    before = Budget(**{**at, limit: at[limit] + 0.998 * step.more})
    assert solve(problem, before).value < here.value + 1e-3


def test_limits_that_differ_grow_alike_and_absent_ones_have_no_step():
    problem = deployed(1)
    limits = budget_range(problem)
    low = dict.fromkeys(problem.categories, limits.energy_j[0] * 1.2) | {"default": limits.energy_j[1] / 2}
    budget = Budget(energy_j=low)
    here = solve(problem, budget)
    step = next_step(problem, budget, "energy_j", here)
    assert step is not None
    grown = {name: value + step.more for name, value in low.items() if name != "default"}
    assert step.solution.value == pytest.approx(solve(problem, Budget(energy_j=grown)).value)
    assert next_step(problem, budget, "latency_s", here) is None


def test_a_mixture_has_no_steps():
    rng = np.random.default_rng(0)
    utility = MixtureLikelihood(rng.dirichlet(np.ones(3), 20), np.log(rng.random((20, 3))))
    problem = SelectionProblem(utility, [1, 2, 3], [1, 1, 1])
    budget = Budget(energy_j=2)
    with pytest.raises(ProblemError, match="can fall"):
        next_step(problem, budget, "energy_j", solve(problem, budget))
