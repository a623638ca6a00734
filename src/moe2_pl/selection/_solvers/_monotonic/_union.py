"""The exact solver: branch, reduce and bound over devices first, then over what each loads.

This file holds the search for any utility with a bound; it is best-first, so the largest bound in
its queue is at every moment a proven bound on the optimum.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moe2_pl.selection._problem._instance import Instance
from moe2_pl.selection._solvers._monotonic._node_queue import NodeQueue
from moe2_pl.selection._solvers._search import Search

__all__ = ["union_search"]

BoolArray = NDArray[np.bool_]

_BYTES_OF_A_NODE = 900


@dataclass(frozen=True, eq=False)
class _Node:
    """A box of subsets: S ⊇ inside, S ⊆ inside ∪ open; devices on count as switched on.

    Attributes:
        inside, open: bool [N].
        on, maybe: devices decided on, and devices not decided, bool [D].
    """

    inside: BoolArray
    open: BoolArray
    on: BoolArray
    maybe: BoolArray


def union_search(search: Search, most_nodes: float = np.inf) -> bool:
    """Best-first branch-reduce-and-bound; whether the search is over.

    It gives up, with a valid incumbent and bound, after ``most_nodes``.
    """
    instance = search.instance
    problem = instance.problem
    if not instance.packs(problem.required):
        return True
    hosts = instance.devices(~problem.excluded)
    on = instance.devices(problem.required) if instance.deployed else hosts
    root = _reduce(instance, _Node(problem.required, ~problem.excluded & ~problem.required, on, hosts & ~on))
    node_bytes = _BYTES_OF_A_NODE + 2 * (problem.n_experts + problem.n_devices)
    queue = NodeQueue[_Node](search.options.memory_limit_mb, node_bytes)
    _push(search, queue, root, search.bound)
    while queue:
        search.lower_bound_to(queue.largest_bound)
        if search.hopeless(search.bound) or search.tick():
            return True
        if search.nodes > most_nodes:
            return False
        bound, node = queue.pop()
        if not search.hopeless(bound):
            for child in _children(instance, node):
                _push(search, queue, _reduce(instance, child), bound)
    search.lower_bound_to(search.value)
    return True


def _push(search: Search, queue: NodeQueue[_Node], node: _Node | None, parent_bound: float) -> None:
    if node is None:
        return
    bound = min(_bound(search, node), parent_bound)
    if bound == -np.inf or search.hopeless(bound):
        return
    settled = not node.maybe.any()
    everything = node.inside | node.open
    if settled:
        whole = search.offer(everything)
        if search.instance.evaluator.monotone and whole > -np.inf:
            return
        if node.open.any():
            search.offer(node.inside)
    if not settled or node.open.any():
        queue.push(bound, node)


def _own_idle(instance: Instance, node: _Node) -> NDArray[np.float64]:
    """The least idle energy at which each expert could run in this box, [N]."""
    device = instance.problem.device
    own = np.where(node.on[device], 0.0, instance.problem.idle_per_query_j[device])
    return np.asarray(instance.idle(node.on) + own)


def _bound(search: Search, node: _Node) -> float:
    """The search's bound, with masks at the least idle energy each expert could see."""
    instance = search.instance
    everything = node.inside | node.open
    if not instance.deployed:
        wide = np.broadcast_to(everything, instance.quick.shape)
        return search.upper(np.broadcast_to(node.inside, instance.quick.shape), wide)
    possible = instance.open_at(_own_idle(instance, node)) & everything
    most = instance.most_idle(node.on | node.maybe)
    return search.upper(instance.open_at(most) & node.inside, possible)


def _reduce(instance: Instance, node: _Node) -> _Node | None:
    """Close what cannot be in any useful S of the box; None when the box holds no feasible S."""
    open_, maybe = node.open & instance.fits(node.inside), node.maybe
    if instance.deployed:
        rivals = instance.rivals(node.on)
        open_ &= ~rivals[instance.problem.device]
        maybe = maybe & ~rivals
        possible = instance.open_at(_own_idle(instance, node))
        if not (possible & (node.inside | open_)).any(axis=1).all():
            return None
        if instance.evaluator.monotone:  # else a useless expert may be worth its idle: it shuts others out
            open_ &= possible.any(axis=0)
    elif not (node.inside | open_).any():
        return None
    return _Node(node.inside, open_, node.on, maybe & instance.devices(open_))


def _children(instance: Instance, node: _Node) -> list[_Node]:
    problem = instance.problem
    if node.maybe.any():
        d = int(np.argmax(np.where(node.maybe, problem.idle_per_query_j, -1.0)))
        this = np.zeros(problem.n_devices, dtype=bool)
        this[d] = True
        here = problem.device == d
        return [
            _Node(node.inside, node.open, node.on | this, node.maybe & ~this),
            _Node(node.inside, node.open & ~here, node.on, node.maybe & ~this),
        ]
    j = int(np.argmax(np.where(node.open, problem.utility.preference.mean(axis=0), -np.inf)))
    one = np.zeros(problem.n_experts, dtype=bool)
    one[j] = True
    return [
        _Node(node.inside | one, node.open & ~one, node.on, node.maybe),
        _Node(node.inside, node.open & ~one, node.on, node.maybe),
    ]
