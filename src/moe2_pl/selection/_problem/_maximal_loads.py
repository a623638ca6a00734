"""What a device can load, enumerated: it has few experts where this is asked."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["maximal_loads"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def maximal_loads(
    memory_gb: FloatArray, group: NDArray[np.intp], group_gb: FloatArray, room: float, required: BoolArray
) -> BoolArray:
    """Subsets of one device's J experts that hold the required ones, fit, and to which none can be added.

    Args:
        memory_gb: of each expert, [J], GB.
        group: memory group of each, [J], −1 for none.
        group_gb: what a group loads once, [G], GB.
        room: GB.
        required: [J].

    Returns:
        [F, J]; of 2^J subsets all are looked at.
    """
    J = len(memory_gb)
    subsets = (np.arange(1 << J)[:, None] >> np.arange(J) & 1).astype(bool)
    # Added up in the order of `Instance.load`, so that both agree in the last digit.
    used, shared = np.zeros(len(subsets)), np.zeros(len(subsets))
    for column, gb in zip(subsets.T, memory_gb, strict=True):
        used += column * gb
    for g in np.unique(group[group >= 0]):
        shared += subsets[:, group == g].any(axis=1) * group_gb[g]
    fits = (used + shared <= room) & subsets[:, required].all(axis=1)
    grown = (np.arange(len(subsets))[:, None] | 1 << np.arange(J))[fits]
    maximal = ~(fits[grown] & ~subsets[fits]).any(axis=1)
    return np.asarray(subsets[fits][maximal])
