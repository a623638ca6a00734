"""The null hypothesis of every solver: the best of many subsets drawn at random."""

import numpy as np

from moe2_pl.selection._solvers._search import Search

__all__ = ["random"]

_DRAWS = 2000


def random(search: Search) -> None:
    """Offer random subsets that pack; ``node_limit`` is their number, 2,000 where it is not given.

    Each draws how many devices may be used and how many experts there may be, shuffles both, and adds
    what still fits. A draw that leaves a category without anybody counts as one and is worth nothing.
    """
    instance, problem = search.instance, search.instance.problem
    rng = np.random.default_rng(search.options.seed)
    if not instance.packs(problem.required):
        return
    usable = ~problem.excluded
    hosts = np.unique(problem.device[usable])
    must = instance.devices(problem.required)
    for _ in range(search.options.node_limit or _DRAWS):
        on = must.copy()
        on[rng.permutation(hosts)[: rng.integers(1, len(hosts) + 1)]] = True
        mask = problem.required.copy()
        most = rng.integers(1, problem.n_experts + 1)
        for j in rng.permutation(np.flatnonzero(usable & on[problem.device])):
            if mask.sum() >= most:
                break
            if instance.fits(mask)[j]:
                mask[j] = True
        search.offer(mask)
        if search.tick():
            return
