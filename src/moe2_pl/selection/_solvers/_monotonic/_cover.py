"""Branch, reduce and bound for facility location and its top-k sibling.

A node's life: reduce (close what cannot matter), bound (Lagrangian), fix (reduced costs), look for an
incumbent, choose where to split. Nodes are described in `_boxes.py`, the bound in `_lagrangian.py`.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from moe2_pl.selection._problem._evaluators import CoverEvaluator
from moe2_pl.selection._solvers._local import greedy_start, improve, kick
from moe2_pl.selection._solvers._monotonic._boxes import Box, Branch, children, masks, reduce_box, roots
from moe2_pl.selection._solvers._monotonic._enumerate import choices_worth, values_of
from moe2_pl.selection._solvers._monotonic._lagrangian import LagrangianBound, lagrangian_bound
from moe2_pl.selection._solvers._monotonic._node_packing import PackingBuilder
from moe2_pl.selection._solvers._monotonic._node_queue import NodeQueue
from moe2_pl.selection._solvers._monotonic._packing import Packing
from moe2_pl.selection._solvers._search import GAP_TOLERANCE, Search

__all__ = ["CoverSearch"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_ROOT_ITERATIONS = 300
_WARM_ITERATIONS = 60
_NODE_ITERATIONS = 16
_BYTES_OF_A_BOX = 1500
_WHOLE = 0.99
_MOST_ROUNDED = 100_000
_MOST_LISTED = 2000
_NODES_BETWEEN_KICKS = 16


class CoverSearch:
    """Best-first until the queue reaches its memory limit, depth-first while it is over it."""

    def __init__(self, search: Search) -> None:
        evaluator = search.instance.evaluator
        assert isinstance(evaluator, CoverEvaluator)
        self.search = search
        self.instance = search.instance
        self.evaluator = evaluator
        self.packings = PackingBuilder(search.instance)
        box_bytes = 4 * evaluator.n + _BYTES_OF_A_BOX + 2 * search.instance.problem.n_experts
        self._queue = NodeQueue[Box](search.options.memory_limit_mb, box_bytes)
        self._rounded: set[bytes] = set()
        self._rng = np.random.default_rng(search.options.seed)

    def run(self, *, greedy: bool) -> None:
        """Search until the gap is closed or a limit is reached, from the greedy subsets if asked."""
        search = self.search
        if greedy:
            greedy_start(search)
        for box in roots(self.instance):
            if search.root is None:
                self._examine(box, search.bound, _ROOT_ITERATIONS)
            else:
                lam, prices = search.root
                self._examine(replace(box, lam=lam, prices=prices), search.bound, _WARM_ITERATIONS)
        while self._queue:
            search.lower_bound_to(self._queue.largest_bound)
            if search.hopeless(search.bound) or search.tick():
                return
            if search.nodes % _NODES_BETWEEN_KICKS == 0:
                kick(search, self._rng)
            bound, box = self._queue.pop()
            if not search.hopeless(bound):
                for child in children(self.instance, box):
                    self._examine(child, bound, _NODE_ITERATIONS)
        search.lower_bound_to(search.value)

    def _examine(self, box: Box, parent_bound: float, iterations: int) -> None:
        search = self.search
        reduced = reduce_box(self.instance, box)
        if reduced is None:
            return
        if not reduced.maybe.any() and self._closes(reduced):
            return
        q, held, allowed = self._columns(reduced)
        best = np.maximum(q.max(axis=0), held[0])
        union = float(self.evaluator.w @ best)  # for k > 1 too: no k competences average above the largest
        if search.hopeless(min(union, parent_bound)):
            return
        packing, prices, rows = self.packings.build(reduced)
        lam = np.median(q, axis=0) if reduced.lam is None else reduced.lam.astype(np.float64)
        floor = float(held.sum(axis=0) @ self.evaluator.w) / len(held)
        target = max(search.value, floor)
        result = lagrangian_bound(
            q, held, self.evaluator.w, packing, lam, prices, target, iterations, search.expired
        )
        bound = min(result.bound, union, parent_bound)
        if search.hopeless(bound):
            return
        lam32 = result.lam.astype(np.float32)
        full = self.packings.spread(result.relaxed.prices, rows)
        if iterations > _NODE_ITERATIONS:
            search.root = lam32, full
        leak = self._round(reduced, result, q, held)
        if search.hopeless(bound):
            return
        fixed = self._fix(reduced, packing, result)
        if fixed is None:
            return
        if self._list(fixed, result, q[fixed.open[reduced.open]], held, reduced, full):
            return
        branch = self._branch(fixed, reduced, result, allowed, leak, bound)
        if branch is None:
            search.offer(fixed.inside)
            return
        self._queue.push(bound, replace(fixed, lam=lam32, prices=full, branch=branch))

    def _closes(self, box: Box) -> bool:
        """Whether a box without undecided devices is worth exactly what one subset is; offers it."""
        everything = box.inside | box.open
        if int(everything.sum()) <= box.size and self.instance.packs(everything):
            self.search.offer(everything)
            return True
        if not box.open.any():
            self.search.offer(box.inside)
            return True
        return False

    def _columns(self, box: Box) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Open experts' columns [J, n], the k best of those inside [k, n], and the masks [C, N].

        Where an expert may not answer, its column holds the floor: the least that any feasible subset
        of the box is worth on that query (for k > 1, 0).
        """
        evaluator, allowed = self.evaluator, masks(self.instance, box)
        q = evaluator.q[box.open]
        held = np.zeros((evaluator.k, evaluator.n))
        for c, rows in enumerate(evaluator.slices):
            free = allowed[c, box.open]
            sure = evaluator.q[allowed[c] & box.inside, rows]
            if evaluator.k == 1:
                floor = np.minimum(
                    q[free, rows].min(axis=0, initial=np.inf), sure.min(axis=0, initial=np.inf)
                )
                q[~free, rows] = floor
                held[0, rows] = np.maximum(floor, sure.max(axis=0, initial=-np.inf))
            else:
                q[~free, rows] = 0.0
                ranked = -np.sort(-sure, axis=0)[: evaluator.k]
                held[: len(ranked), rows] = ranked
        return q, held, allowed

    def _round(self, box: Box, result: LagrangianBound, q: FloatArray, held: FloatArray) -> float:
        """Offer the relaxation's choice, filled up; returns what its value loses to its own masks."""
        instance, problem = self.instance, self.instance.problem
        open_ = np.flatnonzero(box.open)
        mask = box.inside.copy()
        mask[open_[result.relaxed.x >= _WHOLE]] = True
        if not instance.packs(mask) or int(mask.sum()) > box.size:
            mask = box.inside.copy()
        rho = np.zeros(problem.n_experts)
        rho[open_] = result.rho
        while True:
            on = instance.devices(mask) if instance.deployed else box.on
            fits = instance.fits(mask) & box.open & on[problem.device] & (rho > 0)
            if not fits.any() or int(mask.sum()) >= box.size:
                break
            mask[np.argmax(np.where(fits, rho, -1.0))] = True
        key = mask.tobytes()
        if key not in self._rounded:
            if len(self._rounded) >= _MOST_ROUNDED:
                self._rounded.clear()
            self._rounded.add(key)
            before = self.search.value
            if self.search.offer(mask) > before:
                improve(self.search)
        if not instance.deployed or self.evaluator.k > 1:
            return 0.0
        chosen = mask[open_]
        wide = np.maximum(q[chosen].max(axis=0, initial=-np.inf), held[0])
        value = instance.value(mask)
        return float(self.evaluator.w @ wide) - value if value > -np.inf else np.inf

    def _fix(self, box: Box, packing: Packing, result: LagrangianBound) -> Box | None:
        """Decide what the bound already decides: a choice whose opposite cannot beat the incumbent."""
        value = self.search.value
        if value == -np.inf:
            return box
        slack = result.bound - value - GAP_TOLERANCE * max(1.0, abs(value))
        forced = packing.forced(result.rho, result.relaxed)
        must, cannot = forced.out >= slack, forced.into >= slack
        if (must & cannot).any():
            return None
        open_ = np.flatnonzero(box.open)
        inside, rest = box.inside.copy(), box.open.copy()
        inside[open_[must]] = True
        rest[open_[must | cannot]] = False
        on, maybe = box.on.copy(), box.maybe.copy()
        if len(forced.on):
            hosts = np.unique(self.instance.problem.device[open_])
            free = hosts[~box.on[hosts]]
            if ((forced.off >= slack) & (forced.on >= slack)).any():
                return None
            on[free[forced.off >= slack]] = True
            on |= self.instance.devices(inside)
            maybe[free[forced.on >= slack]] = False
            rivals = self.instance.rivals(on)
            maybe &= ~on & ~rivals
            if (on & ((~box.on & ~box.maybe) | rivals)).any():
                return None
            rest &= (on | maybe)[self.instance.problem.device]
        if not self.instance.packs(inside):
            return None
        return replace(box, inside=inside, open=rest, on=on, maybe=maybe)

    def _list(
        self,
        fixed: Box,
        result: LagrangianBound,
        q: FloatArray,
        held: FloatArray,
        reduced: Box,
        prices: FloatArray,
    ) -> bool:
        """Evaluate every choice in the box that its modular bound leaves; whether there were few enough."""
        search = self.search
        if self.instance.deployed or self.evaluator.k > 1 or search.value == -np.inf:
            return False
        G, rows = self.packings.binding_rows(fixed)
        weights = prices[rows]
        if not weights.sum() > 0:
            return False
        must, still = fixed.inside[reduced.open], fixed.open[reduced.open]
        base = result.bound - result.relaxed.value + float(result.rho[must].sum())
        need = search.value + GAP_TOLERANCE * max(1.0, abs(search.value)) - base
        chosen = choices_worth(result.rho[still], G, weights, need, _MOST_LISTED)
        if chosen is None:
            return False
        if len(chosen):
            sure = np.maximum(held[0], self.evaluator.q[fixed.inside].max(axis=0, initial=-np.inf))
            values = values_of(self.evaluator, q, sure, chosen)
            open_ = np.flatnonzero(fixed.open)
            for k in np.argsort(-values, kind="stable"):
                if search.hopeless(float(values[k])):
                    break
                mask = fixed.inside.copy()
                mask[open_[chosen[k]]] = True
                search.offer(mask)
        return True

    def _branch(
        self,
        fixed: Box,
        box: Box,
        result: LagrangianBound,
        allowed: BoolArray,
        leak: float,
        bound: float,
    ) -> Branch | None:
        """Where to split: idle energy while masks blur the bound, then devices, then experts."""
        problem = self.instance.problem
        if fixed.maybe.any() and leak > 0.5 * (bound - self.search.value):
            where = self._middle_of_idle(fixed, allowed)
            if where is not None:
                return "idle", where
        weight = np.full(problem.n_experts, -1.0)
        weight[box.open] = result.rho * (result.usage + 1e-6)
        weight[~fixed.open] = -1.0
        if fixed.maybe.any():
            gain = np.bincount(problem.device, np.maximum(weight, 0.0), problem.n_devices)
            return "device", int(np.argmax(np.where(fixed.maybe, gain, -1.0)))
        if fixed.open.any():
            return "expert", int(np.argmax(weight))
        return None

    def _middle_of_idle(self, box: Box, allowed: BoolArray) -> float | None:
        """The median of the idle energies in the box's interval at which some mask changes."""
        problem, instance = self.instance.problem, self.instance
        left = (instance.energy_limit[:, None] - problem.energy_j)[allowed & (box.inside | box.open)]
        steps = np.unique(left[(left > box.low) & (left < box.high)])
        return float(steps[len(steps) // 2]) if len(steps) else None
