"""Which subsets a certificate looks at: the frontier's own, and random ones."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moe2_pl.pool import ExpertPool
from moe2_pl.selection import Solution

__all__ = ["Subset", "frontier_subsets", "random_subsets"]


@dataclass(frozen=True, eq=False)
class Subset:
    """A deployment that gates are compared on.

    Args:
        kind: ``frontier`` or ``random``.
        label: the budget that it answers, or its number.
        experts: names of S.
        allowed: [C, N] bool, the experts that may answer each category.
    """

    kind: str
    label: str
    experts: tuple[str, ...]
    allowed: NDArray[np.bool_]

    @property
    def routes(self) -> bool:
        """Whether some category has a choice; where none has, every gate answers alike."""
        return bool((self.allowed.sum(axis=1) > 1).any())


def frontier_subsets(named: Iterable[tuple[str, Solution]]) -> list[Subset]:
    """The distinct deployments of a frontier that leave something to route, in the order given.

    Args:
        named: (name of the budget, its solution), the most important first.
    """
    found: dict[bytes, Subset] = {}
    for name, solution in named:
        if solution.experts:
            subset = Subset("frontier", name, solution.experts, solution.allowed)
            if subset.routes:
                found.setdefault(solution.allowed.tobytes(), subset)
    return list(found.values())


def random_subsets(pool: ExpertPool, categories: int, count: int, seed: int) -> list[Subset]:
    """Distinct subsets of two or more models, but not all, each model on all of its devices.

    Sizes are drawn uniformly, then a subset of that size; a small pool may have fewer than ``count``.

    Args:
        pool: N experts of M models.
        categories: C; every expert of the subset may answer each.
        count: how many.
        seed: of the draws.
    """
    models = pool.model_ids
    rng = np.random.default_rng(seed)
    proper = 2 ** len(models) - len(models) - 2
    chosen: dict[frozenset[str], None] = {}
    while len(chosen) < min(count, proper):
        size = int(rng.integers(2, len(models)))
        chosen.setdefault(frozenset(models[j] for j in rng.choice(len(models), size, replace=False)))
    subsets = []
    for number, names in enumerate(chosen, 1):
        mask = np.array([e.model_id in names for e in pool.experts])
        experts = tuple(name for name, there in zip(pool.names, mask, strict=True) if there)
        subsets.append(Subset("random", str(number), experts, np.tile(mask, (categories, 1))))
    return subsets
