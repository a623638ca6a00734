"""`verify`: recompute a solution from the problem's own arrays, sharing no code with any solver.

Plain loops over categories and experts on purpose: what is checked here is what the docs promise.
"""

import math
from dataclasses import dataclass

import numpy as np

from moe2_pl.selection._problem._budget import Budget, within
from moe2_pl.selection._problem._problem import SelectionProblem
from moe2_pl.selection._problem._utilities import FacilityLocation, MixtureLikelihood, TopK
from moe2_pl.selection._solution import Solution

__all__ = ["Verification", "verify"]

_VALUE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Verification:
    """What `verify` found; true in a condition when there is nothing wrong.

    Attributes:
        ok: no problems.
        value: the recomputed value; −inf when the subset is infeasible.
        problems: one sentence each.
    """

    ok: bool
    value: float
    problems: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.ok


def verify(solution: Solution, problem: SelectionProblem, budget: Budget) -> Verification:
    """Check constraints, masks, value, bound and status of a solution, independently of its solver.

    An ``infeasible`` answer, and one without experts, claims nothing that one subset could confirm:
    only its consistency is checked.
    """
    wrong: list[str] = []
    if not solution.experts:
        if solution.value != -math.inf:
            wrong.append(f"no experts, yet value {solution.value}")
        return Verification(not wrong, -math.inf, tuple(wrong))
    S = [problem.experts.index(name) for name in solution.experts]
    if tuple(S) != tuple(solution.indices):
        wrong.append(f"indices {solution.indices} are not those of {solution.experts}")
    wrong += _broken_constraints(S, problem, budget)
    masks = _masks(S, problem, budget)
    if any(not chosen for chosen in masks):
        wrong.append(f"category '{problem.categories[[not m for m in masks].index(True)]}' keeps nobody")
    for c, chosen in enumerate(masks):
        if sorted(np.flatnonzero(solution.allowed[c])) != chosen:
            wrong.append(f"allowed experts of category '{problem.categories[c]}' differ")
    value = -math.inf if wrong else _value(masks, problem)
    scale = max(1.0, abs(value))
    if not wrong and abs(value - solution.value) > _VALUE_TOLERANCE * scale:
        wrong.append(f"value is {value}, not {solution.value}")
    if solution.bound < solution.value - _VALUE_TOLERANCE * scale:
        wrong.append(f"bound {solution.bound} is below the value {solution.value}")
    near = math.isfinite(solution.bound) and solution.gap <= _VALUE_TOLERANCE * max(1.0, abs(solution.bound))
    if solution.status == "optimal" and not near:
        wrong.append(f"called optimal with a gap of {solution.gap}")
    return Verification(not wrong, value, tuple(wrong))


def _broken_constraints(S: list[int], problem: SelectionProblem, budget: Budget) -> list[str]:
    wrong = []
    for j, name in enumerate(problem.experts):
        if problem.required[j] and j not in S:
            wrong.append(f"required expert '{name}' is missing")
        if problem.excluded[j] and j in S:
            wrong.append(f"excluded expert '{name}' is chosen")
    if len(S) > problem.max_experts:
        wrong.append(f"{len(S)} experts, {problem.max_experts} allowed")
    for d in range(problem.n_devices):
        here = [j for j in S if problem.device[j] == d]
        together = {int(problem.memory_group[j]) for j in here} - {-1}
        load = sum(problem.memory_gb[j] for j in here) + sum(problem.group_gb[g] for g in sorted(together))
        if not within(load, problem.device_memory_gb[d]):
            wrong.append(f"device {d} loads {load} GB of {problem.device_memory_gb[d]}")
    used = sorted({int(problem.device[j]) for j in S})
    for d in used:
        rival = next((e for e in used if e > d and problem.box[e] == problem.box[d]), None)
        if rival is not None:
            wrong.append(f"devices {d} and {rival} are settings of one box, and both are used")
    if problem.energy_model == "active":
        energy_limits = budget.energy_limits(problem.categories)
        latency_limits = budget.latency_limits(problem.categories)
        for c, name in enumerate(problem.categories):
            energy = sum(problem.energy_j[c, j] for j in S)
            if not within(energy, energy_limits[c]):
                wrong.append(f"category '{name}' takes {energy} J of {energy_limits[c]}")
            latency = max(problem.latency_s[c, j] for j in S) + problem.aggregation_s[len(S)]
            if not within(latency, latency_limits[c]):
                wrong.append(f"category '{name}' takes {latency} s of {latency_limits[c]}")
    return wrong


def _masks(S: list[int], problem: SelectionProblem, budget: Budget) -> list[list[int]]:
    if problem.energy_model == "active":
        return [sorted(S) for _ in problem.categories]
    energy = budget.energy_limits(problem.categories)
    latency = budget.latency_limits(problem.categories)
    idle = sum(problem.idle_per_query_j[d] for d in {int(problem.device[j]) for j in S})
    return [
        sorted(
            j
            for j in S
            if within(problem.latency_s[c, j], latency[c])
            and within(idle + problem.energy_j[c, j], energy[c])
        )
        for c in range(problem.n_categories)
    ]


def _value(masks: list[list[int]], problem: SelectionProblem) -> float:
    utility, total = problem.utility, 0.0
    for i, c in enumerate(problem.category):
        M = masks[c]
        if isinstance(utility, MixtureLikelihood):
            total += utility.weight[i] * _log_mixture(utility.w[i], utility.log_p[i], M)
        elif isinstance(utility, FacilityLocation | TopK):
            best = sorted((utility.q[i, j] for j in M), reverse=True)[: utility.k]
            total += utility.weight[i] * sum(best) / utility.k
        else:
            raise TypeError(f"no independent formula for {type(utility).__name__}")
    return float(total / utility.weight.sum())


def _log_mixture(w: np.ndarray, log_p: np.ndarray, M: list[int]) -> float:
    best = float(log_p.max())
    mixing = np.log(np.maximum(w[M], 1e-30))
    likelihood = np.maximum(log_p[M] - best, -600.0)
    return best + float(np.logaddexp.reduce(mixing + likelihood) - np.logaddexp.reduce(mixing))
