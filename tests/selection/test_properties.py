"""What must hold between an instance's answer and that of an instance derived from it."""

import numpy as np
import pytest
from tests.selection.problems import (
    ENERGY_MODELS,
    UTILITIES,
    looser,
    random_budget,
    random_instance,
    random_instances,
    rebuilt,
)

from moe2_pl.selection import SelectionProblem, Solution, solve, sweep, verify

MONOTONE = [(u, m) for u in UTILITIES for m in ENERGY_MODELS if (u, m) != ("mixture", "deployed")]


@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
@pytest.mark.parametrize("utility", UTILITIES)
@random_instances(25)
def test_a_run_cut_short_bounds_the_optimum(
    energy_model: str, utility: str, rng: np.random.Generator
) -> None:
    problem, budget = random_instance(rng, energy_model, utility)
    best = solve(problem, budget, "exhaustive").value
    for node_limit in (1, 3, 30):
        cut = solve(problem, budget, node_limit=node_limit)
        assert verify(cut, problem, budget)
        if best == -np.inf:
            assert not cut.experts
        else:
            assert cut.value <= best + 1e-9
            assert cut.bound >= best - 1e-9
            assert cut.status in ("optimal", "gap")


@pytest.mark.parametrize(("utility", "energy_model"), MONOTONE)
@random_instances(25)
def test_a_looser_budget_is_never_worse(utility: str, energy_model: str, rng: np.random.Generator) -> None:
    problem, budget = random_instance(rng, energy_model, utility)
    assert value(problem, looser(rng, problem, budget)) >= value(problem, budget) - 1e-9


@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
@pytest.mark.parametrize("utility", UTILITIES)
@random_instances(25)
def test_a_larger_pool_is_never_worse(energy_model: str, utility: str, rng: np.random.Generator) -> None:
    problem, budget = random_instance(rng, energy_model, utility)
    kept = np.flatnonzero(problem.required | (rng.random(problem.n_experts) < 0.7))
    if len(kept):
        smaller = rebuilt(problem, kept)
        assert value(problem, budget) >= value(smaller, budget) - 1e-9


@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
@pytest.mark.parametrize("utility", UTILITIES)
@random_instances(20)
def test_permuted_experts_give_the_same_answer_up_to_ties(
    energy_model: str, utility: str, rng: np.random.Generator
) -> None:
    problem, budget = random_instance(rng, energy_model, utility)
    here = solve(problem, budget)
    there = solve(rebuilt(problem, rng.permutation(problem.n_experts)), budget)
    assert here.status == there.status
    if there.experts:
        assert problem.value(there.experts, budget) == pytest.approx(here.value, abs=1e-9)


@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
@random_instances(25)
def test_a_duplicate_on_the_same_device_changes_no_facility_location_value(
    energy_model: str, rng: np.random.Generator
) -> None:
    problem, budget = random_instance(rng, energy_model, "facility")
    twin = int(rng.integers(problem.n_experts))
    doubled = rebuilt(problem, [*range(problem.n_experts), twin])
    assert value(doubled, budget) == pytest.approx(value(problem, budget), abs=1e-9)


@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
@pytest.mark.parametrize("utility", UTILITIES)
@random_instances(12)
def test_a_sweep_equals_single_solves(energy_model: str, utility: str, rng: np.random.Generator) -> None:
    problem, _ = random_instance(rng, energy_model, utility)
    budgets = [random_budget(rng, problem) for _ in range(5)]
    budgets += [looser(rng, problem, budget) for budget in budgets]
    for budget, solution in zip(budgets, sweep(problem, budgets), strict=True):
        single = solve(problem, budget)
        check = verify(solution, problem, budget)
        assert check, check.problems
        assert solution.status == single.status
        assert solution.budget is budget
        if single.experts:
            assert solution.value == pytest.approx(single.value, abs=1e-9)


@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
@pytest.mark.parametrize("utility", UTILITIES)
@random_instances(8)
def test_a_stopped_sweep_has_valid_bounds(energy_model: str, utility: str, rng: np.random.Generator) -> None:
    problem, budget = random_instance(rng, energy_model, utility)
    budgets = [budget, *(looser(rng, problem, budget) for _ in range(5))]
    stop_after = int(rng.integers(0, 6))

    def interrupt(finished: list[Solution]) -> None:
        if len(finished) > stop_after:
            raise KeyboardInterrupt

    done: list[Solution] = []

    def record(_: int, solution: Solution) -> None:
        done.append(solution)
        interrupt(done)

    for b, solution in zip(budgets, sweep(problem, budgets, on_solution=record), strict=True):
        best = solve(problem, b, "exhaustive").value
        assert verify(solution, problem, b)
        assert solution.value <= best + 1e-9
        assert solution.bound >= best - 1e-9


def value(problem: SelectionProblem, budget: object) -> float:
    return solve(problem, budget).value  # type: ignore[arg-type]
