"""Values and upper bounds of masked subsets, on arrays laid out for speed.

Queries are sorted by category and matrices stored [N, n], so that a category's allowed experts are
a contiguous slice. An evaluator knows nothing of budgets: it is told which experts are allowed.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from moe2_pl.selection._problem._groups import groups_of_equal

__all__ = ["LEAST_WEIGHT", "MOST_NATS", "CoverEvaluator", "Evaluator", "MixtureEvaluator"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

LEAST_WEIGHT = 1e-30
MOST_NATS = 600.0
_MOST_PARTS = 100_000
_CHAINS = 64


class Evaluator(Protocol):
    """Values of subsets given the masks [C, N] of the experts allowed in each category."""

    share: FloatArray
    monotone: bool

    def value(self, allowed: BoolArray) -> float:
        """The weighted mean over queries; −inf when some category has nobody."""
        ...

    def bound(self, chosen: BoolArray, possible: BoolArray) -> float:
        """No less than the value of any masks M with chosen ⊆ M ⊆ possible, all [C, N]."""
        ...

    def columns(self, allowed: BoolArray) -> FloatArray:
        """Per expert what `add` merges into a state, [N, …, n]."""
        ...

    def start(self) -> FloatArray:
        """The state of the empty subset."""
        ...

    def add(self, state: FloatArray, column: FloatArray) -> FloatArray:
        """The state with one expert more."""
        ...

    def total(self, state: FloatArray) -> float:
        """The value of a state; −inf when some query has nobody."""
        ...

    def totals(self, state: FloatArray, columns: FloatArray) -> FloatArray:
        """The value of a state with each of the columns added, [J].

        A query without anybody counts as less than with anybody, but finite.
        """
        ...

    def violation(self, seed: int) -> float:
        """The most that a larger subset was seen to lose; 0 for a monotone utility."""
        ...

    spread: float
    """No two values of served queries are further apart."""


class _Layout:
    """Queries that count, sorted by category, with weights that sum to 1; equal ones are one."""

    def __init__(
        self,
        weight: FloatArray,
        category: NDArray[np.intp],
        n_categories: int,
        *matrices: FloatArray,
    ) -> None:
        group = groups_of_equal(category[:, None], *matrices)
        first = np.unique(group, return_index=True)[1]
        merged = np.bincount(group, weight)
        first = first[merged[group[first]] > 0]
        self.order = first[np.argsort(category[first], kind="stable")]
        counts = np.bincount(category[self.order], minlength=n_categories)
        ends = np.cumsum(counts)
        self.slices = [slice(int(e - c), int(e)) for c, e in zip(counts, ends, strict=True)]
        self.w = merged[group[self.order]] / weight.sum()
        self.share = np.array([self.w[rows].sum() for rows in self.slices])
        self.n = len(self.order)

    def rows(self, matrix: FloatArray) -> FloatArray:
        return np.ascontiguousarray(matrix[self.order].T)

    def by_query(self, allowed: BoolArray) -> BoolArray:
        """Masks [C, N] spread over the sorted queries, [N, n]."""
        return np.repeat(allowed.T, [rows.stop - rows.start for rows in self.slices], axis=1)


class CoverEvaluator(_Layout):
    """Facility location (k = 1) and its top-k sibling: Σ_i w_i (1/k) Σ of the k largest allowed q_ij."""

    monotone = True

    def __init__(
        self, q: FloatArray, k: int, weight: FloatArray, category: NDArray[np.intp], n_categories: int
    ) -> None:
        super().__init__(weight, category, n_categories, q)
        self.q = self.rows(q)
        self.k = k
        self._parts: dict[tuple[int, bytes], float] = {}
        self._least = self.q.min(axis=0) if k == 1 else np.zeros(self.n)
        self.spread = float(self.q.max() - self._least.min()) + 1e-9

    def value(self, allowed: BoolArray) -> float:
        if not allowed.any(axis=1).all():
            return -np.inf
        return sum(self.part(c, experts) for c, experts in enumerate(allowed))

    def part(self, c: int, experts: BoolArray) -> float:
        """What one category adds to the value; kept, since budgets of a sweep share most masks."""
        key = (c, experts.tobytes())
        if key not in self._parts:
            if len(self._parts) >= _MOST_PARTS:
                self._parts.clear()
            rows = self.slices[c]
            self._parts[key] = float(self.w[rows] @ self._best(self.q[experts, rows]))
        return self._parts[key]

    def _best(self, block: FloatArray) -> FloatArray:
        if self.k == 1:
            return np.asarray(block.max(axis=0))
        if len(block) > self.k:
            block = np.partition(block, len(block) - self.k, axis=0)[-self.k :]
        return np.asarray(block.sum(axis=0) / self.k)

    def bound(self, chosen: BoolArray, possible: BoolArray) -> float:
        """The union bound: the utility is monotone, so everything possible is worth most."""
        return self.value(possible)

    def violation(self, seed: int) -> float:
        return 0.0

    def columns(self, allowed: BoolArray) -> FloatArray:
        return np.where(self.by_query(allowed), self.q, -np.inf)

    def start(self) -> FloatArray:
        return np.full((self.k, self.n), -np.inf)

    def add(self, state: FloatArray, column: FloatArray) -> FloatArray:
        if self.k == 1:
            return np.maximum(state, column)
        state = state.copy()
        for row in state:
            column, row[:] = np.minimum(row, column), np.maximum(row, column)
        return state

    def total(self, state: FloatArray) -> float:
        if self.k == 1:
            return float(self.w @ state[0])
        filled = np.where(np.isneginf(state[1:]), 0.0, state[1:]).sum(axis=0)
        return float(self.w @ (state[0] + filled)) / self.k

    def totals(self, state: FloatArray, columns: FloatArray) -> FloatArray:
        held = np.maximum(state, self._least)
        added = np.maximum(columns.reshape(len(columns), -1, self.n)[:, 0], held[-1]) @ self.w
        return np.asarray((added + float(self.w @ held[:-1].sum(axis=0))) / self.k)


class MixtureEvaluator(_Layout):
    """Σ_i v_i log( Σ_M w_ij p_ij / Σ_M w_ij ), in nats, with p scaled by each query's best expert."""

    monotone = False

    def __init__(
        self,
        w: FloatArray,
        log_p: FloatArray,
        weight: FloatArray,
        category: NDArray[np.intp],
        n_categories: int,
    ) -> None:
        super().__init__(weight, category, n_categories, w, log_p)
        best = log_p.max(axis=1)
        self.offset = float(self.w @ best[self.order])
        mixing = np.maximum(w, LEAST_WEIGHT)
        relative = np.maximum(log_p - best[:, None], -MOST_NATS)
        likelihood = np.exp(relative)
        self.spread = float(-relative.min()) + 1e-9
        self.mixing = self.rows(mixing)
        self.joint = self.rows(mixing * likelihood)
        self._rank = np.argsort(-self.rows(likelihood), axis=0, kind="stable")
        self._ranked_joint = np.take_along_axis(self.joint, self._rank, axis=0)
        self._ranked_mixing = np.take_along_axis(self.mixing, self._rank, axis=0)

    def value(self, allowed: BoolArray) -> float:
        if not allowed.any(axis=1).all():
            return -np.inf
        total = self.offset
        for rows, experts in zip(self.slices, allowed, strict=True):
            ratio = self.joint[experts, rows].sum(axis=0) / self.mixing[experts, rows].sum(axis=0)
            total += float(self.w[rows] @ np.log(ratio))
        return total

    def bound(self, chosen: BoolArray, possible: BoolArray) -> float:
        """Per query, max over T ⊆ possible \\ chosen of (a + Σ_T w p) / (b + Σ_T w).

        a and b sum w p and w over the chosen. A ratio of sums grows by adding a term exactly when
        the term's own ratio p exceeds it, so the best T is a prefix of the experts sorted by p.
        """
        if not possible.any(axis=1).all():
            return -np.inf
        total = self.offset
        for rows, sure, may in zip(self.slices, chosen, possible, strict=True):
            free = (may & ~sure)[self._rank[:, rows]]
            joint = np.cumsum(self._ranked_joint[:, rows] * free, axis=0)
            mixing = np.cumsum(self._ranked_mixing[:, rows] * free, axis=0)
            if sure.any():
                a = self.joint[sure, rows].sum(axis=0)
                b = self.mixing[sure, rows].sum(axis=0)
                best = np.maximum(a / b, ((a + joint) / (b + mixing)).max(axis=0))
            else:
                filled = mixing > 0
                best = np.divide(joint, mixing, out=np.zeros_like(joint), where=filled).max(axis=0)
            total += float(self.w[rows] @ np.log(best))
        return total

    def violation(self, seed: int) -> float:
        """Σ_c of the most that category c's value fell along random chains S ⊂ S ∪ {j} ⊂ …, in nats.

        Measured, not proven: other chains may fall further.
        """
        rng = np.random.default_rng(seed)
        most = np.zeros(len(self.slices))
        for _ in range(_CHAINS):
            order = rng.permutation(len(self.mixing))
            ratio = np.cumsum(self.joint[order], axis=0) / np.cumsum(self.mixing[order], axis=0)
            value = self.w * np.log(ratio)
            for c, rows in enumerate(self.slices):
                chain = value[:, rows].sum(axis=1)
                most[c] = max(most[c], float((np.maximum.accumulate(chain) - chain).max()))
        return float(most.sum())

    def columns(self, allowed: BoolArray) -> FloatArray:
        spread = self.by_query(allowed)
        return np.stack([self.joint * spread, self.mixing * spread], axis=1)

    def start(self) -> FloatArray:
        return np.zeros((2, self.n))

    def add(self, state: FloatArray, column: FloatArray) -> FloatArray:
        return state + column

    def total(self, state: FloatArray) -> float:
        if not (state[1] > 0).all():
            return -np.inf
        return self.offset + float(self.w @ np.log(state[0] / state[1]))

    def totals(self, state: FloatArray, columns: FloatArray) -> FloatArray:
        joint, mixing = state[0] + columns[:, 0], state[1] + columns[:, 1]
        ratio = np.divide(joint, mixing, out=np.ones_like(joint), where=mixing > 0)
        return np.asarray(self.offset + np.where(mixing > 0, np.log(ratio), -self.spread) @ self.w)
