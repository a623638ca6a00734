"""Groups: rows that say the same, equal or nearly, and the largest of each label."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["groups_of_equal", "groups_of_near", "most_of_each"]

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


def most_of_each(label: Groups, value: FloatArray) -> FloatArray:
    """The largest value ≥ 0 of each label 0…K−1, [K]; 0 for a label without values."""
    most = np.zeros(int(label.max(initial=-1)) + 1)
    np.maximum.at(most, label, value)
    return most
