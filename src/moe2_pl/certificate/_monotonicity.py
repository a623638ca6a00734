"""Does a larger subset ever answer worse? Counted over pairs S ⊂ S ∪ {j}."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Monotonicity", "monotonicity"]

_MOST_SUBSETS = 512


@dataclass(frozen=True)
class Monotonicity:
    """How often and how far the held-out score falls when one more model may answer.

    Args:
        pairs: (subset, added model) pairs that were compared.
        falls: share of the pairs whose mean score falls.
        largest_fall: the largest fall, in score; 0 where there is none.
    """

    pairs: int
    falls: float
    largest_fall: float


def monotonicity(rank: NDArray[np.floating], score: NDArray[np.floating], seed: int = 0) -> Monotonicity:
    """Compare every subset, or 512 random ones, with each subset that has one model more.

    Args:
        rank: [n, M] what routing ranks by; the largest entry of the subset answers.
        score: [n, M] what each model would have got.
        seed: of the draw where there are more than 512 subsets.

    Example:
        >>> rank = np.array([[0.9, 0.5], [0.4, 0.5]])
        >>> monotonicity(rank, np.array([[1.0, 0.0], [0.0, 1.0]])).falls
        0.0
    """
    models = rank.shape[1]
    every = (1 << models) - 2  # neither the empty subset nor the full one
    if every <= _MOST_SUBSETS:
        masks = list(range(1, 1 + every))
    else:
        rng = np.random.default_rng(seed)
        drawn = rng.random((_MOST_SUBSETS, models)) < rng.uniform(0.1, 0.9, (_MOST_SUBSETS, 1))
        masks = [int(sum(1 << int(j) for j in np.flatnonzero(row))) for row in drawn]
        masks = sorted({mask for mask in masks if 0 < mask < (1 << models) - 1})
    rows = np.arange(len(rank))
    known: dict[int, float] = {}

    def value(mask: int) -> float:
        if mask not in known:
            members = np.flatnonzero([mask >> j & 1 for j in range(models)])
            known[mask] = float(score[rows, members[rank[:, members].argmax(axis=1)]].mean())
        return known[mask]

    change = np.array(
        [value(mask | 1 << j) - value(mask) for mask in masks for j in range(models) if not mask >> j & 1]
    )
    falls = -change[change < -1e-12]
    return Monotonicity(
        pairs=len(change),
        falls=len(falls) / max(len(change), 1),
        largest_fall=float(falls.max(initial=0.0)),
    )
