"""Searches that share no search code must agree, and `verify` must agree with both."""

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.selection.problems import ENERGY_MODELS, UTILITIES, random_instance, random_instances

from moe2_pl.selection import Budget, FacilityLocation, SelectionProblem, explain_infeasible, solve, verify
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


def grown(budget: Budget, name: str, factor: float) -> Budget:
    """The budget with one of its limits multiplied."""
    return replace(budget, **{name: getattr(budget.scaled(factor), name)})


@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
def test_what_one_limit_alone_would_have_to_be_is_the_least_that_helps(energy_model: str) -> None:
    helped = {"energy_j": 0, "latency_s": 0, "neither": 0}
    for seed in range(150):
        problem, budget = random_instance(np.random.default_rng(seed), energy_model, "facility", n_max=7)
        if solve(problem, budget).status != "infeasible":
            continue
        why = explain_infeasible(problem, budget)
        names = [relief.name for relief in why.alone]
        for name in ("energy_j", "latency_s"):
            if name not in names:
                # However large this limit, the other one (or memory) is in the way.
                unlimited = solve(problem, replace(budget, **{name: None}), "exhaustive")
                assert unlimited.status == "infeasible"
        helped["neither"] += not names
        for relief in why.alone:
            helped[relief.name] += 1
            assert relief.factor >= why.factor * (1 - 1e-9)
            assert problem.feasible(relief.experts, grown(budget, relief.name, relief.factor))
            assert (
                solve(problem, grown(budget, relief.name, relief.factor * 0.9999), "exhaustive").status
                == "infeasible"
            )
            if relief.limit is not None:
                assert relief.limit == pytest.approx(
                    getattr(grown(budget, relief.name, relief.factor), relief.name)
                )
            assert f"({relief.category} needs it)" in str(why)
        assert ("all limits" in str(why)) == (not names and math.isfinite(why.factor))
    assert min(helped.values()) > 3, helped


def test_a_limit_of_nothing_is_answered_with_what_would_do() -> None:
    problem = SelectionProblem(FacilityLocation([[0.9, 0.2]]), energy_j=[5, 1.23456], latency_s=[1, 3])
    (relief,) = explain_infeasible(problem, Budget(energy_j=0.0, latency_s=3.0)).alone
    assert (relief.limit, relief.factor, relief.experts) == (1.23456, math.inf, ("expert1",))
    # Rounded so that what is said suffices.
    assert str(relief) == "an energy limit of 1.235 J (all needs it)"


def test_limits_of_categories_are_answered_with_a_factor_on_them() -> None:
    problem = SelectionProblem(
        FacilityLocation([[0.9], [0.2]]),
        energy_j=[[5], [6]],
        latency_s=[[1], [1]],
        category=[0, 1],
        categories=["tutor", "coder"],
    )
    why = explain_infeasible(problem, Budget(energy_j={"tutor": 2, "coder": 3}, latency_s=1))
    assert why.verdict == "energy limits times 2.5 (tutor needs it) would do"
