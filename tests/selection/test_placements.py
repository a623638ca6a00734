"""Power modes exclude each other, adapters share their base: by hand, and against searches that share no code."""

import numpy as np
import pytest
from tests.selection.problems import random_instances

from moe2_pl.selection import Budget, FacilityLocation, SelectionProblem, solve, sweep, verify
from moe2_pl.selection._solvers._monotonic._packing import multiple_choice_knapsack

# One model at 15 W and at 50 W of box 0, another on box 1.
MODES = {
    "energy_j": [5.0, 8.0, 2.0],
    "latency_s": [10.0, 3.0, 1.0],
    "device": [0, 1, 2],
    "box": [0, 0, 1],
    "idle_w": [1.0, 4.0, 3.0],
    "queries_per_s": 1.0,
    "experts": ["big@15W", "big@50W", "small"],
}
Q = [[0.9, 0.9, 0.3], [0.2, 0.2, 0.6]]


@pytest.mark.parametrize("solver", ["monotonic", "exhaustive", "milp", "greedy", "random", "nsga2"])
@pytest.mark.parametrize(
    ("budget", "experts", "idle_j"),
    [
        (Budget(energy_j=10, latency_s=20), ("big@15W", "small"), 4.0),  # 50 W would idle away what big needs
        (Budget(energy_j=20, latency_s=5), ("big@50W", "small"), 7.0),  # 15 W is too slow
        (Budget(energy_j=6, latency_s=5), ("small",), 3.0),
    ],
)
def test_the_mode_is_chosen_with_the_subset(solver, budget, experts, idle_j):
    problem = SelectionProblem(FacilityLocation(Q), **MODES)
    solution = solve(problem, budget, solver, node_limit=5000)
    assert set(solution.experts) - {"big@15W", "big@50W"} == {"small"}
    assert problem.value(solution.experts, budget) == problem.value(experts, budget)
    assert verify(solution, problem, budget)
    assert problem.idle_j(experts) == idle_j


def test_two_modes_of_a_box_are_never_both_on():
    problem = SelectionProblem(FacilityLocation(Q), **MODES)
    assert not problem.feasible(["big@15W", "big@50W"], Budget())
    both = SelectionProblem(FacilityLocation(Q), required=["big@15W", "big@50W"], **MODES)
    assert solve(both, Budget()).status == "infeasible"


def test_adapters_of_one_base_load_it_once():
    costs = {"energy_j": np.ones(3), "latency_s": np.ones(3), "device_memory_gb": [5.0]}
    shared = {"memory_gb": [1.0, 1.0, 3.0], "memory_group": [0, 0, -1], "group_gb": [2.0]}
    problem = SelectionProblem(FacilityLocation(np.eye(3)), **costs, **shared)
    assert problem.feasible([0, 1], Budget())  # 2 + 1 + 1 GB
    assert not problem.feasible([0, 2], Budget())  # 2 + 1 + 3 GB
    for solver in ("monotonic", "exhaustive", "milp"):
        assert solve(problem, Budget(), solver).experts == ("expert0", "expert1")


def fleet(rng: np.random.Generator) -> SelectionProblem:
    """Models with placements in the modes of two boxes and on a card, adapters among them."""
    device = np.array([0, 0, 1, 1, 2, 3, 3, 4, 4, 4])
    model = rng.integers(0, 5, len(device))
    q = rng.random((25, 5))[:, model]
    return SelectionProblem(
        FacilityLocation(q),
        energy_j=rng.uniform(1, 10, (2, 10)),
        latency_s=rng.uniform(0, 5, (2, 10)),
        category=rng.integers(0, 2, 25),
        categories=["a", "b"],
        device=device,
        box=[0, 0, 1, 1, 2],
        idle_w=rng.uniform(0, 5, 5),
        queries_per_s=1.0,
        memory_gb=rng.uniform(1, 4, 10),
        device_memory_gb=rng.uniform(4, 7, 5),
        memory_group=[-1, -1, 0, 0, -1, -1, -1, 1, 1, -1],
        group_gb=rng.uniform(0, 3, 2),
    )


@random_instances(60)
def test_every_exact_solver_agrees_on_placements(rng: np.random.Generator) -> None:
    problem = fleet(rng)
    budget = Budget(energy_j=float(rng.uniform(6, 22)), latency_s=float(rng.uniform(2, 6)))
    reference = solve(problem, budget, "exhaustive")
    for solution in (solve(problem, budget), solve(problem, budget, "milp"), *sweep(problem, [budget])):
        check = verify(solution, problem, budget)
        assert check, check.problems
        assert solution.value == pytest.approx(reference.value, abs=1e-6)


def test_verify_names_devices_of_one_box():
    apart = SelectionProblem(FacilityLocation(Q), **{**MODES, "box": [0, 1, 2]}, required=MODES["experts"])
    together = SelectionProblem(FacilityLocation(Q), **MODES)
    solution = solve(apart, Budget())
    assert solution.experts == tuple(MODES["experts"])
    assert "devices 0 and 1 are settings of one box" in " ".join(
        verify(solution, together, Budget()).problems
    )


@random_instances(200)
def test_multiple_choice_knapsack_is_its_linear_programme(rng: np.random.Generator) -> None:
    from scipy.optimize import linprog

    n = int(rng.integers(1, 8))
    gain, cost, label = rng.random(n), rng.integers(0, 4, n) / 3, rng.integers(0, 3, n)
    room = float(rng.uniform(0, 2))
    value, x, price = multiple_choice_knapsack(gain, cost, label, room)
    rows = np.array([(label == b) * 1.0 for b in np.unique(label)])
    best = linprog(-gain, A_ub=np.vstack([rows, cost]), b_ub=[*np.ones(len(rows)), room], bounds=(0, 1))
    assert value == pytest.approx(-best.fun, abs=1e-9)
    assert gain @ x == pytest.approx(value, abs=1e-9)
    assert cost @ x <= room + 1e-9
    dual = price * room + sum(max(0.0, (gain - price * cost)[label == b].max()) for b in np.unique(label))
    assert dual == pytest.approx(value, abs=1e-9)
