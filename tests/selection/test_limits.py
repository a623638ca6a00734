"""Whatever ends a run, what it leaves behind is valid."""

from itertools import pairwise

import numpy as np
import pytest
from tests.selection.problems import ENERGY_MODELS, random_instance, random_instances

from moe2_pl.errors import ConfigError
from moe2_pl.selection import (
    Budget,
    FacilityLocation,
    Progress,
    SelectionProblem,
    Solution,
    explain_infeasible,
    solve,
    sweep,
    verify,
)


def hard(energy_model: str, N: int = 60, n: int = 300) -> tuple[SelectionProblem, Budget]:
    """Far from proven after a second."""
    rng = np.random.default_rng(0)
    cost = rng.uniform(0.5, 2, N)
    problem = SelectionProblem(
        FacilityLocation(rng.random((n, N))),
        energy_j=cost,
        latency_s=np.ones(N),
        device=np.arange(N) // 3,
        idle_w=rng.uniform(0.5, 2, N // 3 + 1),
        queries_per_s=1.0,
        memory_gb=rng.uniform(1, 2, N),
        device_memory_gb=np.full(N // 3 + 1, 3.5),
        energy_model=energy_model,
    )
    return problem, Budget(energy_j=0.25 * cost.sum())


@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
def test_a_time_limit_returns_the_incumbent_and_its_gap(energy_model: str) -> None:
    problem, budget = hard(energy_model)
    solution = solve(problem, budget, time_limit_s=0.2)
    assert solution.status == "gap"
    assert 0 < solution.gap < 0.2
    assert solution.wall_s < 5
    assert verify(solution, problem, budget)


@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
def test_a_node_limit_makes_runs_equal(energy_model: str) -> None:
    problem, budget = hard(energy_model)
    first, second = (solve(problem, budget, node_limit=40, seed=3) for _ in range(2))
    assert (first.experts, first.value, first.bound, first.nodes) == (
        second.experts,
        second.value,
        second.bound,
        second.nodes,
    )
    assert first.nodes == 40


@pytest.mark.parametrize("solver", ["monotonic", "exhaustive"])
@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
def test_ctrl_c_returns_the_incumbent_and_a_finite_bound(energy_model: str, solver: str) -> None:
    problem, budget = hard(energy_model)
    seen: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == 3:
            raise KeyboardInterrupt

    solution = solve(problem, budget, solver, progress=interrupt, progress_every_s=0.1)
    assert len(seen) == 3
    assert solution.status == "gap"
    assert np.isfinite(solution.bound)
    assert verify(solution, problem, budget)


def test_progress_never_shows_an_infinite_bound() -> None:
    problem, budget = hard("active")
    seen: list[Progress] = []
    solve(problem, budget, time_limit_s=0.6, progress=seen.append, progress_every_s=0.02)
    assert len(seen) > 3
    assert all(np.isfinite(p.bound) for p in seen)
    assert all(a.nodes <= b.nodes and a.bound >= b.bound for a, b in pairwise(seen))
    assert all(p.gap == p.bound - p.value for p in seen)


def test_a_progress_line_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    problem, budget = hard("active")
    solve(problem, budget, time_limit_s=0.3, progress=True, progress_every_s=0.05)
    line = capsys.readouterr().err.splitlines()[-1]
    assert all(word in line for word in ("nodes", "value", "bound", "gap"))


@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
@pytest.mark.parametrize("utility", ["facility", "mixture"])
@random_instances(12)
def test_a_queue_of_one_node_is_still_exact(
    energy_model: str, utility: str, rng: np.random.Generator
) -> None:
    problem, budget = random_instance(rng, energy_model, utility, n_max=8)
    small, large = solve(problem, budget, memory_limit_mb=1e-6), solve(problem, budget)
    assert small.status == large.status
    if large.experts:
        assert small.value == pytest.approx(large.value, abs=1e-9)


@random_instances(15)
def test_a_warm_start_is_never_lost(rng: np.random.Generator) -> None:
    problem, budget = random_instance(rng, "deployed", "facility")
    best = solve(problem, budget)
    again = solve(problem, budget, warm_start=best.mask, node_limit=1)
    assert again.value == pytest.approx(best.value, abs=1e-12)


def test_an_infeasible_warm_start_is_ignored() -> None:
    problem = SelectionProblem(FacilityLocation([[0.9, 0.2]]), [5, 1], [1, 1])
    solution = solve(problem, Budget(energy_j=1), warm_start=["expert0"])
    assert solution.experts == ("expert1",)
    assert solution.status == "optimal"


def test_the_common_factor_keeps_to_its_time_limit() -> None:
    rng = np.random.default_rng(1)
    C, N, D = 14, 60, 30
    problem = SelectionProblem(
        FacilityLocation(rng.random((C, N))),
        energy_j=rng.uniform(1, 30, (C, N)),
        latency_s=rng.uniform(1, 5, (C, N)),
        category=np.arange(C),
        device=np.arange(N) // 2,
        idle_w=rng.uniform(1, 5, D),
        queries_per_s=1.0,
    )
    budget = Budget(energy_j=1.0, latency_s=0.5)
    why = explain_infeasible(problem, budget, time_limit_s=0.05)
    assert not why.exact
    assert why.at_least < why.factor
    assert "time limit" in str(why)
    assert problem.feasible(why.experts, budget.scaled(why.factor))
    longer = explain_infeasible(problem, budget, time_limit_s=1.0)
    assert why.at_least <= longer.at_least <= longer.factor <= why.factor


@pytest.mark.parametrize("energy_model", ENERGY_MODELS)
def test_a_sweep_out_of_time_bounds_every_budget(energy_model: str) -> None:
    problem, budget = hard(energy_model)
    budgets = [budget.scaled(factor) for factor in (0.7, 0.8, 0.9, 1.0)]
    solutions = sweep(problem, budgets, total_time_limit_s=0.3)
    tight, loose = solutions[0], solutions[-1]
    assert loose.bound >= tight.bound
    assert tight.bound < problem.at(budget).ceiling() + 1e-12
    for b, solution in zip(budgets, solutions, strict=True):
        assert solution.status == "gap"
        assert np.isfinite(solution.bound)
        assert verify(solution, problem, b)


def test_ctrl_c_in_a_sweep_keeps_what_is_finished() -> None:
    problem, budget = hard("active", N=12)
    budgets = [budget.scaled(factor) for factor in (0.8, 1.0, 1.2, 1.4)]
    finished: list[int] = []

    def interrupt(position: int, solution: Solution) -> None:
        finished.append(position)
        if len(finished) == 2:
            raise KeyboardInterrupt

    solutions = sweep(problem, budgets, on_solution=interrupt)
    assert [s.status for s in solutions[2:]] == ["optimal", "optimal"]
    assert all(solutions[0].bound <= solutions[k].bound for k in (2, 3))


@pytest.mark.parametrize("option", [{"time_limit_s": 0}, {"node_limit": 0}, {"memory_limit_mb": -1}])
def test_a_limit_without_sense_is_refused(option: dict[str, float]) -> None:
    problem = SelectionProblem(FacilityLocation([[0.5]]), [1], [1])
    with pytest.raises(ConfigError, match=next(iter(option))):
        solve(problem, Budget(), **option)
