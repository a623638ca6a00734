"""Exact `deployed` answers for many budgets of one problem with few devices, from shared tables.

A sweep asks for the same categories under the same masks again and again. Here every set of devices A is
looked at in order of its union bound; what a category is worth under a mask is computed once for all
budgets, and so is the best bound known for a set of devices under given masks.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from moe2_pl.selection._problem._budget import Budget
from moe2_pl.selection._problem._evaluators import CoverEvaluator
from moe2_pl.selection._problem._maximal_loads import maximal_loads
from moe2_pl.selection._problem._problem import SelectionProblem
from moe2_pl.selection._solvers._search import Search

__all__ = ["DeviceSets", "device_sets"]

BoolArray = NDArray[np.bool_]
BitArray = NDArray[np.uint64]

_MOST_EXPERTS = 63
_MOST_SETS = 2048
_MOST_ON_A_DEVICE = 10
_MOST_KEPT = 200_000


class DeviceSets:
    """max over A of max { U(S) : S uses A and fits }, for monotone utilities.

    With A fixed, idle(A) and so the masks P_c(A) = { j on A : latency_cj ≤ L_c, idle(A) + e_cj ≤ E_c }
    are fixed, and the utility is monotone in S: only maximal loads of each device matter. The union bound
    Σ_c U_c(P_c(A)) orders the sets; within one, devices are given their loads one after the other, and
    those not yet decided count as holding everything. Subsets are bit sets.
    """

    def __init__(self, problem: SelectionProblem) -> None:
        evaluator = problem.evaluator
        assert isinstance(evaluator, CoverEvaluator)
        self.evaluator = evaluator
        self.problem = problem
        self.bit = np.uint64(1) << np.arange(problem.n_experts, dtype=np.uint64)
        usable = ~problem.excluded
        hosts = np.unique(problem.device[usable])
        sets = device_sets(problem, _MOST_SETS)
        assert sets is not None
        must = np.unique(problem.device[problem.required])
        self.sets = sets[sets[:, must].all(axis=1) & sets.any(axis=1)]
        self.idle = np.array([problem.idle_per_query_j[on].sum() for on in self.sets])
        there = self.sets[:, problem.device] & usable
        self.there = (there * self.bit).sum(axis=1, dtype=np.uint64)
        self.loads = {
            int(d): self._maximal_loads(np.flatnonzero(usable & (problem.device == d))) for d in hosts
        }
        self._of_device = {d: _union(loads) for d, loads in self.loads.items()}
        self._useful: dict[tuple[int, int], list[int]] = {}
        self._parts: list[dict[int, float]] = [{} for _ in range(problem.n_categories)]
        self._columns: dict[tuple[int, bytes], NDArray[np.float64]] = {}
        self._bounds: dict[tuple[int, bytes], float] = {}

    @staticmethod
    def suits(problem: SelectionProblem) -> bool:
        """Few enough experts and devices, and nothing that binds across devices but idle energy."""
        usable = np.flatnonzero(~problem.excluded)
        crowd = np.bincount(problem.device[usable])
        return (
            problem.energy_model == "deployed"
            and isinstance(problem.evaluator, CoverEvaluator)
            and problem.n_experts <= _MOST_EXPERTS
            and len(usable) <= problem.max_experts
            and int(crowd.max(initial=0)) <= _MOST_ON_A_DEVICE
            and device_sets(problem, _MOST_SETS) is not None
        )

    def run(self, search: Search) -> None:
        """Search one budget."""
        instance, problem = search.instance, self.problem
        if not instance.packs(problem.required):
            return
        masks = (instance.open_at(self.idle[:, None, None]) * self.bit).sum(axis=2, dtype=np.uint64)
        masks &= self.there[:, None]
        bounds = np.zeros(len(masks))
        for c in range(problem.n_categories):
            bounds += self._column(c, np.ascontiguousarray(masks[:, c]))
        for k in np.argsort(-bounds, kind="stable"):
            if bounds[k] == -np.inf:
                break
            search.lower_bound_to(float(bounds[k]))
            if search.hopeless(search.bound) or search.tick():
                return
            self._fill(search, int(k), masks[k])
            if search.stopped:
                return
        search.lower_bound_to(search.value)

    def _fill(self, search: Search, k: int, masks: BitArray) -> None:
        """The best loads of one set of devices under its masks, unless known not to matter."""
        key = (k, masks.tobytes())
        if search.hopeless(self._bounds.get(key, np.inf)):
            return
        row = [int(mask) for mask in masks]
        useful = int(np.bitwise_or.reduce(masks)) | int(self.bit[self.problem.required].sum())
        choices = [
            self._useful_loads(int(d), useful & self._of_device[int(d)]) for d in np.flatnonzero(self.sets[k])
        ]
        choices.sort(key=len)
        rest = [0]
        for loads in reversed(choices):
            rest.append(rest[-1] | _union(loads))
        rest.reverse()

        def worth(subset: int) -> float:
            return sum(self._part(c, subset & mask) for c, mask in enumerate(row))

        bound = self._visit(search, choices, rest, 0, 0, worth)
        if not search.stopped:
            if len(self._bounds) >= _MOST_KEPT:
                self._bounds.clear()
            self._bounds[key] = bound

    def _useful_loads(self, d: int, useful: int) -> list[int]:
        """Loads of a device cut to the useful experts, without those that another one holds."""
        key = (d, useful)
        if key not in self._useful:
            loads = {load & useful for load in self.loads[d]}
            self._useful[key] = [a for a in loads if not any(a != b and a & b == a for b in loads)]
        return self._useful[key]

    def _visit(
        self,
        search: Search,
        choices: list[list[int]],
        rest: list[int],
        depth: int,
        chosen: int,
        worth: Callable[[int], float],
    ) -> float:
        """Depth-first over devices; returns the largest bound of what was pruned or reached."""
        bound = worth(chosen | rest[depth])
        if search.hopeless(bound) or bound == -np.inf:
            return bound
        while depth < len(choices) and len(choices[depth]) == 1:
            chosen, depth = chosen | choices[depth][0], depth + 1
        if depth == len(choices):
            search.offer((self.bit & np.uint64(chosen)) > 0)
            return bound
        if search.tick():
            return bound
        loads = sorted(choices[depth], key=lambda load: (-worth(chosen | load | rest[depth + 1]), load))
        return max(self._visit(search, choices, rest, depth + 1, chosen | load, worth) for load in loads)

    def _column(self, c: int, masks: BitArray) -> NDArray[np.float64]:
        """Union bounds of one category for all sets of devices; −inf where it would have nobody."""
        key = (c, masks.tobytes())
        if key not in self._columns:
            if len(self._columns) >= _MOST_KEPT // len(self.sets):
                self._columns.clear()
            self._columns[key] = np.array([self._part(c, int(mask)) for mask in masks])
        return self._columns[key]

    def _part(self, c: int, subset: int) -> float:
        """What category c is worth with these experts allowed; −inf with none."""
        parts = self._parts[c]
        if subset not in parts:
            if len(parts) >= _MOST_KEPT:
                parts.clear()
            parts[subset] = self.evaluator.part(c, (self.bit & np.uint64(subset)) > 0) if subset else -np.inf
        return parts[subset]

    def _maximal_loads(self, experts: NDArray[np.intp]) -> list[int]:
        """Bit sets of :func:`maximal_loads`."""
        problem = self.problem
        loads = maximal_loads(
            problem.memory_gb[experts],
            problem.memory_group[experts],
            problem.group_gb,
            float(problem.at(Budget()).memory_limit[problem.device[experts[0]]]),
            problem.required[experts],
        )
        return [int(load) for load in (loads * self.bit[experts]).sum(axis=1, dtype=np.uint64)]


def device_sets(problem: SelectionProblem, most: int) -> BoolArray | None:
    """Every set of devices that hold usable experts, of one box at most one, [sets, D]; None beyond ``most`` sets.

    The empty set is one of them. In the order of a counter whose lowest digit is the first box.
    """
    hosts = np.unique(problem.device[~problem.excluded])
    settings = [hosts[problem.box[hosts] == b] for b in np.unique(problem.box[hosts])]
    if np.prod([len(devices) + 1.0 for devices in settings]) > most:
        return None
    sets = np.zeros((1, problem.n_devices), dtype=bool)
    for devices in settings:
        grown = [sets]
        for d in devices:
            with_d = sets.copy()
            with_d[:, d] = True
            grown.append(with_d)
        sets = np.concatenate(grown)
    return sets


def _union(loads: list[int]) -> int:
    union = 0
    for load in loads:
        union |= load
    return union
