"""Random selection problems for the tests: small, with every kind of constraint at once."""

from collections.abc import Callable, Sequence

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moe2_pl.selection import (
    Budget,
    FacilityLocation,
    MixtureLikelihood,
    SelectionProblem,
    TopK,
)

UTILITIES = ("facility", "topk", "mixture")
ENERGY_MODELS = ("deployed", "active")


def random_instances(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test on ``examples`` generators; the same ones every time, so that a failure is a seed."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        drawn = given(rng=st.integers(0, 2**32 - 1).map(np.random.default_rng))(test)
        quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
        return settings(
            max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=quiet
        )(drawn)

    return decorate


def random_instance(
    rng: np.random.Generator, energy_model: str, utility: str, n_max: int = 10
) -> tuple[SelectionProblem, Budget]:
    """A random problem and a random budget for it."""
    problem = random_problem(rng, energy_model=energy_model, utility=utility, n_max=n_max)
    return problem, random_budget(rng, problem)


def random_problem(
    rng: np.random.Generator, *, energy_model: str, utility: str, n_max: int = 10, queries: int = 30
) -> SelectionProblem:
    """A problem with shared devices, several categories and memory that binds."""
    N = int(rng.integers(1, n_max + 1))
    n, C, D = int(rng.integers(1, queries)), int(rng.integers(1, 4)), int(rng.integers(1, 5))
    q = rng.random((n, N)) ** 2
    if rng.random() < 0.3:
        q = q.round(1)  # ties
    weight = rng.random(n) + 0.1 if rng.random() < 0.5 else None
    device, memory = rng.integers(0, D, N), rng.uniform(1, 8, N)
    held = np.maximum(rng.uniform(0.4, 1.1, D) * np.bincount(device, memory, D), 1.0)
    agg = np.sort(rng.uniform(0, 1, N + 1)) if energy_model == "active" else 0.0
    few = int(rng.integers(1, N + 1)) if rng.random() < 0.3 else None
    picks = rng.permutation(N)
    box = rng.integers(0, D, D) if rng.random() < 0.5 else None
    group = np.where(rng.random(N) < 0.6, device, -1) if rng.random() < 0.5 else None
    return SelectionProblem(
        make_utility(rng, utility, q, weight),
        energy_j=rng.uniform(0, 10, (C, N)),
        latency_s=rng.uniform(0, 5, (C, N)),
        category=rng.integers(0, C, n),
        categories=[f"c{c}" for c in range(C)],
        device=device,
        idle_w=rng.uniform(0, 5, D),
        queries_per_s=float(rng.uniform(0.5, 2)),
        memory_gb=memory,
        device_memory_gb=held,
        box=box,
        memory_group=group,
        group_gb=None if group is None else rng.uniform(0, 3, D),
        energy_model=energy_model,
        aggregation_s=agg,
        required=picks[:1] if rng.random() < 0.2 else (),
        excluded=picks[-1:] if N > 2 and rng.random() < 0.2 else (),
        max_experts=few,
    )


def make_utility(
    rng: np.random.Generator, name: str, q: np.ndarray, weight: np.ndarray | None
) -> FacilityLocation | MixtureLikelihood | TopK:
    if name == "facility":
        return FacilityLocation(q, weight)
    if name == "topk":
        return TopK(q, int(rng.integers(2, 4)), weight)
    logits = 2 * rng.normal(size=q.shape)
    w = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return MixtureLikelihood(w, np.log(np.clip(q, 0.02, 0.98)), weight)


def random_budget(rng: np.random.Generator, problem: SelectionProblem) -> Budget:
    """From too tight to loose, sometimes per category, sometimes unlimited."""
    N = problem.n_experts
    spread = problem.idle_per_query_j.sum() + 10 if problem.energy_model == "deployed" else 10 * N
    energy = float(rng.uniform(0.2, 1.0) * spread)
    latency = float(rng.uniform(2.5, 6.5))
    if rng.random() < 0.4:
        return Budget(
            energy_j={"c0": energy, "default": 1.2 * energy}, latency_s={problem.categories[-1]: latency}
        )
    return Budget(energy_j=energy if rng.random() < 0.9 else None, latency_s=latency)


def looser(rng: np.random.Generator, problem: SelectionProblem, budget: Budget) -> Budget:
    """A budget with no limit below that of ``budget``."""

    def grow(limits: np.ndarray) -> dict[str, float]:
        factors = np.where(rng.random(len(limits)) < 0.5, 1.0, rng.uniform(1, 2, len(limits)))
        return dict(zip(problem.categories, (limits * factors).tolist(), strict=True))

    energy, latency = budget.energy_limits(problem.categories), budget.latency_limits(problem.categories)
    return Budget(grow(energy), grow(latency))


def rebuilt(problem: SelectionProblem, columns: Sequence[int] | np.ndarray) -> SelectionProblem:
    """The problem of the experts at ``columns``, in that order; one that stands twice is a duplicate."""
    columns = np.asarray(columns)
    seen: dict[int, int] = {}
    names = []
    for j in columns.tolist():
        seen[j] = seen.get(j, 0) + 1
        names.append(problem.experts[j] + "'" * (seen[j] - 1))
    first = np.array([k == int(np.flatnonzero(columns == j)[0]) for k, j in enumerate(columns)])
    return SelectionProblem(
        at_columns(problem.utility, columns),
        problem.energy_j[:, columns],
        problem.latency_s[:, columns],
        category=problem.category,
        categories=problem.categories,
        device=problem.device[columns],
        idle_w=problem.idle_per_query_j,
        queries_per_s=1.0,
        memory_gb=problem.memory_gb[columns],
        device_memory_gb=problem.device_memory_gb,
        box=problem.box,
        memory_group=problem.memory_group[columns],
        group_gb=problem.group_gb,
        energy_model=problem.energy_model,
        aggregation_s=np.resize(problem.aggregation_s, len(columns) + 1)
        if len(columns) < len(problem.aggregation_s)
        else np.append(problem.aggregation_s, problem.aggregation_s[-1]),
        experts=names,
        required=problem.required[columns] & first,
        excluded=problem.excluded[columns],
        max_experts=problem.max_experts,
    )


def at_columns(
    utility: FacilityLocation | MixtureLikelihood | TopK, columns: np.ndarray
) -> FacilityLocation | MixtureLikelihood | TopK:
    if isinstance(utility, MixtureLikelihood):
        return MixtureLikelihood(utility.w[:, columns], utility.log_p[:, columns], utility.weight)
    if isinstance(utility, TopK):
        return TopK(utility.q[:, columns], utility.k, utility.weight)
    return FacilityLocation(utility.q[:, columns], utility.weight)
