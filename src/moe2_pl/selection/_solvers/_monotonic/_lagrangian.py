"""The Lagrangian bound of masked facility location, and its subgradient ascent.

It bounds one node of the search. Which experts are open, and what packing allows, it is told.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moe2_pl.selection._solvers._monotonic._packing import Packing, Relaxed

__all__ = ["LagrangianBound", "lagrangian_bound"]

FloatArray = NDArray[np.float64]

_PATIENCE = 4
_SHRINK = 0.6
_LEAST_STEP = 1e-3
_MEMORY = 0.8


@dataclass(frozen=True, eq=False)
class LagrangianBound:
    """The best bound found, and the multipliers it was found at.

    Attributes:
        bound: L(λ) ≥ the value of every subset of the node.
        lam: λ, [n].
        rho: ρ(λ), [J].
        relaxed: the packing's answer at ρ.
        usage: running mean of x over the iterations, [J], which approaches the relaxation's optimum.
    """

    bound: float
    lam: FloatArray
    rho: FloatArray
    relaxed: Relaxed
    usage: FloatArray


def lagrangian_bound(
    q: FloatArray,
    held: FloatArray,
    w: FloatArray,
    packing: Packing,
    lam: FloatArray,
    prices: FloatArray,
    target: float,
    iterations: int,
    expired: Callable[[], bool],
) -> LagrangianBound:
    """Subgradient ascent on the multipliers of Σ_j z_ij ≤ k.

    max Σ_i w_i (1/k) Σ_j q_ij z_ij over z_ij ≤ x_j, Σ_j z_ij ≤ k and packing x is at most

        L(λ) = Σ_i w_i λ_i + (1/k) Σ_i w_i Σ_{r ≤ k} (held_ri − λ_i)⁺ + K(ρ(λ))
        ρ_j(λ) = (1/k) Σ_i w_i (q_ij − λ_i)⁺

    for every λ ≥ held_k, where held are the k best of the experts already inside and K is the
    packing's relaxation (Cornuéjols, Fisher and Nemhauser 1977; Fisher 1981). Steps are Polyak's,
    towards ``target``, in the metric of the query weights.

    Args:
        q: open experts' columns, [J, n], not below the floor of each query.
        held: [k, n], sorted descending.
        w: query weights, [n], Σ w = 1.
        packing: what the open experts may add up to.
        lam: where to start, [n].
        prices: the packing's row prices to start from.
        target: the incumbent's value; the ascent stops once the bound is no better.
        iterations: at most.
        expired: asked between iterations whether to stop; the bound is valid after any of them.
    """
    k = len(held)
    least = held[-1]
    lam = np.maximum(lam, least)
    usage = np.zeros(len(q))
    best: LagrangianBound | None = None
    step, stalled = 1.0, 0
    for _ in range(iterations):
        over = q - lam
        positive = over > 0
        np.maximum(over, 0.0, out=over)
        rho = over @ w / k
        relaxed = packing.relax(rho, prices)
        value = float(w @ lam) + relaxed.value
        if k > 1:
            value += float((np.maximum(held - lam, 0.0) @ w).sum()) / k
        usage = _MEMORY * usage + (1 - _MEMORY) * relaxed.x
        improved = best is None or value < best.bound - 1e-5 * (best.bound - target)
        if best is None or value < best.bound:
            best = LagrangianBound(value, lam, rho, relaxed, usage)
        stalled = 0 if improved else stalled + 1
        if best.bound <= target or expired():
            break
        if stalled >= _PATIENCE:
            # The next, shorter step leaves from the best point along the slope seen here.
            step, stalled, lam = step * _SHRINK, 0, best.lam
            if step < _LEAST_STEP:
                break
        used = relaxed.x > 0
        slope = k - relaxed.x[used] @ positive[used]
        if k > 1:
            slope -= (held > lam).sum(axis=0)
        slope[(lam <= least) & (slope > 0)] = 0.0
        length = float(w @ (slope * slope)) / k
        prices = packing.follow(relaxed, value - target, step)
        if length > 1e-15:
            lam = np.maximum(lam - step * (value - target) / length * slope, least)
    assert best is not None
    return LagrangianBound(best.bound, best.lam, best.rho, best.relaxed, usage)
