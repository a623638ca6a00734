"""Discrete polyblock outer approximation, the textbook method of monotonic optimisation."""

import heapq
from itertools import count

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import ConfigError
from moe2_pl.selection._problem._instance import Instance
from moe2_pl.selection._solvers._search import Search

__all__ = ["polyblock"]

BoolArray = NDArray[np.bool_]


def polyblock(search: Search) -> None:
    """Cover the feasible subsets by boxes [∅, v] and cut the best vertex v until it is feasible.

    Feasible subsets are a normal set for ``active``: dropping an expert breaks no limit. A polyblock is a
    union of boxes below its vertices; one that holds every feasible subset bounds the optimum by its best
    vertex, since the utility is monotone. If that vertex is feasible it is optimal. Otherwise the vertex is
    projected: experts are dropped, the least loss of value per joule first, until it packs; the last
    violation reached, reduced to a minimal infeasible subset y ⊆ v, is cut off. No feasible S ⊆ v
    contains y, so the vertices v − {j}, j ∈ y, cover what v covered. Vertices seen before, dominated by
    the incumbent's value, or below another vertex of the cut are dropped (improper ones; those below older
    vertices are found when they come to the top).

    Tuy (2000); Rubinov, Tuy & Mays (2001); Tuy, Minoux & Hoai-Phuong (2006), for the discrete case.
    Vertices grow quickly with N: it ends at some 20 experts, which is why `monotonic` branches instead.

    Raises:
        ConfigError: a ``deployed`` problem, or a utility that is not monotone.
    """
    instance, problem = search.instance, search.instance.problem
    if instance.deployed or not instance.evaluator.monotone:
        found = "energy_model 'deployed'" if instance.deployed else "a utility that is not monotone"
        raise ConfigError(f"solver 'polyblock' got {found}; it needs 'active' and a monotone utility")
    if not instance.packs(problem.required):
        return
    alone = np.array(
        [instance.evaluator.value(instance.allowed(one)) for one in np.eye(problem.n_experts, dtype=bool)]
    )
    density = (alone - alone.min()) / (problem.energy_j.mean(axis=0) + 1e-12)
    serial = count()
    queue: list[tuple[float, int, BoolArray]] = []
    seen: set[bytes] = set()

    def push(vertex: BoolArray, parent: float) -> None:
        key = np.packbits(vertex).tobytes()
        if key in seen or not vertex.any():
            return
        seen.add(key)
        bound = min(parent, instance.evaluator.value(instance.allowed(vertex)))
        if not search.hopeless(bound):
            heapq.heappush(queue, (-bound, next(serial), vertex))

    push(~problem.excluded, search.bound)
    while queue:
        bound = -queue[0][0]
        search.lower_bound_to(bound)
        if search.hopeless(bound):
            return
        if search.tick():
            return
        vertex = heapq.heappop(queue)[2]
        if instance.packs(vertex):
            search.offer(vertex)
            continue
        inside, cover = _project(instance, vertex, density)
        search.offer(inside)
        for j in np.flatnonzero(cover & ~problem.required):
            child = vertex.copy()
            child[j] = False
            push(child, bound)
    search.lower_bound_to(search.value)


def _project(
    instance: Instance, vertex: BoolArray, density: NDArray[np.float64]
) -> tuple[BoolArray, BoolArray]:
    """A packing subset below an infeasible vertex, and a minimal infeasible one."""
    problem = instance.problem
    inside = vertex.copy()
    for j in sorted(np.flatnonzero(vertex & ~problem.required), key=lambda j: (density[j], j)):
        if instance.packs(inside):
            break
        inside[j] = False
    for j in np.flatnonzero(vertex & ~inside):
        if instance.fits(inside)[j]:
            inside[j] = True
    # The few most expensive experts that already break a limit make the fewest vertices.
    cover = problem.required.copy()
    for j in sorted(np.flatnonzero(vertex & ~cover), key=lambda j: (-problem.energy_j[:, j].max(), j)):
        cover[j] = True
        if not instance.packs(cover):
            break
    for j in sorted(np.flatnonzero(cover & ~problem.required), key=lambda j: problem.energy_j[:, j].max()):
        cover[j] = False
        if instance.packs(cover):
            cover[j] = True
    return inside, cover
