"""From a box to the packing relaxation of its open experts.

It decides which rows bind at all, enumerates what each device can load, and keeps both between nodes.
"""

import numpy as np
from numpy.typing import NDArray

from moe2_pl.selection._problem._instance import Instance
from moe2_pl.selection._problem._maximal_loads import maximal_loads
from moe2_pl.selection._solvers._monotonic._boxes import ROUNDING, Box
from moe2_pl.selection._solvers._monotonic._packing import DeviceKnapsack, ExpertKnapsack, Packing

__all__ = ["PackingBuilder"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_MOST_ENUMERATED = 10


class PackingBuilder:
    """Builds the packing of one box after the other of the same instance.

    Rows are numbered: 0…C−1 energy (``active``), C cardinality, C+1… memory of each device.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.rows = instance.problem.n_categories + 1 + instance.problem.n_devices
        self._loads: dict[bytes, BoolArray] = {}

    def build(self, box: Box) -> tuple[Packing, FloatArray, NDArray[np.intp]]:
        """The packing, the prices to start from, and which row each price belongs to."""
        G, rows = self.binding_rows(box)
        if not self.instance.deployed:
            packing: Packing = ExpertKnapsack(G)
        else:
            packing = self._device_knapsack(box, G)
        prices = packing.start()
        if box.prices is not None and box.prices[rows].any():
            prices = box.prices[rows]
        return packing, prices, rows

    def spread(self, prices: FloatArray, rows: NDArray[np.intp]) -> FloatArray:
        """Prices of the binding rows as prices of all rows, for the children."""
        full = np.zeros(self.rows)
        full[rows] = prices
        return full

    def binding_rows(self, box: Box) -> tuple[FloatArray, NDArray[np.intp]]:
        """Rows that the open experts could break, scaled to a right-hand side of 1, [R, J]."""
        instance, problem = self.instance, self.instance.problem
        open_, inside = np.flatnonzero(box.open), box.inside
        rows: list[tuple[int, FloatArray]] = []

        def add(row: int, cost: FloatArray, room: float) -> None:
            if room > 0 and cost.sum() > room:
                rows.append((row, cost / room))

        C = problem.n_categories
        if not instance.deployed:
            spent = problem.energy_j[:, inside].sum(axis=1)
            for c in range(C):
                add(c, problem.energy_j[c, open_], float(instance.energy_limit[c] - spent[c]))
        add(C, np.ones(len(open_)), float(box.size - int(inside.sum())))
        load = instance.load(inside)
        for d in np.unique(problem.device[open_]):
            here = problem.device[open_] == d
            if not instance.deployed or int(here.sum()) > _MOST_ENUMERATED:
                room = float(instance.memory_limit[d] - load[d])
                add(C + 1 + int(d), np.where(here, problem.memory_gb[open_], 0.0), room)
        if not rows:
            return np.zeros((0, len(open_))), np.zeros(0, dtype=np.intp)
        return np.stack([cost for _, cost in rows]), np.array([row for row, _ in rows])

    def _device_knapsack(self, box: Box, G: FloatArray) -> DeviceKnapsack:
        instance, problem = self.instance, self.instance.problem
        open_ = np.flatnonzero(box.open)
        hosts = np.unique(problem.device[open_])
        blocks, owner = [], []
        load, there = instance.load(box.inside), instance.loaded_groups(box.inside)
        for position, d in enumerate(hosts):
            here = np.flatnonzero(problem.device[open_] == d)
            loads = self._maximal_loads(open_[here], float(instance.memory_limit[d] - load[d]), there)
            block = np.zeros((len(loads), len(open_)), dtype=bool)
            block[:, here] = loads
            blocks.append(block)
            owner += [position] * len(loads)
        return DeviceKnapsack(
            loads=np.concatenate(blocks),
            owner=np.array(owner, dtype=np.intp),
            device=np.searchsorted(hosts, problem.device[open_]),
            idle=np.where(box.on[hosts], 0.0, problem.idle_per_query_j[hosts]),
            decided=box.on[hosts],
            box=problem.box[hosts],
            room=max(box.high * ROUNDING - instance.idle(box.on), 0.0),
            G=G,
        )

    def _maximal_loads(self, experts: NDArray[np.intp], room: float, there: BoolArray) -> BoolArray:
        """:func:`maximal_loads` of one device's open experts beside the groups that are ``there``, [F, experts]."""
        problem = self.instance.problem
        memory, group = problem.memory_gb[experts], problem.memory_group[experts]
        shared = np.where(there, 0.0, problem.group_gb)
        wanted = memory.sum() + shared[np.unique(group[group >= 0])].sum()
        if wanted <= room or len(experts) > _MOST_ENUMERATED:
            return np.ones((1, len(experts)), dtype=bool)
        key = experts.tobytes() + np.float64(room).tobytes() + there.tobytes()
        if key not in self._loads:
            none = np.zeros(len(experts), dtype=bool)
            self._loads[key] = maximal_loads(memory, group, shared, room * ROUNDING, none)
        return self._loads[key]
