"""The inner maximum of the Lagrangian bound: the best ρ that the node's packing constraints let through.

Two relaxations, each charging cost where the constraint charges it: `ExpertKnapsack` for costs that
add up over experts (``active``), `DeviceKnapsack` for devices that are switched on once
(``deployed``). Both return a value that no feasible choice exceeds, and what it costs to force one.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from moe2_pl.selection._problem._groups import most_of_each

__all__ = ["DeviceKnapsack", "ExpertKnapsack", "Forced", "Packing", "Relaxed"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Relaxed:
    """A relaxed choice of the J open experts.

    Attributes:
        value: K ≥ max Σ_j ρ_j x_j over feasible x.
        x: the maximiser of the relaxation, [J], in [0, 1].
        price: μ, the multiplier of the knapsack row.
        prices: the row weights or the cardinality multiplier it was made with, [R].
    """

    value: float
    x: FloatArray
    price: float
    prices: FloatArray


@dataclass(frozen=True, eq=False)
class Forced:
    """How far the bound falls when one choice is forced.

    Attributes:
        into, out: for each open expert, [J].
        on, off: for each undecided device, [D']; empty for `ExpertKnapsack`.
    """

    into: FloatArray
    out: FloatArray
    on: FloatArray
    off: FloatArray


class ExpertKnapsack:
    """max Σ ρ_j x_j s.t. G x ≤ 1, 0 ≤ x ≤ 1, bounded by one surrogate row v G x ≤ Σ v.

    The fractional knapsack of one row is solved by sorting densities (Dantzig 1957). The weights v
    follow the rows' violations, so that v and the price together approach the rows' dual prices.
    """

    def __init__(self, G: FloatArray) -> None:
        self.G = G
        self.rows = len(G)

    def start(self) -> FloatArray:
        return np.full(self.rows, 1.0 / max(self.rows, 1))

    def relax(self, rho: FloatArray, v: FloatArray) -> Relaxed:
        """The fractional knapsack over the surrogate row."""
        if not self.rows:
            return Relaxed(float(rho.sum()), np.ones_like(rho), 0.0, v)
        cost = v @ self.G
        value, x, price = fractional_knapsack(rho, cost, float(v.sum()))
        return Relaxed(value, x, price, v)

    def follow(self, relaxed: Relaxed, excess: float, step: float) -> FloatArray:
        """Weights that lean towards the rows that x violates."""
        if self.rows <= 1:
            return relaxed.prices
        violation = np.clip(self.G @ relaxed.x - 1.0, -1.0, 1.0)
        v = np.maximum(relaxed.prices * np.exp(step * violation), 1e-6)
        return np.asarray(v / v.sum())

    def forced(self, rho: FloatArray, relaxed: Relaxed) -> Forced:
        """K(ρ) = μ Σv + Σ_j (ρ_j − μ cost_j)⁺: forcing j costs the part of its term it loses."""
        cost = relaxed.prices @ self.G if self.rows else np.zeros_like(rho)
        reduced = rho - relaxed.price * cost
        none = np.zeros(0)
        return Forced(np.maximum(-reduced, 0.0), np.maximum(reduced, 0.0), none, none)


class DeviceKnapsack:
    """max Σ_d v_d(ρ) y_d s.t. Σ_d idle_d y_d ≤ room, where v_d is what device d can load at best.

    v_d is exact: the best of the device's maximal loads. Of one box at most one device runs: a fractional
    multiple-choice knapsack over idle energy (Sinha & Zoltners 1979). Further rows G x ≤ 1 (cardinality; the
    memory of a device with too many experts to enumerate) are relaxed with multipliers ν: experts are worth
    ρ_j − Σ_r ν_r G_rj, plus Σ ν.

    Args:
        loads: maximal loads, bool [F, J], sorted by device.
        owner: the device of each load, [F], in 0…D'−1.
        device: the device of each open expert, [J].
        idle: idle energy of each device, [D'], 0 for those already on.
        decided: which devices are on, bool [D'].
        box: the box of each device, [D']; one that is decided stands alone in its box.
        room: idle energy left for undecided devices.
        G: further rows, [R, J].
    """

    def __init__(
        self,
        loads: BoolArray,
        owner: NDArray[np.intp],
        device: NDArray[np.intp],
        idle: FloatArray,
        decided: BoolArray,
        box: NDArray[np.intp],
        room: float,
        G: FloatArray,
    ) -> None:
        self.loads = loads.astype(np.float64)
        self.owner = owner
        self.device = device
        self.idle = idle
        self.decided = decided
        self.box = np.unique(box, return_inverse=True)[1]
        self.room = room
        self.G = G
        self.first = np.searchsorted(owner, np.arange(len(idle)))

    def start(self) -> FloatArray:
        return np.zeros(len(self.G))

    def relax(self, rho: FloatArray, prices: FloatArray) -> Relaxed:
        """The best load of each device, then the fractional knapsack over devices."""
        rest = self._rest(rho, prices)
        worth = self.loads @ rest
        best = np.maximum.reduceat(worth, self.first)
        free = ~self.decided
        value, y, price = multiple_choice_knapsack(best[free], self.idle[free], self.box[free], self.room)
        share = np.ones(len(best))
        share[free] = y
        # Of loads that attain a device's best, the first is the one it runs.
        attains = np.flatnonzero(worth >= best[self.owner])
        _, position = np.unique(self.owner[attains], return_index=True)
        x = (share @ self.loads[attains[position]]) * (rest > 0)
        return Relaxed(value + float(best[self.decided].sum()) + float(prices.sum()), x, price, prices)

    def follow(self, relaxed: Relaxed, excess: float, step: float) -> FloatArray:
        """The multipliers moved along their subgradient, G x − 1, by Polyak's step."""
        slope = self.G @ relaxed.x - 1.0
        length = float(slope @ slope)
        if length < 1e-15:
            return relaxed.prices
        return np.maximum(relaxed.prices + step * excess / length * slope, 0.0)

    def forced(self, rho: FloatArray, relaxed: Relaxed) -> Forced:
        """What each device's term loses when an expert or the device is forced."""
        rest = self._rest(rho, relaxed.prices)
        worth = self.loads @ rest
        best = np.maximum.reduceat(worth, self.first)
        paid = np.where(self.decided, 0.0, relaxed.price * self.idle)
        worth_it = np.maximum(best - paid, 0.0)
        # Of each box, what its best device contributes, and what is left of that without each one.
        term = np.where(self.decided, best, most_of_each(self.box, worth_it)[self.box])
        others = _most_of_others(self.box, worth_it)
        within = np.where(self.loads > 0, worth[:, None], -np.inf)
        without = worth[:, None] - self.loads * rest
        d, columns = self.device, np.arange(len(rho))
        best_in = np.maximum.reduceat(within, self.first, axis=0)[d, columns]
        best_out = np.maximum.reduceat(without, self.first, axis=0)[d, columns]
        kept_out = np.where(self.decided[d], best_out, np.maximum(best_out - paid[d], others[d]))
        free = ~self.decided
        return Forced(
            into=term[d] - (best_in - paid[d]),
            out=term[d] - kept_out,
            on=(term - (best - paid))[free],
            off=(term - others)[free],
        )

    def _rest(self, rho: FloatArray, prices: FloatArray) -> FloatArray:
        return np.maximum(rho - prices @ self.G, 0.0)


Packing = ExpertKnapsack | DeviceKnapsack


def _most_of_others(label: NDArray[np.intp], value: FloatArray) -> FloatArray:
    """For each entry, the largest value ≥ 0 among the others of its label."""
    order = np.lexsort((-value, label))
    first = np.append(True, np.diff(label[order]) != 0)
    second = np.zeros(len(most_of_each(label, value)))
    np.maximum.at(second, label[order][~first], value[order][~first])
    others = most_of_each(label, value)[label]
    others[order[first]] = second[label[order[first]]]
    return others


def multiple_choice_knapsack(
    gain: FloatArray, cost: FloatArray, label: NDArray[np.intp], room: float
) -> tuple[float, FloatArray, float]:
    """`fractional_knapsack` where of the items of one label at most one may be taken, or a mix that adds up to one.

    Each label's items are cut to those on the upper hull of gain against cost; the steps along a hull, of
    falling density, are items of an ordinary knapsack, whose solution takes them in order.

    Example:
        >>> gain, cost = np.array([4.0, 6.0, 3.0]), np.array([1.0, 3.0, 3.0])
        >>> value, x, price = multiple_choice_knapsack(gain, cost, np.array([0, 0, 1]), 2.0)
        >>> value, x.tolist(), price
        (5.0, [0.5, 0.5, 0.0], 1.0)
    """
    if len(np.unique(label)) == len(label):
        return fractional_knapsack(gain, cost, room)
    steps: list[tuple[int, int]] = []  # (from, to): to is taken instead of from; from −1: instead of nothing
    for b in np.unique(label):
        hull = [-1]
        for k in sorted(np.flatnonzero(label == b).tolist(), key=lambda k: (cost[k], -gain[k])):
            if gain[k] <= _at(gain, hull[-1]):
                continue
            while len(hull) > 1 and _density(gain, cost, hull[-2], hull[-1]) <= _density(
                gain, cost, hull[-1], k
            ):
                hull.pop()
            hull.append(k)
        steps += pairwise(hull)
    more = np.array([_at(gain, b) - _at(gain, a) for a, b in steps])
    paid = np.array([_at(cost, b) - _at(cost, a) for a, b in steps])
    value, taken, price = fractional_knapsack(more, paid, room)
    x = np.zeros_like(gain)
    for (a, b), share in zip(steps, taken, strict=True):
        x[b] += share
        if a >= 0:
            x[a] -= share
    return value, x, price


def _at(values: FloatArray, k: int) -> float:
    return float(values[k]) if k >= 0 else 0.0


def _density(gain: FloatArray, cost: FloatArray, a: int, b: int) -> float:
    more, paid = _at(gain, b) - _at(gain, a), _at(cost, b) - _at(cost, a)
    return more / paid if paid > 0 else np.inf


def fractional_knapsack(gain: FloatArray, cost: FloatArray, room: float) -> tuple[float, FloatArray, float]:
    """max Σ gain_j x_j s.t. Σ cost_j x_j ≤ room, 0 ≤ x ≤ 1, for gains and costs ≥ 0.

    Returns:
        The maximum, the maximiser [J], and the price: the density of the item that is cut.

    Example:
        >>> value, x, price = fractional_knapsack(np.array([6.0, 4.0]), np.array([2.0, 2.0]), 3.0)
        >>> value, x.tolist(), price
        (8.0, [1.0, 0.5], 2.0)
    """
    x = (cost <= 0).astype(np.float64)
    value = float(gain @ x)
    paid = np.flatnonzero(cost > 0)
    if not len(paid):
        return value, x, 0.0
    density = gain[paid] / cost[paid]
    order = paid[np.argsort(-density, kind="stable")]
    spent = np.cumsum(cost[order])
    whole = int(np.searchsorted(spent, room, side="right"))
    x[order[:whole]] = 1.0
    value += float(gain[order[:whole]].sum())
    if whole == len(order):
        return value, x, 0.0
    cut = order[whole]
    left = max(room - (float(spent[whole - 1]) if whole else 0.0), 0.0)
    price = float(gain[cut] / cost[cut])
    x[cut] = left / cost[cut]
    return value + left * price, x, price
