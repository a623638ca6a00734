"""Incumbents: greedy by gain and by gain per cost, then swaps.

For ``deployed`` both work at a fixed level of idle energy, where masks do not change; the subset found
is then judged by its own masks, which can only be wider.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moe2_pl.selection._problem._instance import Instance
from moe2_pl.selection._solvers._search import Search

__all__ = ["greedy_start", "improve", "kick"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_LEVELS = 8


@dataclass(frozen=True, eq=False)
class _Level:
    """An instance with idle energy held at a level: fixed masks and columns.

    Attributes:
        idle: no subset may draw more, J a query.
        allowed: masks at that idle energy, [C, N].
        columns: the evaluator's columns under those masks, [N, …, n].
        worth: what serving one more category counts beside the value.
    """

    instance: Instance
    idle: float
    allowed: BoolArray
    columns: FloatArray
    worth: float

    @classmethod
    def at(cls, instance: Instance, idle: float) -> "_Level":
        shape = instance.quick.shape
        allowed = instance.open_at(idle) if instance.deployed else np.ones(shape, dtype=bool)
        columns = instance.evaluator.columns(allowed)
        return cls(instance, idle, allowed, columns, instance.evaluator.spread)

    def fits(self, mask: BoolArray) -> BoolArray:
        """Experts that can be added without breaking a limit or passing the level, bool [N]."""
        fits = self.instance.fits(mask)
        if self.instance.deployed:
            on = self.instance.devices(mask)
            device = self.instance.problem.device
            extra = np.where(on, 0.0, self.instance.problem.idle_per_query_j)
            fits &= (self.instance.idle(on) + extra <= self.idle)[device]
            fits &= self.allowed.any(axis=0)
        return fits

    def state(self, mask: BoolArray) -> FloatArray:
        """The evaluator's state of a subset."""
        state = self.instance.evaluator.start()
        for j in np.flatnonzero(mask):
            state = self.instance.evaluator.add(state, self.columns[j])
        return state

    def scores(self, mask: BoolArray, state: FloatArray, candidates: NDArray[np.intp]) -> FloatArray:
        """Value with each candidate added; a category without anybody costs more than any value."""
        values = self.instance.evaluator.totals(state, self.columns[candidates])
        served = np.asarray(self.allowed[:, mask].any(axis=1))
        return np.asarray(values + self.worth * (served[:, None] | self.allowed[:, candidates]).sum(axis=0))

    def score(self, mask: BoolArray, state: FloatArray) -> float:
        value = float(self.instance.evaluator.totals(state, self.instance.evaluator.start()[None])[0])
        return value + self.worth * int(self.allowed[:, mask].any(axis=1).sum())


def greedy_start(search: Search) -> None:
    """Offer the greedy subsets of several levels, improved by swaps."""
    instance = search.instance
    if not instance.packs(instance.problem.required):
        return
    for idle in _levels(instance):
        if search.expired():
            return
        level = _Level.at(instance, idle)
        for by_density in (True, False):
            search.offer(_swap(level, _greedy(level, by_density, instance.problem.required)))


def improve(search: Search) -> None:
    """Swaps from the incumbent, at its own idle energy."""
    instance = search.instance
    level = _Level.at(instance, instance.idle(instance.devices(search.mask)))
    search.offer(_swap(level, search.mask))


def kick(search: Search, rng: np.random.Generator) -> None:
    """Iterated local search: drop a few experts of the incumbent, fill up greedily, swap."""
    instance = search.instance
    droppable = np.flatnonzero(search.mask & ~instance.problem.required)
    if len(droppable) < 2:
        return
    level = _Level.at(instance, instance.idle(instance.devices(search.mask)))
    mask = search.mask.copy()
    mask[rng.permutation(droppable)[: rng.integers(1, min(4, len(droppable)) + 1)]] = False
    search.offer(_swap(level, _greedy(level, bool(rng.integers(2)), mask)))


def _levels(instance: Instance) -> list[float]:
    """Idle energies worth trying: from the cheapest device to all of them."""
    if not instance.deployed:
        return [0.0]
    problem = instance.problem
    least = instance.idle(instance.devices(problem.required))
    most = instance.idle(instance.devices(~problem.excluded))
    left = np.where(
        instance.quick & ~problem.excluded, instance.energy_limit[:, None] - problem.energy_j, -np.inf
    )
    most = min(most, float(left.max(axis=1).min()))
    if most <= least:
        return [least]
    return [float(level) for level in np.linspace(least, most, _LEVELS + 1)[1:]]


def _cost_share(instance: Instance, level: float) -> FloatArray:
    """What each expert takes of the limits, summed over the limits, [N]."""
    problem = instance.problem
    finite = np.isfinite(instance.energy_limit) & (instance.energy_limit > 0)
    share = np.zeros(problem.n_experts)
    if not instance.deployed and finite.any():
        share += (problem.energy_j[finite] / instance.energy_limit[finite, None]).mean(axis=0)
    room = instance.memory_limit[problem.device]
    share += np.divide(problem.memory_gb, room, out=np.zeros_like(share), where=room > 0)
    return share + 1.0 / problem.max_experts


def _greedy(level: _Level, by_density: bool, start: BoolArray) -> BoolArray:
    instance = level.instance
    problem = instance.problem
    share = _cost_share(instance, level.idle)
    mask = start.copy()
    state = level.state(mask)
    score = level.score(mask, state)
    while True:
        candidates = np.flatnonzero(level.fits(mask))
        if not len(candidates):
            return mask
        gain = level.scores(mask, state, candidates) - score
        if gain.max() <= 0:
            return mask
        if by_density:
            on = instance.devices(mask)[problem.device[candidates]]
            idle = problem.idle_per_query_j[problem.device[candidates]]
            gain = gain / (share[candidates] + np.where(on, 0.0, idle / max(level.idle, 1e-300)))
        j = candidates[int(np.argmax(gain))]
        mask[j] = True
        state = instance.evaluator.add(state, level.columns[j])
        score = level.score(mask, state)


def _swap(level: _Level, mask: BoolArray) -> BoolArray:
    """Replace one expert by another, or add one, while the score grows."""
    instance = level.instance
    required = instance.problem.required
    mask = mask.copy()
    score = level.score(mask, level.state(mask))
    improved = True
    while improved:
        improved = False
        for j in [-1, *np.flatnonzero(mask & ~required)]:
            without = mask.copy()
            if j >= 0:
                without[j] = False
            candidates = np.flatnonzero(level.fits(without))
            if not len(candidates):
                continue
            scores = level.scores(without, level.state(without), candidates)
            best = int(np.argmax(scores))
            if scores[best] > score + 1e-12 * max(1.0, abs(score)):
                mask = without
                mask[candidates[best]] = True
                score, improved = float(scores[best]), True
    return mask
