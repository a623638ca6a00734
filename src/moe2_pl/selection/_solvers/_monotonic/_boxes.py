"""The nodes of the search for cover utilities: boxes of subsets, how they shrink and how they split.

A box fixes some devices and experts, and for ``deployed`` an interval of idle energy: masks follow
from its lower end, the room for devices from its upper end.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from moe2_pl.selection._problem._instance import Instance

__all__ = ["ROUNDING", "Box", "Branch", "children", "masks", "reduce_box", "roots"]

ROUNDING = 1.0 + 1e-12
"""Idle sums of the same devices differ in their last digits with the order; nothing is closed for that."""

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Branch = tuple[Literal["device", "expert", "idle"], float]


@dataclass(frozen=True, eq=False)
class Box:
    """All S with inside ⊆ S ⊆ inside ∪ open that use the devices on, some of maybe, and no other.

    Attributes:
        inside, open: bool [N].
        on, maybe: bool [D]; for ``active`` every device is on, it costs nothing.
        low, high: the interval that idle(S) lies in, J a query (``deployed``).
        size: largest |S|.
        lam: the parent's multipliers λ, float32 [n], to start from.
        prices: the parent's row prices.
        branch: where to split the box.
    """

    inside: BoolArray
    open: BoolArray
    on: BoolArray
    maybe: BoolArray
    low: float
    high: float
    size: int
    lam: NDArray[np.float32] | None = None
    prices: FloatArray | None = None
    branch: Branch | None = None


def roots(instance: Instance) -> list[Box]:
    """Boxes that together hold every useful subset.

    ``deployed``: one. ``active``: one for each level of the aggregation time, since a subset of at most
    m experts may hold those with latency_cj + aggregation_s[m] ≤ L_c in every category.
    """
    problem = instance.problem
    if not instance.packs(problem.required):
        return []
    usable = ~problem.excluded
    hosts = instance.devices(usable)
    open_ = usable & ~problem.required
    none = np.zeros_like(hosts)
    if instance.deployed:
        on = instance.devices(problem.required)
        high = instance.most_idle(hosts)
        return [Box(problem.required, open_, on, hosts & ~on, instance.idle(on), high, problem.max_experts)]
    boxes: list[Box] = []
    slowest = np.where(np.isinf(instance.latency_limit)[:, None], 0.0, problem.latency_s)
    for size in range(problem.max_experts, 0, -1):
        waiting = problem.aggregation_s[size]
        quick = (slowest + waiting <= instance.latency_limit[:, None]).all(axis=0)
        if (problem.required & ~quick).any() or not quick.any():
            continue
        box = Box(problem.required, open_ & quick, hosts, none, 0.0, np.inf, size)
        if not boxes or (box.open != boxes[-1].open).any():
            boxes.append(box)
    return boxes


def own_idle(instance: Instance, box: Box) -> FloatArray:
    """The least idle energy at which each expert could run in this box, [N], J a query."""
    problem = instance.problem
    extra = np.where(box.on, 0.0, problem.idle_per_query_j)[problem.device]
    return np.maximum(instance.idle(box.on) + extra, box.low)


def masks(instance: Instance, box: Box) -> BoolArray:
    """The experts that each category may use in some S of the box, [C, N]."""
    everything = box.inside | box.open
    if not instance.deployed:
        return np.broadcast_to(everything, instance.quick.shape)
    return np.asarray(instance.open_at(own_idle(instance, box)) & everything)


def reduce_box(instance: Instance, box: Box) -> Box | None:
    """The same box without what no best S of it holds; None when it holds no feasible S.

    Closes experts that do not fit beside those inside, that no category may use, or whose device
    cannot be switched on, be it that another one of its box is; lowers the upper end of idle energy to
    where every category is still served; and takes inside all of a switched-on device that fits whole,
    since the utility is monotone there.
    """
    problem = instance.problem
    size = int(box.inside.sum())
    open_ = box.open & instance.fits(box.inside)
    if size > box.size or size == box.size:
        open_ = np.zeros_like(open_)
    if size > box.size:
        return None
    if not instance.deployed:
        return replace(box, open=open_) if (box.inside | open_).any() else None
    device, idle = problem.device, instance.idle(box.on)
    low = max(box.low, idle)
    rivals = instance.rivals(box.on)
    if (rivals & box.on).any():
        return None
    maybe = box.maybe & ~rivals & (idle + problem.idle_per_query_j <= box.high * ROUNDING)
    open_ &= (box.on | maybe)[device]
    box = replace(box, open=open_, maybe=maybe, low=low)
    possible = masks(instance, box)
    open_ = open_ & possible.any(axis=0)
    if not possible.any(axis=1).all():
        return None
    left = np.where(possible, instance.energy_limit[:, None] - problem.energy_j, -np.inf)
    most = float(left.max(axis=1).min())
    high = min(box.high, most)
    useful = instance.devices(box.inside | open_)
    if low > high * ROUNDING or (box.on & ~useful).any():
        return None
    inside = box.inside
    whole = box.on & (instance.load(inside | open_) <= instance.memory_limit)
    if size + int(open_.sum()) <= box.size and whole.any():
        taken = open_ & whole[device]
        inside, open_ = inside | taken, open_ & ~taken
    return replace(box, inside=inside, open=open_, maybe=maybe & useful, high=high)


def children(instance: Instance, box: Box) -> list[Box]:
    """The two halves of a box along its branch."""
    assert box.branch is not None
    kind, where = box.branch
    if kind == "idle":
        return [replace(box, high=where), replace(box, low=float(np.nextafter(where, np.inf)))]
    index = int(where)
    if kind == "device":
        this = np.zeros_like(box.on)
        this[index] = True
        here = instance.problem.device == index
        rest = box.maybe & ~this
        return [replace(box, on=box.on | this, maybe=rest), replace(box, open=box.open & ~here, maybe=rest)]
    one = np.zeros_like(box.open)
    one[index] = True
    rest = box.open & ~one
    return [replace(box, inside=box.inside | one, open=rest), replace(box, open=rest)]
