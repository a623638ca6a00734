"""The preservation certificate: what reusing one gate on every subset costs, measured against retraining."""

from moe2_pl.certificate._certify import Certificate, RegretRow, certify
from moe2_pl.certificate._monotonicity import Monotonicity, monotonicity
from moe2_pl.certificate._subsets import Subset, frontier_subsets, random_subsets

__all__ = [
    "Certificate",
    "Monotonicity",
    "RegretRow",
    "Subset",
    "certify",
    "frontier_subsets",
    "monotonicity",
    "random_subsets",
]
