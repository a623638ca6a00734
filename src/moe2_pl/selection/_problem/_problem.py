"""`SelectionProblem`: the experts, their costs and devices, and what a subset of them is worth.

It checks its arrays once and answers pure questions about one subset; budgets come later, through
`Instance`, and searching is the solvers' work.
"""

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe2_pl.errors import ProblemError, UnknownNameError
from moe2_pl.selection._problem._budget import Budget
from moe2_pl.selection._problem._evaluators import Evaluator
from moe2_pl.selection._problem._instance import Instance
from moe2_pl.selection._problem._routed_energy import RoutedEnergy
from moe2_pl.selection._problem._utilities import Utility, finite_array

__all__ = ["EnergyModel", "SelectionProblem", "Subset"]

EnergyModel = Literal["deployed", "active"]
Subset = Iterable[str] | Iterable[int] | NDArray[np.bool_]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False, init=False)
class SelectionProblem:
    """Which experts to deploy: N experts on D devices, n queries in C categories.

    Two energy models (idle(S) = Σ_{d used by S} idle_w_d / queries_per_s, J a query):

    - ``deployed``: M_c(S) = { j ∈ S : latency_cj ≤ L_c and idle(S) + energy_cj ≤ E_c }; S is feasible
      when every category keeps somebody. For pools where one expert answers each query.
    - ``active``: all of S answers every query: Σ_{j∈S} energy_cj ≤ E_c and
      max_{j∈S} latency_cj + aggregation_s[|S|] ≤ L_c; M_c(S) = S. Idle power is not charged here.

    In both, what a device loads fits its memory, of the devices of one box at most one is used,
    |S| ≤ max_experts, required ⊆ S, excluded ∩ S = ∅.

    Args:
        utility: what a subset is worth, over n queries and N experts.
        energy_j: mean joules a query (above idle for ``deployed``), [N] or [C, N].
        latency_s: mean seconds a query, [N] or [C, N].
        category: category of each query, [n], in 0…C−1; one category when omitted.
        categories: names of the categories, [C].
        device: device of each expert, [N], in 0…D−1; all on one device when omitted.
        idle_w: idle power of each device, [D], W; none drawn when omitted.
        queries_per_s: arrival rate of the whole fleet, needed with ``idle_w``.
        memory_gb: what each expert loads, [N], GB; with ``device_memory_gb``.
        device_memory_gb: what each device holds, [D], GB.
        box: the machine that each device is a setting of (its power modes), [D], whole numbers ≥ 0; every
            device its own machine when omitted.
        memory_group: experts that load something together, once (adapters of one base model): the number of
            their group, [N], −1 for none. Of one group all stand on one device.
        group_gb: what each group loads beside its experts' own ``memory_gb``, [G], GB.
        energy_model: ``deployed`` or ``active``.
        aggregation_s: seconds to join the answers (``active`` only): a number, or a non-decreasing
            array indexed by |S|, of length ≥ N + 1.
        experts: names, [N]; ``expert0`` … when omitted.
        required: names or indices that must be in S.
        excluded: names or indices that must not.
        max_experts: largest |S|.

    Raises:
        ProblemError: naming the array, the index and the value that cannot be used.
        UnknownNameError: a required or excluded name that no expert has, or an unknown energy model.

    Example:
        >>> from moe2_pl.selection import Budget, FacilityLocation
        >>> problem = SelectionProblem(
        ...     FacilityLocation([[0.9, 0.2], [0.1, 0.6]]), energy_j=[5, 1], latency_s=[2, 1],
        ...     device=[0, 1], idle_w=[2, 2], queries_per_s=1.0, experts=["big", "small"])
        >>> problem.value(["big", "small"], Budget(energy_j=9))
        0.75
        >>> problem.value(["big", "small"], Budget(energy_j=8))  # two idle boxes leave 4 J: big is out
        0.4
    """

    utility: Utility
    energy_j: FloatArray
    latency_s: FloatArray
    category: NDArray[np.intp]
    categories: tuple[str, ...]
    device: NDArray[np.intp]
    idle_per_query_j: FloatArray
    memory_gb: FloatArray
    device_memory_gb: FloatArray
    box: NDArray[np.intp]
    memory_group: NDArray[np.intp]
    group_gb: FloatArray
    energy_model: EnergyModel
    aggregation_s: FloatArray
    experts: tuple[str, ...]
    required: NDArray[np.bool_]
    excluded: NDArray[np.bool_]
    max_experts: int

    def __init__(
        self,
        utility: Utility,
        energy_j: ArrayLike,
        latency_s: ArrayLike,
        *,
        category: ArrayLike | None = None,
        categories: Sequence[str] | None = None,
        device: ArrayLike | None = None,
        idle_w: ArrayLike | None = None,
        queries_per_s: float | None = None,
        memory_gb: ArrayLike | None = None,
        device_memory_gb: ArrayLike | None = None,
        box: ArrayLike | None = None,
        memory_group: ArrayLike | None = None,
        group_gb: ArrayLike | None = None,
        energy_model: str = "deployed",
        aggregation_s: ArrayLike = 0.0,
        experts: Sequence[str] | None = None,
        required: Subset = (),
        excluded: Subset = (),
        max_experts: int | None = None,
    ) -> None:
        n, N = utility.n_queries, utility.n_experts
        if energy_model not in ("deployed", "active"):
            raise UnknownNameError("energy model", energy_model, ["deployed", "active"])
        labels = _indices(np.zeros(n) if category is None else category, "category", n)
        names = _category_names(categories, labels)
        hosts = _indices(np.zeros(N) if device is None else device, "device", N)
        _set(self, utility=utility, energy_model=energy_model, category=labels, categories=names)
        _set(self, experts=_expert_names(experts, N), device=hosts)
        C, D = len(names), _n_devices(hosts, idle_w, device_memory_gb, box)
        _set(self, energy_j=_costs(energy_j, "energy_j", C, N))
        _set(self, latency_s=_costs(latency_s, "latency_s", C, N))
        _set(self, idle_per_query_j=_idle(idle_w, queries_per_s, D))
        if (memory_gb is None) != (device_memory_gb is None):
            raise ProblemError("memory_gb and device_memory_gb: both or neither are needed")
        no_limit = memory_gb is None or device_memory_gb is None
        _set(self, memory_gb=_non_negative(np.zeros(N) if no_limit else memory_gb, "memory_gb", N))
        held = np.zeros(D) if no_limit else device_memory_gb
        _set(self, device_memory_gb=_non_negative(held, "device_memory_gb", D))
        _set(self, box=_indices(np.arange(D) if box is None else box, "box", D))
        group, shared_gb = _memory_groups(memory_group, group_gb, hosts, no_limit)
        _set(self, memory_group=group, group_gb=shared_gb)
        _set(self, aggregation_s=_aggregation(aggregation_s, N, energy_model))
        _set(self, required=self.mask(required), excluded=self.mask(excluded))
        both = np.flatnonzero(self.required & self.excluded)
        if len(both):
            raise ProblemError(f"expert '{self.experts[both[0]]}' is both required and excluded")
        if max_experts is not None and max_experts < 1:
            raise ProblemError(f"max_experts = {max_experts}: a whole number ≥ 1 is needed")
        _set(self, max_experts=N if max_experts is None else min(int(max_experts), N))

    @property
    def n_experts(self) -> int:
        """N."""
        return len(self.experts)

    @property
    def n_categories(self) -> int:
        """C."""
        return len(self.categories)

    @property
    def n_devices(self) -> int:
        """D."""
        return len(self.idle_per_query_j)

    @cached_property
    def group_device(self) -> NDArray[np.intp]:
        """The device of each memory group, [G]."""
        at = np.zeros(len(self.group_gb), dtype=np.intp)
        member = self.memory_group >= 0
        at[self.memory_group[member]] = self.device[member]
        return at

    @cached_property
    def evaluator(self) -> Evaluator:
        """The utility joined with the queries' categories."""
        return self.utility.prepare(self.category, self.n_categories)

    @cached_property
    def routed(self) -> RoutedEnergy:
        """Mean routed energies, computed once for each category and mask."""
        return RoutedEnergy(self)

    def with_queries(self, utility: Utility, category: NDArray[np.intp]) -> "SelectionProblem":
        """The same experts, costs and devices with other queries, of these categories."""
        other = copy(self)
        _set(other, utility=utility, category=category)
        for cached in ("evaluator", "routed"):
            other.__dict__.pop(cached, None)
        return other

    def mask(self, subset: Subset) -> NDArray[np.bool_]:
        """A subset given by names, indices or a mask, as a mask [N].

        Raises:
            UnknownNameError: a name that no expert has.
            ProblemError: an index out of range or a mask of another length.
        """
        if isinstance(subset, np.ndarray) and subset.dtype == np.bool_:
            if subset.shape != (self.n_experts,):
                shape = list(subset.shape)
                raise ProblemError(f"subset mask has shape {shape}; [{self.n_experts}] is needed")
            return subset.copy()
        mask = np.zeros(self.n_experts, dtype=bool)
        for expert in [subset] if isinstance(subset, str) else subset:
            if isinstance(expert, str):
                if expert not in self.experts:
                    raise UnknownNameError("expert", expert, self.experts)
                mask[self.experts.index(expert)] = True
            elif 0 <= int(expert) < self.n_experts:
                mask[int(expert)] = True
            else:
                raise ProblemError(f"expert index {expert}: 0 to {self.n_experts - 1} is needed")
        return mask

    def names(self, mask: NDArray[np.bool_]) -> tuple[str, ...]:
        """The names of a mask [N], in the pool's order."""
        return tuple(self.experts[j] for j in np.flatnonzero(mask))

    def devices(self, subset: Subset) -> tuple[int, ...]:
        """Indices of the devices that the subset switches on."""
        return tuple(int(d) for d in np.unique(self.device[self.mask(subset)]))

    def idle_j(self, subset: Subset) -> float:
        """Σ idle_w_d / queries_per_s over the devices that the subset uses, J a query."""
        return float(self.idle_per_query_j[list(self.devices(subset))].sum())

    def at(self, budget: Budget) -> Instance:
        """The problem under one budget: what the solvers work on."""
        return Instance.of(self, budget)

    def allowed(self, subset: Subset, budget: Budget) -> NDArray[np.bool_]:
        """M_c(S): who may answer each category under the budget, bool [C, N]."""
        return self.at(budget).allowed(self.mask(subset))

    def feasible(self, subset: Subset, budget: Budget) -> bool:
        """Whether the subset meets every constraint under the budget."""
        return self.at(budget).feasible(self.mask(subset))

    def value(self, subset: Subset, budget: Budget) -> float:
        """U(S) under the budget's masks; −inf when the subset is not feasible."""
        return self.at(budget).value(self.mask(subset))

    def joules(self, subset: Subset, budget: Budget) -> float:
        """Mean energy of a query under the plan, J, by which ties are broken; inf when infeasible.

        ``deployed``: idle(S) plus the energy of the allowed expert preferred for each query (ties to
        fewer joules); ``active``: Σ over categories of their share times Σ_{j∈S} energy_cj.
        """
        return self.at(budget).joules(self.mask(subset))


def _set(problem: SelectionProblem, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(problem, name, value)


def _indices(value: ArrayLike, name: str, length: int) -> NDArray[np.intp]:
    array = finite_array(value, name, (length,))
    wrong = np.flatnonzero((array < 0) | (array != np.floor(array)))
    if len(wrong):
        raise ProblemError(f"{name}[{wrong[0]}] = {array[wrong[0]]}: a whole number ≥ 0 is needed")
    return array.astype(np.intp)


def _non_negative(value: ArrayLike | None, name: str, length: int) -> FloatArray:
    array = finite_array([] if value is None else value, name, (length,))
    if (array < 0).any():
        where = int(np.argmax(array < 0))
        raise ProblemError(f"{name}[{where}] = {array[where]}: a number ≥ 0 is needed")
    return array


def _category_names(categories: Sequence[str] | None, labels: NDArray[np.intp]) -> tuple[str, ...]:
    used = int(labels.max()) + 1
    if categories is None:
        return ("all",) if used == 1 else tuple(str(c) for c in range(used))
    names = tuple(str(name) for name in categories)
    if used > len(names):
        where = int(np.argmax(labels))
        raise ProblemError(f"category[{where}] = {used - 1}: only {len(names)} categories are named")
    _refuse_duplicates(names, "category")
    return names


def _expert_names(experts: Sequence[str] | None, N: int) -> tuple[str, ...]:
    names = tuple(f"expert{j}" for j in range(N)) if experts is None else tuple(str(e) for e in experts)
    if len(names) != N:
        raise ProblemError(f"experts names {len(names)}; the utility has {N} columns")
    _refuse_duplicates(names, "expert")
    return names


def _refuse_duplicates(names: tuple[str, ...], kind: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ProblemError(f"{kind} name '{name}' stands twice, at {names.index(name)} and {index}")


def _n_devices(hosts: NDArray[np.intp], *per_device: ArrayLike | None) -> int:
    lengths = [len(np.atleast_1d(np.asarray(array))) for array in per_device if array is not None]
    used = int(hosts.max()) + 1
    D = lengths[0] if lengths else used
    if used > D:
        where = int(np.argmax(hosts))
        raise ProblemError(f"device[{where}] = {used - 1}: only {D} devices are described")
    return D


def _costs(value: ArrayLike, name: str, C: int, N: int) -> FloatArray:
    array = finite_array(value, name)
    if array.shape not in ((N,), (C, N)):
        raise ProblemError(f"{name} has shape {list(array.shape)}; [{N}] or [{C}, {N}] is needed")
    if (array < 0).any():
        where = [int(k) for k in np.argwhere(array < 0)[0]]
        raise ProblemError(f"{name}{where} = {array[tuple(where)]}: a cost ≥ 0 is needed")
    spread = np.broadcast_to(array, (C, N)).copy()
    spread.setflags(write=False)
    return spread


def _idle(idle_w: ArrayLike | None, queries_per_s: float | None, D: int) -> FloatArray:
    if idle_w is None:
        return np.zeros(D)
    if queries_per_s is None or not 0 < queries_per_s < np.inf:
        raise ProblemError(f"queries_per_s = {queries_per_s}: a rate > 0 is needed to share idle_w by query")
    return _non_negative(idle_w, "idle_w", D) / float(queries_per_s)


def _memory_groups(
    group: ArrayLike | None, group_gb: ArrayLike | None, hosts: NDArray[np.intp], no_limit: bool
) -> tuple[NDArray[np.intp], FloatArray]:
    N = len(hosts)
    if (group is None) != (group_gb is None) or (group is not None and no_limit):
        raise ProblemError("memory_group and group_gb: both or neither are needed, beside memory_gb")
    if group is None:
        return np.full(N, -1, dtype=np.intp), np.zeros(0)
    labels = _indices(finite_array(group, "memory_group", (N,)) + 1, "memory_group + 1", N) - 1
    gb = _non_negative(group_gb, "group_gb", len(np.atleast_1d(np.asarray(group_gb))))
    if int(labels.max()) >= len(gb):
        where = int(np.argmax(labels))
        raise ProblemError(f"memory_group[{where}] = {labels[where]}: only {len(gb)} groups are described")
    for g in range(len(gb)):
        on = np.unique(hosts[labels == g])
        if len(on) > 1:
            raise ProblemError(f"memory group {g} stands on devices {on[0]} and {on[1]}; one is needed")
    return labels, gb


def _aggregation(value: ArrayLike, N: int, energy_model: str) -> FloatArray:
    array = finite_array(value, "aggregation_s")
    if array.ndim == 0:
        array = np.full(N + 1, float(array))
    if array.ndim != 1 or len(array) < N + 1:
        shape = list(array.shape)
        raise ProblemError(f"aggregation_s has shape {shape}; a number or [≥ {N + 1}] is needed")
    array = _non_negative(array[: N + 1], "aggregation_s", N + 1)
    if (np.diff(array) < 0).any():
        where = int(np.argmax(np.diff(array) < 0)) + 1
        raise ProblemError(f"aggregation_s[{where}] = {array[where]} is less than the one before it")
    if energy_model == "deployed" and array.any():
        raise ProblemError("aggregation_s: one expert answers in 'deployed'; only 'active' aggregates")
    return array
