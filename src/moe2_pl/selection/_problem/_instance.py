"""A problem under one budget: masks, feasibility and values, for the solvers' inner loops.

Everything takes and returns arrays; names and statuses belong to `Solution`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from moe2_pl.selection._problem._budget import FEASIBILITY_TOLERANCE, Budget, within
from moe2_pl.selection._problem._evaluators import Evaluator
from moe2_pl.selection._problem._groups import most_of_each

if TYPE_CHECKING:
    from moe2_pl.selection._problem._problem import SelectionProblem

__all__ = ["Instance"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Instance:
    """One problem at one budget. Limits already include the feasibility tolerance.

    Attributes:
        energy_limit: E_c, [C], J.
        latency_limit: L_c, [C], s.
        memory_limit: [D], GB; 0 in a problem without memory, whose experts all load 0.
        quick: latency_cj ≤ L_c, bool [C, N].
    """

    problem: "SelectionProblem"
    budget: Budget
    energy_limit: FloatArray
    latency_limit: FloatArray
    memory_limit: FloatArray
    quick: BoolArray

    @classmethod
    def of(cls, problem: "SelectionProblem", budget: Budget) -> "Instance":
        slack = 1.0 + FEASIBILITY_TOLERANCE
        latency = budget.latency_limits(problem.categories)
        return cls(
            problem=problem,
            budget=budget,
            energy_limit=budget.energy_limits(problem.categories) * slack,
            latency_limit=latency * slack,
            memory_limit=problem.device_memory_gb * slack,
            quick=within(problem.latency_s, latency[:, None]),
        )

    @property
    def evaluator(self) -> Evaluator:
        return self.problem.evaluator

    @property
    def deployed(self) -> bool:
        return self.problem.energy_model == "deployed"

    def devices(self, mask: BoolArray) -> BoolArray:
        """Which devices a subset uses, bool [D]."""
        used = np.zeros(self.problem.n_devices, dtype=bool)
        used[self.problem.device[mask]] = True
        return used

    def idle(self, on: BoolArray) -> float:
        """Idle energy of switched-on devices, J a query."""
        return float(self.problem.idle_per_query_j[on].sum())

    def most_idle(self, possible: BoolArray) -> float:
        """The most idle energy of any subset on these devices: of each box the device that draws most, J a query."""
        return float(most_of_each(self.problem.box[possible], self.problem.idle_per_query_j[possible]).sum())

    def rivals(self, on: BoolArray) -> BoolArray:
        """Devices that share a box with another one that is on, bool [D]."""
        box = self.problem.box
        taken = np.bincount(box[on], minlength=int(box.max()) + 1)
        return np.asarray(taken[box] > on)

    def open_at(self, idle: float | FloatArray) -> BoolArray:
        """Experts that a category may use at this idle energy (a number, or one per expert), [C, N]."""
        return self.quick & (idle + self.problem.energy_j <= self.energy_limit[:, None])

    def allowed(self, mask: BoolArray) -> BoolArray:
        """M_c(S), bool [C, N]."""
        if not self.deployed:
            return np.broadcast_to(mask, self.quick.shape)
        return self.open_at(self.idle(self.devices(mask))) & mask

    def load(self, mask: BoolArray) -> FloatArray:
        """Memory in use on each device, [D], GB."""
        problem = self.problem
        loads = np.bincount(problem.device[mask], problem.memory_gb[mask], problem.n_devices)
        if len(problem.group_gb):
            once = self.loaded_groups(mask)
            loads = loads + np.bincount(problem.group_device[once], problem.group_gb[once], problem.n_devices)
        return np.asarray(loads, dtype=np.float64)

    def loaded_groups(self, mask: BoolArray) -> BoolArray:
        """Memory groups of which some expert is in S, bool [G]."""
        groups = self.problem.memory_group[mask]
        return np.bincount(groups[groups >= 0], minlength=len(self.problem.group_gb)) > 0

    def added_gb(self, mask: BoolArray) -> FloatArray:
        """What each expert would load beside S, its group's part included where S lacks it, [N], GB."""
        problem = self.problem
        if not len(problem.group_gb):
            return problem.memory_gb
        missing = np.append(np.where(self.loaded_groups(mask), 0.0, problem.group_gb), 0.0)
        return np.asarray(problem.memory_gb + missing[problem.memory_group])

    def stands(self, mask: BoolArray) -> bool:
        """Whether S meets what no budget changes: memory, boxes, the number of experts, who is excluded."""
        problem = self.problem
        if int(mask.sum()) > problem.max_experts or (mask & problem.excluded).any():
            return False
        if (self.rivals(on := self.devices(mask)) & on).any():
            return False
        return not (self.load(mask) > self.memory_limit).any()

    def packs(self, mask: BoolArray) -> bool:
        """Whether S meets every constraint that dropping an expert cannot break."""
        problem = self.problem
        if not self.stands(mask):
            return False
        size = int(mask.sum())
        if self.deployed or not size:
            return True
        slow = problem.latency_s[:, mask].max(axis=1) + problem.aggregation_s[size] > self.latency_limit
        return not (slow.any() or (problem.energy_j[:, mask].sum(axis=1) > self.energy_limit).any())

    def fits(self, mask: BoolArray) -> BoolArray:
        """Which experts could each be added to a packing S without breaking it, bool [N]."""
        problem = self.problem
        size = int(mask.sum())
        if size >= problem.max_experts:
            return np.zeros_like(mask)
        room = self.load(mask)[problem.device] + self.added_gb(mask) <= self.memory_limit[problem.device]
        free = ~mask & ~problem.excluded & room & ~self.rivals(self.devices(mask))[problem.device]
        if self.deployed:
            return free
        slowest = np.maximum(problem.latency_s, problem.latency_s[:, mask].max(axis=1, initial=0.0)[:, None])
        quick = slowest + problem.aggregation_s[size + 1] <= self.latency_limit[:, None]
        spent = problem.energy_j[:, mask].sum(axis=1)[:, None]
        cheap = spent + problem.energy_j <= self.energy_limit[:, None]
        return np.asarray(free & (quick & cheap).all(axis=0))

    def feasible(self, mask: BoolArray) -> bool:
        """Packs, holds everything required, and serves every category."""
        if not mask.any() or (self.problem.required & ~mask).any() or not self.packs(mask):
            return False
        return bool(self.allowed(mask).any(axis=1).all())

    def value(self, mask: BoolArray) -> float:
        """U(S); −inf when S is not feasible."""
        return self.evaluator.value(self.allowed(mask)) if self.feasible(mask) else -np.inf

    def ceiling(self) -> float:
        """No feasible subset is worth more: every usable expert, masks at the least idle energy it could see.

        −inf when some category could not be served, or what is required does not fit.
        """
        problem = self.problem
        required = problem.required
        if not self.packs(required):
            return -np.inf
        usable = required | self.fits(required)
        if self.deployed:
            on = self.devices(required)
            own = np.where(on, 0.0, problem.idle_per_query_j)[problem.device]
            possible = self.open_at(self.idle(on) + own) & usable
        else:
            possible = np.broadcast_to(usable, self.quick.shape)
        return self.evaluator.bound(np.zeros_like(possible), possible)

    def joules(self, mask: BoolArray) -> float:
        """As `SelectionProblem.joules`."""
        if not self.feasible(mask):
            return np.inf
        problem = self.problem
        if not self.deployed:
            return float(self.evaluator.share @ problem.energy_j[:, mask].sum(axis=1))
        return self.idle(self.devices(mask)) + problem.routed.mean(self.allowed(mask))
