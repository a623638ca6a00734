"""Collapsed queries and the ε-mode: what they may change, and what they must not claim."""

import numpy as np
import pytest
from tests.selection.problems import ENERGY_MODELS, UTILITIES, random_instance, random_instances

from moe2_pl.errors import ConfigError
from moe2_pl.selection import (
    Budget,
    FacilityLocation,
    MixtureLikelihood,
    SelectionProblem,
    solve,
    sweep,
    verify,
)
from moe2_pl.selection._collapse import Collapsed


def repeated(rng: np.random.Generator, noise: float) -> SelectionProblem:
    base = rng.random((6, 8))
    q = np.repeat(base, 50, axis=0) + rng.uniform(-noise, noise, (300, 8))
    cost = rng.uniform(1, 3, 8)
    return SelectionProblem(
        FacilityLocation(q, rng.random(300)),
        cost,
        np.ones(8),
        category=np.arange(300) % 2,
        energy_model="active",
    )


def test_equal_queries_are_one() -> None:
    problem = repeated(np.random.default_rng(0), 0.0)
    assert problem.evaluator.n == 12  # type: ignore[attr-defined]
    solution = solve(problem, Budget(energy_j=6))
    assert solution.status == "optimal"
    assert verify(solution, problem, Budget(energy_j=6))


@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
@pytest.mark.parametrize("utility", UTILITIES)
@random_instances(25)
def test_no_subset_moves_by_more_than_the_stated_error(
    energy_model: str, utility: str, rng: np.random.Generator
) -> None:
    problem, budget = random_instance(rng, energy_model, utility)
    tolerance = float(rng.uniform(0.05, 0.6)) * (4.0 if utility == "mixture" else 1.0)
    collapsed = Collapsed.of(problem, tolerance)
    for _ in range(10):
        mask = rng.random(problem.n_experts) < 0.6
        value, merged = problem.value(mask, budget), collapsed.problem.value(mask, budget)
        assert (value == merged == -np.inf) or abs(value - merged) <= collapsed.error + 1e-12
    best = solve(problem, budget)
    cut = solve(problem, budget, merge_tolerance=tolerance)
    assert verify(cut, problem, budget)
    assert cut.bound >= best.value - 1e-9
    assert (cut.status == "infeasible") == (best.status == "infeasible")
    assert sweep(problem, [budget], merge_tolerance=tolerance)[0].value == pytest.approx(cut.value, abs=1e-12)


def test_near_queries_merge_and_their_error_stays_in_the_gap() -> None:
    problem = repeated(np.random.default_rng(0), 1e-3)
    collapsed = Collapsed.of(problem, 2e-3)
    assert collapsed.problem.utility.n_queries == 12
    assert 0 < collapsed.error <= 2e-3
    solution = solve(problem, Budget(energy_j=6), merge_tolerance=2e-3)
    assert solution.status == "gap"
    assert collapsed.error <= solution.gap + 1e-12 <= 2 * collapsed.error + 1e-9
    assert solve(problem, Budget(energy_j=6), merge_tolerance=1e-12).status == "optimal"


@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
@random_instances(25)
def test_the_epsilon_mode_never_calls_itself_proven(energy_model: str, rng: np.random.Generator) -> None:
    problem, budget = random_instance(rng, energy_model, "mixture")
    best, quick = solve(problem, budget), solve(problem, budget, epsilon=True)
    assert verify(quick, problem, budget)
    assert quick.status == ("infeasible" if best.status == "infeasible" else "epsilon")
    assert quick.proven == (best.status == "infeasible")
    assert quick.value <= best.value + 1e-9


def test_the_epsilon_mode_looks_at_fewer_nodes() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, 14))
    w = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    utility = MixtureLikelihood(w, np.log(rng.uniform(0.3, 0.9, (200, 14))))
    problem = SelectionProblem(utility, rng.uniform(1, 2, 14), np.ones(14), energy_model="active")
    exact, quick = (solve(problem, Budget(energy_j=8), epsilon=mode) for mode in (False, True))
    assert quick.nodes < exact.nodes
    assert quick.value == pytest.approx(exact.value, abs=0.02)


def test_the_epsilon_mode_is_refused_where_bounds_are_rigorous() -> None:
    problem = SelectionProblem(FacilityLocation([[0.5]]), [1], [1])
    with pytest.raises(ConfigError, match="epsilon"):
        solve(problem, Budget(), epsilon=True)
