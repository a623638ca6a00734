"""Searches that share no search code must agree, and `verify` must agree with both."""

import math

import numpy as np
import pytest
from tests.selection.problems import ENERGY_MODELS, UTILITIES, random_instance, random_instances

from moe2_pl.selection import explain_infeasible, solve, verify
from moe2_pl.selection._solvers._monotonic._cover import CoverSearch
from moe2_pl.selection._solvers._search import Search, SearchOptions


def agree(rng: np.random.Generator, energy_model: str, utility: str, n_max: int) -> None:
    problem, budget = random_instance(rng, energy_model, utility, n_max)
    found, reference = solve(problem, budget), solve(problem, budget, "exhaustive")
    for solution in (found, reference):
        check = verify(solution, problem, budget)
        assert check, check.problems
        assert solution.proven
    assert found.status == reference.status
    if reference.status == "optimal":
        assert found.value == pytest.approx(reference.value, abs=1e-9)


@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
@pytest.mark.parametrize("utility", UTILITIES)
@random_instances(100)
def test_monotonic_equals_exhaustive(energy_model: str, utility: str, rng: np.random.Generator) -> None:
    agree(rng, energy_model, utility, n_max=9)


@pytest.mark.slow
@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
@pytest.mark.parametrize("utility", UTILITIES)
@random_instances(1000)
def test_monotonic_equals_exhaustive_on_many(
    energy_model: str, utility: str, rng: np.random.Generator
) -> None:
    agree(rng, energy_model, utility, n_max=12)


@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
@pytest.mark.parametrize("utility", ["facility", "topk"])
@random_instances(60)
def test_the_lagrangian_search_alone_equals_exhaustive(
    energy_model: str, utility: str, rng: np.random.Generator
) -> None:
    """`monotonic` closes most small problems before this search begins."""
    problem, budget = random_instance(rng, energy_model, utility, n_max=10)
    search = Search(problem.at(budget), SearchOptions())
    CoverSearch(search).run(greedy=True)
    reference = solve(problem, budget, "exhaustive")
    assert search.value == pytest.approx(reference.value, abs=1e-9)
    assert search.bound == pytest.approx(reference.bound, abs=1e-9)


@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
def test_the_common_factor_is_the_smallest_that_helps(energy_model: str) -> None:
    explained = 0
    for seed in range(100):
        problem, budget = random_instance(np.random.default_rng(seed), energy_model, "facility", n_max=8)
        if solve(problem, budget).status != "infeasible":
            continue
        why = explain_infeasible(problem, budget)
        if not math.isfinite(why.factor):
            continue
        explained += 1
        assert why.exact
        assert problem.feasible(why.experts, budget.scaled(why.factor))
        assert solve(problem, budget.scaled(why.factor * 0.9999), "exhaustive").status == "infeasible"
    assert explained > 10
