"""The mean routed energy of masked subsets: what breaks ties between equal plans.

Kept by category and mask, since the budgets of a sweep share most masks.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from moe2_pl.selection._problem._problem import SelectionProblem

__all__ = ["RoutedEnergy"]

_MOST_PARTS = 100_000


class RoutedEnergy:
    """Σ_i w_i e_{c(i) j(i)} / Σ_i w_i, J a query, where j(i) is the allowed expert preferred for query i."""

    def __init__(self, problem: "SelectionProblem") -> None:
        self._problem = problem
        self._rows = [np.flatnonzero(problem.category == c) for c in range(problem.n_categories)]
        self._parts: dict[tuple[int, bytes], float] = {}

    def mean(self, allowed: NDArray[np.bool_]) -> float:
        """For masks [C, N] that allow somebody in every category with queries."""
        return sum(self._part(c, experts) for c, experts in enumerate(allowed) if len(self._rows[c]))

    def _part(self, c: int, experts: NDArray[np.bool_]) -> float:
        key = (c, experts.tobytes())
        if key not in self._parts:
            if len(self._parts) >= _MOST_PARTS:
                self._parts.clear()
            utility, rows = self._problem.utility, self._rows[c]
            liking = utility.preference[rows][:, experts]
            best = liking == liking.max(axis=1, keepdims=True)
            routed = np.where(best, self._problem.energy_j[c, experts], np.inf).min(axis=1)
            self._parts[key] = float(utility.weight[rows] @ routed / utility.weight.sum())
        return self._parts[key]
