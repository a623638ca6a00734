"""The reference solver: every subset, depth-first and adding only, so that values stay incremental.

It ends at some 20 experts; its worth is that nothing in it is clever.
"""

import numpy as np
from numpy.typing import NDArray

from moe2_pl.selection._solvers._search import Search

__all__ = ["exhaustive"]

BoolArray = NDArray[np.bool_]


def exhaustive(search: Search) -> None:
    """Evaluate every subset that packs; the bound is the best value once all have been seen.

    ``active``: one depth-first pass over the experts. ``deployed``: one pass for each set of devices,
    where idle energy and masks are fixed, over the subsets that use exactly those devices.
    """
    instance = search.instance
    problem = instance.problem
    if not instance.packs(problem.required):
        return
    if not instance.deployed:
        everything = np.ones(instance.quick.shape, dtype=bool)
        nothing = np.zeros(problem.n_devices, dtype=bool)
        _Pass(search, everything, nothing).run(np.flatnonzero(~problem.excluded))
    else:
        hosts = np.unique(problem.device[~problem.excluded])
        must = instance.devices(problem.required)[hosts]
        for code in range(1, 1 << len(hosts)):
            chosen = (code >> np.arange(len(hosts)) & 1).astype(bool)
            if search.tick():
                break
            on = np.zeros(problem.n_devices, dtype=bool)
            on[hosts[chosen]] = True
            if (must & ~chosen).any() or (instance.rivals(on) & on).any():
                continue
            allowed = instance.open_at(instance.idle(on))
            there = np.flatnonzero(~problem.excluded & on[problem.device])
            order = there[np.argsort(problem.device[there], kind="stable")]
            _Pass(search, allowed, on).run(order)
    if not search.stopped:
        search.lower_bound_to(search.value)


class _Pass:
    """Depth-first over include/exclude decisions with fixed masks."""

    def __init__(self, search: Search, allowed: BoolArray, must_use: BoolArray) -> None:
        self.search = search
        self.allowed = allowed
        self.must_use = must_use
        self.columns = search.instance.evaluator.columns(allowed)

    def run(self, order: NDArray[np.intp]) -> None:
        problem = self.search.instance.problem
        if not (self.allowed[:, order].any(axis=1)).all():
            return
        self.order = order
        # The device whose last candidate stands at this position must have been used by then.
        hosts = problem.device[order]
        self.last = [
            d if self.must_use[d] and not (hosts[k + 1 :] == d).any() else -1 for k, d in enumerate(hosts)
        ]
        self._visit(0, np.zeros(problem.n_experts, dtype=bool), self.search.instance.evaluator.start())

    def _visit(self, depth: int, mask: BoolArray, state: NDArray[np.float64]) -> None:
        search = self.search
        instance, problem = search.instance, search.instance.problem
        if search.stopped:
            return
        if depth == len(self.order):
            self._leaf(mask, state)
            return
        j, last = self.order[depth], self.last[depth]
        grown = mask.copy()
        grown[j] = True
        if instance.packs(grown):
            self._visit(depth + 1, grown, instance.evaluator.add(state, self.columns[j]))
        unused = last >= 0 and not mask[problem.device == last].any()
        if not problem.required[j] and not unused:
            self._visit(depth + 1, mask, state)

    def _leaf(self, mask: BoolArray, state: NDArray[np.float64]) -> None:
        search = self.search
        search.tick()
        served = mask.any() and self.allowed[:, mask].any(axis=1).all()
        if served and search.instance.evaluator.total(state) > search.value - 1e-12:
            search.offer(mask)
