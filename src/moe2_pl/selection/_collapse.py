"""Near-equal queries as one weighted query, on request, within an error that is stated and added to the gap."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from moe2_pl.errors import ConfigError
from moe2_pl.selection._problem._groups import groups_of_near

if TYPE_CHECKING:
    from moe2_pl.selection._problem._problem import SelectionProblem
    from moe2_pl.selection._solvers._search import Search

__all__ = ["Collapsed"]


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
