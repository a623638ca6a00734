"""Rows that say the same: equal queries become one weighted query, near-equal ones within a stated error.

Equal rows collapse always, inside the evaluators, and change nothing. Near-equal rows collapse on
request (``merge_tolerance``), and what that can change is added to the gap.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import ConfigError

if TYPE_CHECKING:
    from moe2_pl.selection._problem import SelectionProblem
    from moe2_pl.selection._search import Search

__all__ = ["Collapsed", "groups_of_equal", "groups_of_near"]

FloatArray = NDArray[np.float64]
Groups = NDArray[np.intp]


def groups_of_equal(*matrices: NDArray[Any]) -> Groups:
    """A group number for each row, [n], equal for rows that are equal in every matrix; in order of appearance.

    Example:
        >>> groups_of_equal(np.array([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]])).tolist()
        [0, 1, 0]
    """
    seen: dict[tuple[bytes, ...], int] = {}
    rows = zip(*matrices, strict=True)
    keys = (tuple(row.tobytes() for row in parts) for parts in rows)
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.intp)


def groups_of_near(rows: FloatArray, tolerance: float) -> Groups:
    """Groups of rows, [n], none further than ``tolerance`` in any column from its group's first row.

    Rows that near have means that near, so a row is compared only with those of a window of means.
    """
    order = np.argsort(rows.mean(axis=1), kind="stable")
    means = rows.mean(axis=1)[order]
    # The window is a little wider than the tolerance: means are rounded, distances decide.
    ends = np.searchsorted(means, means + tolerance * (1 + 1e-9) + 1e-12, side="right")
    group = np.full(len(rows), -1, dtype=np.intp)
    for position, first in enumerate(order):
        if group[first] >= 0:
            continue
        window = order[position : ends[position]]
        free = window[group[window] < 0]
        near = free[np.abs(rows[free] - rows[first]).max(axis=1) <= tolerance]
        group[near] = first
    return np.unique(group, return_inverse=True)[1]


@dataclass(frozen=True, eq=False)
class Collapsed:
    """A problem with fewer queries, and by how much the value of any subset can differ from the true one.

    Attributes:
        full: the problem that was asked.
        problem: the one to search; ``full`` itself when nothing is merged.
        error: |U(S) − Ũ(S)| ≤ error for every S and any masks. With δ_i the distance in the sup norm of
            query i from its representative, error = Σ_i w_i δ_i / Σ_i w_i: a maximum over a row moves by
            no more than the row, and so does a mean of the k largest; for a mixture
            δ_i = 2 max_j |log w_ij − log w̃_j| + max_j |log p_ij − log p̃_j|.
    """

    full: "SelectionProblem"
    problem: "SelectionProblem"
    error: float

    @classmethod
    def of(cls, problem: "SelectionProblem", tolerance: float) -> "Collapsed":
        """Merge queries of one category that are within ``tolerance``; 0 merges nothing.

        Raises:
            ConfigError: a tolerance that is negative or not finite.
        """
        if not 0 <= tolerance < np.inf:
            raise ConfigError(f"merge_tolerance = {tolerance}: a finite number ≥ 0 is needed")
        if tolerance == 0:
            return cls(problem, problem, 0.0)
        rows = problem.utility.rows()
        group = np.zeros(len(rows), dtype=np.intp)
        for c in range(problem.n_categories):
            here = np.flatnonzero(problem.category == c)
            if len(here):
                group[here] = groups_of_near(rows[here], tolerance) + int(group.max()) + 1
        _, first, group = np.unique(group, return_index=True, return_inverse=True)
        order = np.argsort(group, kind="stable")
        starts = np.searchsorted(group[order], np.arange(len(first)))
        low = np.minimum.reduceat(rows[order], starts, axis=0)
        high = np.maximum.reduceat(rows[order], starts, axis=0)
        # The middle of a group: half its width is the least that the furthest of its rows can move.
        middle = low + (high - low) / 2
        moved = np.abs(rows - middle[group])
        weight = problem.utility.weight
        error = float(weight @ problem.utility.moves(moved) / weight.sum())
        small = problem.with_queries(problem.utility.merged(middle, group), problem.category[first])
        return cls(problem, small, error)

    def lifted(self, search: "Search") -> "Search":
        """The search's outcome on the full problem: value by the true queries, bound with the error."""
        if self.problem is self.full:
            return search
        return search.on(self.full, self.error)
