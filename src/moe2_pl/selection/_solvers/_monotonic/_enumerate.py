"""Closing a node by listing what is left: every choice that its Lagrangian bound does not rule out.

Once the gap at a node is small, few choices are worth more than the incumbent by the modular bound
base + Σ_j ρ_j x_j ≥ U. They are listed by a breadth-first knapsack enumeration (Baldacci, Christofides
and Mingozzi 2008 close vehicle routing problems in this way) and evaluated together.
"""

import numpy as np
from numpy.typing import NDArray

from moe2_pl.selection._problem._evaluators import CoverEvaluator

__all__ = ["choices_worth", "values_of"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_MOST_ITEMS = 63
_ROUNDING = 1e-9
_CHUNK = 256


def choices_worth(rho: FloatArray, G: FloatArray, v: FloatArray, need: float, most: int) -> BoolArray | None:
    """All x ∈ {0, 1}^J with G x ≤ 1 and ρ x > need, [K, J], most ρ x first; None when there are too many.

    Items are decided in order of ρ_j / (v G)_j. A partial choice is dropped when even the fractional
    knapsack over the items left, in the surrogate row v G x ≤ Σ v, brings it to no more than ``need``.

    Args:
        rho: [J], ≥ 0.
        G: rows scaled to a right-hand side of 1, [R, J], R ≥ 1.
        v: weights of the rows, [R], ≥ 0.
        need: what a choice must exceed.
        most: how many partial choices may be alive at once.

    Example:
        >>> choices_worth(np.array([3.0, 2.0, 1.0]), np.full((1, 3), 0.5), np.ones(1), 3.5, 10).astype(int)
        array([[1, 1, 0],
               [1, 0, 1]])
    """
    J = len(rho)
    if J > _MOST_ITEMS:
        return None
    cost = v @ G
    density = np.divide(rho, cost, out=np.full(J, np.inf), where=cost > 0)
    order = np.argsort(-density, kind="stable")
    rho, G, cost = rho[order], G[:, order], cost[order]
    slope = np.append(np.where(cost > 0, density[order], 0.0), 0.0)
    paid, gained = np.append(0.0, np.cumsum(cost)), np.append(0.0, np.cumsum(rho))
    room = float(v.sum()) * (1 + _ROUNDING)
    bits, gain, used = np.zeros(1, dtype=np.uint64), np.zeros(1), np.zeros((len(G), 1))
    for k in range(J):
        grown = used + G[:, k : k + 1]
        fits = (grown <= 1 + _ROUNDING).all(axis=0)
        bits = np.concatenate([bits[fits] | np.uint64(1 << k), bits])
        gain = np.concatenate([gain[fits] + rho[k], gain])
        used = np.concatenate([grown[:, fits], used], axis=1)
        reach = paid[k + 1] + np.maximum(room - v @ used, 0.0)
        cut = np.searchsorted(paid, reach, side="right") - 1
        most_gain = gain + gained[cut] - gained[k + 1] + (reach - paid[cut]) * slope[cut]
        alive = most_gain > need
        bits, gain, used = bits[alive], gain[alive], used[:, alive]
        if len(bits) > most:
            return None
    bits = bits[np.argsort(-gain, kind="stable")]
    chosen = np.zeros((len(bits), J), dtype=bool)
    chosen[:, order] = bits[:, None] >> np.arange(J, dtype=np.uint64) & np.uint64(1)
    return chosen


def values_of(evaluator: CoverEvaluator, q: FloatArray, held: FloatArray, chosen: BoolArray) -> FloatArray:
    """Facility-location values of choices [K, J] among columns q [J, n], beside what is held, [n].

    The columns are cut into two halves; a half's maximum is computed once for each pattern in it.
    """
    half = chosen.shape[1] // 2
    left, right = (_maxima(q[part], held, chosen[:, part]) for part in (np.s_[:half], np.s_[half:]))
    values = np.empty(len(chosen))
    for start in range(0, len(chosen), _CHUNK):
        rows = slice(start, start + _CHUNK)
        values[rows] = np.maximum(left[0][left[1][rows]], right[0][right[1][rows]]) @ evaluator.w
    return values


def _maxima(q: FloatArray, held: FloatArray, chosen: BoolArray) -> tuple[FloatArray, NDArray[np.intp]]:
    patterns, which = np.unique(chosen, axis=0, return_inverse=True)
    best = np.broadcast_to(held, (len(patterns), len(held))).copy()
    for j, column in enumerate(q):
        rows = np.flatnonzero(patterns[:, j])
        best[rows] = np.maximum(best[rows], column)
    return best, which.reshape(-1)
