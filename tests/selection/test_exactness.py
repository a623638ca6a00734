"""Two searches that share no search code must agree, and `verify` must agree with both."""

import math

import pytest

from moe2_pl.selection import solve, verify


@pytest.mark.parametrize("energy_model", ["deployed", "active"])
@pytest.mark.parametrize("utility", ["facility", "topk", "mixture"])
@pytest.mark.parametrize("block", range(4))
def test_monotonic_equals_exhaustive(random_instance, energy_model: str, utility: str, block: int) -> None:
    for seed in range(25 * block, 25 * (block + 1)):
        problem, budget = random_instance(seed, energy_model, utility, n_max=12)
        found, reference = solve(problem, budget), solve(problem, budget, "exhaustive")
        assert verify(found, problem, budget), (seed, verify(found, problem, budget))
        assert verify(reference, problem, budget), (seed, verify(reference, problem, budget))
        assert found.proven
        assert found.status == reference.status, seed
        if reference.status == "optimal":
            assert found.value == pytest.approx(reference.value, abs=1e-9), seed


@pytest.mark.parametrize("energy_model", ["deployed", "active"])
def test_the_common_factor_is_the_smallest_that_helps(random_instance, energy_model: str) -> None:
    explained = 0
    for seed in range(150):
        problem, budget = random_instance(seed, energy_model, "facility", n_max=8)
        why = solve(problem, budget).infeasibility
        if why is None or not math.isfinite(why.factor):
            continue
        explained += 1
        assert problem.feasible(why.experts, budget.scaled(why.factor))
        assert solve(problem, budget.scaled(why.factor * 0.9999), "exhaustive").status == "infeasible"
    assert explained > 10
