"""What a subset is worth: the utilities that a `SelectionProblem` can plan with.

They hold checked arrays only; `prepare` joins one with the queries' categories into an evaluator
(`_evaluators.py`) that computes values and bounds.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe2_pl.errors import ProblemError
from moe2_pl.selection._problem._evaluators import (
    LEAST_WEIGHT,
    MOST_NATS,
    CoverEvaluator,
    Evaluator,
    MixtureEvaluator,
)

__all__ = ["FacilityLocation", "MixtureLikelihood", "TopK", "Utility", "finite_array"]

FloatArray = NDArray[np.float64]


class Utility(Protocol):
    """A value for every subset, as a weighted mean over queries."""

    @property
    def weight(self) -> FloatArray: ...

    @property
    def n_queries(self) -> int: ...

    @property
    def n_experts(self) -> int: ...

    @property
    def preference(self) -> FloatArray:
        """[n, N]: a query is routed to the allowed expert that has most of it."""
        ...

    def prepare(self, category: NDArray[np.intp], n_categories: int) -> Evaluator: ...

    def rows(self) -> FloatArray:
        """[n, K]: what a query's value depends on, in units in which queries may be called near."""
        ...

    def moves(self, moved: FloatArray) -> FloatArray:
        """[n]: by how much a query's value can change when its row changes by ``moved`` ≥ 0, [n, K]."""
        ...

    def merged(self, rows: FloatArray, group: NDArray[np.intp]) -> "Utility":
        """The utility with one query for each group, [G, K], that stands for the queries [n] in it."""
        ...


def finite_array(value: ArrayLike, name: str, shape: tuple[int, ...] | None = None) -> FloatArray:
    """A read-only float copy, checked for shape and finite values.

    Raises:
        ProblemError: naming the array, the index and the value.

    Example:
        >>> finite_array([1, 2], "energy_j", (2,))
        array([1., 2.])
    """
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ProblemError(f"{name} is not an array of numbers: {error}") from None
    if shape is not None and array.shape != shape:
        raise ProblemError(f"{name} has shape {list(array.shape)}; {list(shape)} is needed")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = tuple(int(k) for k in bad[0])
        raise ProblemError(f"{name}{list(where)} = {array[where]}: a finite number is needed")
    array.setflags(write=False)
    return array


def _matrix(value: ArrayLike, name: str) -> FloatArray:
    array = finite_array(value, name)
    if array.ndim != 2 or 0 in array.shape:
        raise ProblemError(
            f"{name} has shape {list(array.shape)}; [n, N] with n ≥ 1 queries and N ≥ 1 experts is needed"
        )
    return array


def _weights(weight: ArrayLike | None, n: int) -> FloatArray:
    array = finite_array(np.ones(n) if weight is None else weight, "weight", (n,))
    if (array < 0).any():
        where = int(np.argmax(array < 0))
        raise ProblemError(f"weight[{where}] = {array[where]}: a number ≥ 0 is needed")
    if array.sum() <= 0:
        raise ProblemError("weight sums to 0: at least one query must count")
    return array


@dataclass(frozen=True, eq=False, init=False)
class _Cover:
    """What the two utilities that cover queries share: q [n, N], weight [n], and k answers a query."""

    q: FloatArray
    weight: FloatArray
    k: int

    def _set(self, q: ArrayLike, k: int, weight: ArrayLike | None) -> None:
        matrix = _matrix(q, "q")
        object.__setattr__(self, "q", matrix)
        object.__setattr__(self, "weight", _weights(weight, matrix.shape[0]))
        object.__setattr__(self, "k", int(k))

    @property
    def n_queries(self) -> int:
        return len(self.q)

    @property
    def n_experts(self) -> int:
        return int(self.q.shape[1])

    @property
    def preference(self) -> FloatArray:
        return self.q

    def prepare(self, category: NDArray[np.intp], n_categories: int) -> CoverEvaluator:
        """The evaluator for queries of these categories, [n]."""
        return CoverEvaluator(self.q, self.k, self.weight, category, n_categories)

    def rows(self) -> FloatArray:
        return self.q

    def moves(self, moved: FloatArray) -> FloatArray:
        return np.asarray(moved.max(axis=1))


@dataclass(frozen=True, eq=False, init=False)
class FacilityLocation(_Cover):
    """The mean over queries of the best allowed competence.

    U(S) = Σ_i w_i max_{j ∈ M_c(i)(S)} q_ij / Σ_i w_i

    Args:
        q: competence of expert j on query i, [n, N].
        weight: how much each query counts, [n]; equal when omitted.

    Raises:
        ProblemError: shapes that disagree, values that are not finite, negative weights.
    """

    def __init__(self, q: ArrayLike, weight: ArrayLike | None = None) -> None:
        self._set(q, 1, weight)

    def merged(self, rows: FloatArray, group: NDArray[np.intp]) -> "FacilityLocation":
        return FacilityLocation(rows, np.bincount(group, self.weight, len(rows)))


@dataclass(frozen=True, eq=False, init=False)
class TopK(_Cover):
    """The surrogate for answers aggregated from k experts: monotone and submodular, no more than that.

    U_k(S) = (1/k) Σ_i w_i Σ of the k largest q_ij over j ∈ M_c(i)(S) / Σ_i w_i; the divisor stays k
    where fewer than k experts are allowed, so q must not be negative.

    Args:
        q: competence, [n, N], ≥ 0.
        k: how many experts answer each query.
        weight: how much each query counts, [n]; equal when omitted.

    Raises:
        ProblemError: as `FacilityLocation`, and for negative q or k < 1.
    """

    def __init__(self, q: ArrayLike, k: int, weight: ArrayLike | None = None) -> None:
        if k < 1:
            raise ProblemError(f"k = {k}: a whole number ≥ 1 is needed")
        self._set(q, k, weight)
        if (self.q < 0).any():
            i, j = (int(v) for v in np.argwhere(self.q < 0)[0])
            raise ProblemError(f"q[{i}, {j}] = {self.q[i, j]}: the top-k surrogate needs q ≥ 0")

    def merged(self, rows: FloatArray, group: NDArray[np.intp]) -> "TopK":
        return TopK(rows, self.k, np.bincount(group, self.weight, len(rows)))


@dataclass(frozen=True, eq=False, init=False)
class MixtureLikelihood:
    """The mean log-likelihood, in nats, of the gate's mixture renormalised over the allowed experts.

    U(S) = Σ_i v_i log( Σ_{j ∈ M} w_ij p_ij / Σ_{j ∈ M} w_ij ) / Σ_i v_i, with M = M_c(i)(S)

    It is only nearly monotone: a further expert can take weight from better ones. So that every
    subset has a value, a weight below 1e-30 counts as 1e-30, and a log_p more than 600 nats below
    the query's best counts as 600 below.

    Args:
        w: the gate's weights over the full pool, [n, N], ≥ 0.
        log_p: log-likelihood of the outcome under each expert, [n, N], nats.
        weight: how much each query counts (v), [n]; equal when omitted.

    Raises:
        ProblemError: shapes that disagree, values that are not finite, negative weights.
    """

    w: FloatArray
    log_p: FloatArray
    weight: FloatArray

    def __init__(self, w: ArrayLike, log_p: ArrayLike, weight: ArrayLike | None = None) -> None:
        w, log_p = _matrix(w, "w"), _matrix(log_p, "log_p")
        if w.shape != log_p.shape:
            raise ProblemError(f"log_p has shape {list(log_p.shape)}; that of w, {list(w.shape)}, is needed")
        if (w < 0).any():
            i, j = (int(v) for v in np.argwhere(w < 0)[0])
            raise ProblemError(f"w[{i}, {j}] = {w[i, j]}: a weight ≥ 0 is needed")
        object.__setattr__(self, "w", w)
        object.__setattr__(self, "log_p", log_p)
        object.__setattr__(self, "weight", _weights(weight, w.shape[0]))

    @property
    def n_queries(self) -> int:
        return len(self.w)

    @property
    def n_experts(self) -> int:
        return int(self.w.shape[1])

    @property
    def preference(self) -> FloatArray:
        return self.w

    def prepare(self, category: NDArray[np.intp], n_categories: int) -> MixtureEvaluator:
        """The evaluator for queries of these categories, [n]."""
        return MixtureEvaluator(self.w, self.log_p, self.weight, category, n_categories)

    def rows(self) -> FloatArray:
        """log w beside log p less the query's best, floored as in the formula, [n, 2N]."""
        relative = self.log_p - self.log_p.max(axis=1, keepdims=True)
        return np.hstack([np.log(np.maximum(self.w, LEAST_WEIGHT)), np.maximum(relative, -MOST_NATS)])

    def moves(self, moved: FloatArray) -> FloatArray:
        mixing, likelihood = np.hsplit(moved, 2)
        return np.asarray(2.0 * mixing.max(axis=1) + likelihood.max(axis=1))

    def merged(self, rows: FloatArray, group: NDArray[np.intp]) -> "MixtureLikelihood":
        weight = np.bincount(group, self.weight, len(rows))
        best = np.bincount(group, self.weight * self.log_p.max(axis=1), len(rows))
        mean = np.divide(best, weight, out=np.zeros_like(best), where=weight > 0)
        mixing, likelihood = np.hsplit(rows, 2)
        return MixtureLikelihood(np.exp(mixing), likelihood + mean[:, None], weight)
