"""Which queries train, validate and test: copies of one prompt always stay together."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import ConfigError, DataError, UnknownNameError
from moe2_pl.outputs._container import ExpertOutputs

__all__ = ["SPLITS", "Split", "split_queries"]

SPLITS = ("random", "published", "published_leaky")


class Split(NamedTuple):
    """Row numbers of each part, ascending."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split_queries(
    outputs: ExpertOutputs,
    kind: str = "random",
    fractions: Sequence[float] = (0.60, 0.15, 0.25),
    seed: int = 0,
) -> Split:
    """Split the queries.

    ``random`` cuts by ``fractions``; ``published`` keeps the published test queries, less those whose prompt
    also stands in the published training part, and cuts the rest at the ratio of the first two fractions;
    ``published_leaky`` keeps all published test queries.

    Args:
        outputs: n queries; those with one ``group`` go to one side.
        kind: one of ``SPLITS``.
        fractions: shares of train, validation and test; they sum to 1.
        seed: of the permutation.

    Raises:
        UnknownNameError: another kind.
        ConfigError: fractions that are not positive or do not sum to 1.
        DataError: too few queries, or no published split in the outputs.
    """
    if kind not in SPLITS:
        raise UnknownNameError("split", kind, SPLITS)
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ConfigError(f"data.fractions is {list(fractions)}; need three positive shares that sum to 1")
    group = outputs.group
    if kind == "random":
        remaining, test, ratios = np.arange(len(outputs)), np.array([], dtype=np.int64), list(fractions)
    else:
        if outputs.split is None or set(outputs.splits) != {"train", "test"}:
            raise DataError(f"data.split is '{kind}', but these outputs hold no published train/test split")
        is_test = outputs.split == outputs.splits.index("test")
        remaining = np.flatnonzero(~is_test)
        test = np.flatnonzero(is_test)
        if kind == "published":
            test = test[~np.isin(group[test], group[remaining])]
        ratios = [fractions[0] / (fractions[0] + fractions[1]), fractions[1] / (fractions[0] + fractions[1])]
    parts = _cut(group, remaining, ratios, seed)
    split = Split(*parts) if kind == "random" else Split(parts[0], parts[1], test)
    for name, rows in split._asdict().items():
        if not len(rows):
            raise DataError(
                f"the {name} part is empty: {len(outputs)} queries are too few for {list(fractions)}"
            )
    return split


def _cut(
    group: NDArray[np.int64], rows: NDArray[np.int64], ratios: list[float], seed: int
) -> list[NDArray[np.int64]]:
    """Cut ``rows`` into parts of about the given ratios without parting a group."""
    groups, counts = np.unique(group[rows], return_counts=True)
    order = np.random.default_rng(seed).permutation(len(groups))
    reached = np.cumsum(counts[order])
    ends = np.searchsorted(reached, np.cumsum(ratios) * len(rows) - 0.5)
    part_of = np.zeros(int(group.max()) + 1, dtype=np.int64)
    part_of[groups[order]] = np.searchsorted(ends, np.arange(len(groups)), side="right").clip(
        max=len(ratios) - 1
    )
    return [rows[part_of[group[rows]] == part] for part in range(len(ratios))]
