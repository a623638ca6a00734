"""A deployment under load: queues of its devices, and prices that keep them short. Plain arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from moe2_pl.errors import ProblemError

__all__ = ["LoadPrices", "load_prices", "simulated_waiting_s"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

# Queries with two experts of equal worth fall on one side: prices are raised in such steps until every ρ is met.
_RAISE = 1.01
_UNTIE = 1e-6
_MOST_RAISES = 200


def simulated_waiting_s(
    arrival_s: ArrayLike, device: ArrayLike, busy_s: ArrayLike, devices: int
) -> FloatArray:
    """Seconds that each query waits where every device serves one at a time, first come first served.

    A device's k-th query leaves at D_k = max(A_k, D_{k−1}) + S_k (Lindley 1952). With C_k = S_1 + … + S_k this is
    D_k = C_k + max over i ≤ k of (A_i − C_{i−1}), a running maximum.

    Args:
        arrival_s: [n], ascending.
        device: [n] who serves each query.
        busy_s: [n] for how long.
        devices: D.

    Raises:
        ProblemError: arrivals that do not ascend.

    Example:
        >>> simulated_waiting_s([0, 1, 1], [0, 0, 1], [5, 2, 2], devices=2).tolist()
        [0.0, 4.0, 0.0]
    """
    arrival, service = np.asarray(arrival_s, dtype=np.float64), np.asarray(busy_s, dtype=np.float64)
    if (np.diff(arrival) < 0).any():
        where = int(np.argmax(np.diff(arrival) < 0)) + 1
        raise ProblemError(f"arrival_s[{where}] = {arrival[where]} is before arrival_s[{where - 1}]")
    waiting = np.zeros(len(arrival))
    for d in range(devices):
        mine = np.flatnonzero(np.asarray(device) == d)
        before = np.cumsum(service[mine]) - service[mine]
        start = before + np.maximum.accumulate(arrival[mine] - before)
        waiting[mine] = start - arrival[mine]
    return waiting


@dataclass(frozen=True, eq=False)
class LoadPrices:
    """What a busy second of each device costs, in the unit of the predictions.

    Args:
        per_busy_s: [D], 0 where a device has time to spare.
        utilisation: [D] ρ that routing by q − price · busy seconds gives on the queries it was fitted on.
        value: mean q there.
        value_free: mean q without prices.
    """

    per_busy_s: FloatArray
    utilisation: FloatArray
    value: float
    value_free: float

    def penalty(self, busy_s: ArrayLike, device: IntArray) -> FloatArray:
        """[n, N] what to take off the predictions of n queries, for busy seconds [n, N]."""
        taken: FloatArray = np.asarray(busy_s) * self.per_busy_s[device]
        return taken


def load_prices(
    q: ArrayLike,
    allowed: NDArray[np.bool_],
    busy_s: ArrayLike,
    device: IntArray,
    devices: int,
    queries_per_s: float,
    target: float,
) -> LoadPrices | None:
    """Prices under which routing keeps every device's utilisation at or below a target.

    The Lagrange multipliers of the assignment's linear program: maximise mean q, each query answered once by an
    allowed expert, queries_per_s · mean busy seconds of each device ≤ target. Fractional queries tie between two
    experts; prices are then raised by percents until the arg max keeps the target too.

    Args:
        q: [n, N] predictions of the queries to fit on.
        allowed: [n, N] or [N].
        busy_s: [n, N].
        device: [N] device of each expert.
        devices: D.
        queries_per_s: arrivals at the whole fleet.
        target: largest ρ, above 0.

    Returns:
        None where no assignment of the allowed experts keeps the target.

    Raises:
        ProblemError: shapes that disagree, or a target that is not positive.

    Example:
        >>> q = np.array([[0.9, 0.8], [0.9, 0.1]])  # the first device is the better one, but has time for one only
        >>> prices = load_prices(q, np.array([True, True]), np.ones((2, 2)), np.array([0, 1]), 2, 1.0, 0.5)
        >>> prices.utilisation.tolist(), round(prices.value, 3), prices.value_free
        ([0.5, 0.5], 0.85, 0.9)
    """
    worth, busy = np.asarray(q, dtype=np.float64), np.asarray(busy_s, dtype=np.float64)
    if worth.shape != busy.shape or len(device) != worth.shape[1]:
        raise ProblemError(
            f"q has shape {list(worth.shape)}, busy_s {list(busy.shape)}, device {len(device)} entries; "
            "all of the same queries and experts are needed"
        )
    if not target > 0:
        raise ProblemError(f"target utilisation = {target}: a number > 0 is needed")
    n = len(worth)
    open_ = np.broadcast_to(allowed, worth.shape)
    load = queries_per_s / n * busy

    def routed(per_rho: FloatArray) -> tuple[NDArray[np.intp], FloatArray]:
        choice = np.where(open_, worth - n * load * per_rho[device], -np.inf).argmax(1)
        rho = np.bincount(device[choice], weights=load[np.arange(n), choice], minlength=devices)
        return choice, np.asarray(rho, dtype=np.float64)

    free, rho = routed(np.zeros(devices))
    value_free = float(worth[np.arange(n), free].mean())
    if (rho <= target).all():
        return LoadPrices(np.zeros(devices), rho, value_free, value_free)
    # One variable for each allowed pair.
    row, column = np.nonzero(open_)
    pairs = np.arange(len(row))
    once = csr_matrix((np.ones(len(row)), (row, pairs)), shape=(n, len(row)))
    device_load = csr_matrix((load[row, column], (device[column], pairs)), shape=(devices, len(row)))
    found = linprog(
        -worth[row, column] / n,
        A_ub=device_load,
        b_ub=np.full(devices, target),
        A_eq=once,
        b_eq=np.ones(n),
        method="highs",
    )
    if found.status == 2:
        return None
    # At the multipliers themselves fractional queries tie exactly, and rounding would decide who answers.
    per_rho = np.maximum(-found.ineqlin.marginals, 0.0) * (1 + _UNTIE * np.arange(1, devices + 1))
    for _ in range(_MOST_RAISES):
        choice, rho = routed(per_rho)
        over = rho > target
        if not over.any():
            value = float(worth[np.arange(n), choice].mean())
            return LoadPrices(per_rho * queries_per_s, rho, value, value_free)
        per_rho = np.where(over, np.maximum(per_rho, 1e-6) * _RAISE, per_rho)
    return None
