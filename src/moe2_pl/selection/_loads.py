"""What a fleet can switch on and what a device can load, enumerated where there are few possibilities."""

import numpy as np
from numpy.typing import NDArray

from moe2_pl.selection._problem import SelectionProblem

__all__ = ["device_sets", "maximal_loads"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def device_sets(problem: SelectionProblem, most: int) -> BoolArray | None:
    """Every set of devices that hold usable experts, of one box at most one, [sets, D]; None beyond ``most`` sets.

    The empty set is one of them. In the order of a counter whose lowest digit is the first box.
    """
    hosts = np.unique(problem.device[~problem.excluded])
    settings = [hosts[problem.box[hosts] == b] for b in np.unique(problem.box[hosts])]
    if np.prod([len(devices) + 1.0 for devices in settings]) > most:
        return None
    sets = np.zeros((1, problem.n_devices), dtype=bool)
    for devices in settings:
        grown = [sets]
        for d in devices:
            with_d = sets.copy()
            with_d[:, d] = True
            grown.append(with_d)
        sets = np.concatenate(grown)
    return sets


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
