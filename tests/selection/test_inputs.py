"""Input that cannot be used is named; input at the edge of numbers is used."""

from typing import Any

import numpy as np
import pytest

from moe2_pl.errors import MoE2Error
from moe2_pl.selection import (
    Budget,
    FacilityLocation,
    MixtureLikelihood,
    SelectionProblem,
    TopK,
    solve,
    verify,
)

GOOD: dict[str, Any] = {"energy_j": [1.0, 2.0], "latency_s": [1.0, 1.0]}


def build(**changes: Any) -> SelectionProblem:
    return SelectionProblem(FacilityLocation([[0.9, 0.2], [0.1, 0.6]]), **{**GOOD, **changes})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FacilityLocation([[0.5, np.nan]]), r"q\[0, 1\] = nan"),
        (lambda: FacilityLocation([[0.5], [np.inf]]), r"q\[1, 0\] = inf"),
        (lambda: FacilityLocation([0.5, 0.6]), r"q has shape \[2\]"),
        (lambda: FacilityLocation([[]]), r"q has shape \[1, 0\]"),
        (lambda: FacilityLocation([["a"]]), "q is not an array of numbers"),
        (lambda: FacilityLocation([[0.5]], [-1]), r"weight\[0\] = -1"),
        (lambda: FacilityLocation([[0.5]], [0]), "weight sums to 0"),
        (lambda: FacilityLocation([[0.5]], [1, 1]), r"weight has shape \[2\]; \[1\]"),
        (lambda: TopK([[-0.5, 0.1]], 2), r"q\[0, 0\] = -0.5"),
        (lambda: TopK([[0.5, 0.1]], 0), "k = 0"),
        (lambda: MixtureLikelihood([[-1.0]], [[0.0]]), r"w\[0, 0\] = -1"),
        (lambda: MixtureLikelihood([[1.0]], [[-np.inf]]), r"log_p\[0, 0\] = -inf"),
        (lambda: MixtureLikelihood([[1.0]], [[0.0, 0.0]]), r"log_p has shape \[1, 2\]"),
        (lambda: build(energy_j=[1.0, np.nan]), r"energy_j\[1\] = nan"),
        (lambda: build(energy_j=[1.0, -2.0]), r"energy_j\[1\] = -2"),
        (lambda: build(latency_s=[[1.0, -1.0]]), r"latency_s\[0, 1\] = -1"),
        (lambda: build(energy_j=[1.0, 2.0, 3.0]), r"energy_j has shape \[3\]; \[2\] or \[1, 2\]"),
        (lambda: build(experts=["a", "a"]), "expert name 'a' stands twice, at 0 and 1"),
        (lambda: build(category=[0, 1], categories=["a", "a"]), "category name 'a' stands twice"),
        (lambda: build(category=[0, 0.5]), r"category\[1\] = 0.5"),
        (lambda: build(category=[0, 3], categories=["a", "b"]), r"category\[1\] = 3"),
        (lambda: build(device=[0, -1]), r"device\[1\] = -1"),
        (lambda: build(device=[0, 2], idle_w=[1, 1], queries_per_s=1), r"device\[1\] = 2"),
        (lambda: build(idle_w=[-3.0], queries_per_s=1), r"idle_w\[0\] = -3"),
        (lambda: build(idle_w=[3.0]), "queries_per_s = None"),
        (lambda: build(memory_gb=[1, 1]), "memory_gb and device_memory_gb"),
        (lambda: build(memory_gb=[1, np.inf], device_memory_gb=[2]), r"memory_gb\[1\] = inf"),
        (lambda: build(box=[0.5]), r"box\[0\] = 0.5"),
        (lambda: build(memory_group=[0, 0]), "memory_group and group_gb: both or neither"),
        (lambda: build(memory_group=[0, 0], group_gb=[1.0]), "beside memory_gb"),
        (
            lambda: build(memory_gb=[1, 1], device_memory_gb=[4], memory_group=[0, 1], group_gb=[1.0]),
            r"memory_group\[1\] = 1: only 1 groups",
        ),
        (
            lambda: build(
                memory_gb=[1, 1], device_memory_gb=[4, 4], device=[0, 1], memory_group=[0, 0], group_gb=[1.0]
            ),
            "memory group 0 stands on devices 0 and 1",
        ),
        (lambda: build(aggregation_s=[0, 2, 1], energy_model="active"), r"aggregation_s\[2\] = 1"),
        (lambda: build(aggregation_s=1.0), "aggregation_s"),
        (lambda: build(energy_model="actve"), "did you mean 'active'"),
        (lambda: build(required=["expert7"]), "unknown expert 'expert7'"),
        (lambda: build(required=[5]), "expert index 5"),
        (lambda: build(required=[0], excluded=[0]), "both required and excluded"),
        (lambda: build(max_experts=0), "max_experts = 0"),
        (lambda: Budget(energy_j=-1), "energy_j = -1"),
        (lambda: Budget(latency_s={"a": float("nan")}), r"latency_s\[a\] = nan"),
        (lambda: solve(build(), Budget(energy_j={"al": 1})), "did you mean 'all'"),
        (lambda: solve(build(), Budget(), "monotonc"), "did you mean 'monotonic'"),
    ],
)
def test_what_cannot_be_used_is_named(make: Any, message: str) -> None:
    with pytest.raises(MoE2Error, match=message):
        make()


@pytest.mark.parametrize("energy_model", ["deployed", "active"])
def test_a_budget_below_every_expert_says_what_is_needed(energy_model: str) -> None:
    solution = solve(build(energy_model=energy_model), Budget(energy_j=0.5, latency_s=0.1))
    assert solution.status == "infeasible"
    assert solution.proven
    assert solution.infeasibility is not None
    assert "all needs at least 1 J (expert0) and at least 1 s (expert0)" in str(solution.infeasibility)
    assert solution.infeasibility.factor == pytest.approx(10)


def agreed(problem: SelectionProblem, budget: Budget) -> tuple[str, ...]:
    found, reference = solve(problem, budget), solve(problem, budget, "exhaustive")
    assert found.status == reference.status == "optimal"
    assert found.value == pytest.approx(reference.value, abs=1e-12)
    assert verify(found, problem, budget)
    assert verify(reference, problem, budget)
    return found.experts


@pytest.mark.parametrize("energy_model", ["deployed", "active"])
def test_costs_twelve_orders_apart(energy_model: str) -> None:
    rng = np.random.default_rng(0)
    cost = 10.0 ** rng.uniform(-6, 6, 10)
    problem = SelectionProblem(FacilityLocation(rng.random((40, 10))), cost, cost, energy_model=energy_model)
    for energy in (1e-5, 1.0, 1e3, cost.sum()):
        agreed(problem, Budget(energy_j=float(energy)))


@pytest.mark.parametrize("energy_model", ["deployed", "active"])
def test_equal_competences_need_one_expert(energy_model: str) -> None:
    problem = SelectionProblem(
        FacilityLocation(np.full((20, 6), 0.5)), [3, 2, 1, 2, 3, 4], np.ones(6), energy_model=energy_model
    )
    assert len(agreed(problem, Budget(energy_j=5))) == 1


@pytest.mark.parametrize("energy_model", ["deployed", "active"])
def test_experts_without_cost(energy_model: str) -> None:
    q = np.random.default_rng(0).random((20, 5))
    problem = SelectionProblem(FacilityLocation(q), np.zeros(5), np.zeros(5), energy_model=energy_model)
    assert solve(problem, Budget(energy_j=0, latency_s=0)).value == pytest.approx(q.max(axis=1).mean())
    agreed(problem, Budget(energy_j=0, latency_s=0))


def test_a_budget_equal_to_a_subsets_cost_admits_it() -> None:
    cost = np.array([0.1, 0.2, 0.3, 0.7])
    problem = SelectionProblem(FacilityLocation(np.eye(4)), cost, np.ones(4), energy_model="active")
    assert agreed(problem, Budget(energy_j=0.6, latency_s=1)) == ("expert0", "expert1", "expert2")
    idle = SelectionProblem(
        FacilityLocation(np.eye(2)), [0.1, 0.2], [1, 1], device=[0, 1], idle_w=[0.1, 0.3], queries_per_s=1
    )
    assert agreed(idle, Budget(energy_j=0.6)) == ("expert0", "expert1")
    assert agreed(idle, Budget(energy_j=0.4)) == ("expert0",)


@pytest.mark.parametrize("energy_model", ["deployed", "active"])
def test_one_query_and_one_expert(energy_model: str) -> None:
    problem = SelectionProblem(FacilityLocation([[0.3]]), [1], [1], energy_model=energy_model)
    assert agreed(problem, Budget(energy_j=1, latency_s=1)) == ("expert0",)
    assert solve(problem, Budget(energy_j=0.9)).status == "infeasible"
    assert agreed(
        SelectionProblem(FacilityLocation([[0.3, 0.8]]), [1, 1], [1, 1], energy_model=energy_model), Budget()
    ) == ("expert1",)
