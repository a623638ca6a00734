"""Budgets per category, and the one tolerance by which a cost counts as inside its limit.

Every solver and `verify` compare through `within`, so they can never disagree on feasibility.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import ConfigError, UnknownNameError

__all__ = ["FEASIBILITY_TOLERANCE", "Budget", "Limit", "rounded_up", "within"]

FEASIBILITY_TOLERANCE = 1e-9
"""Relative: a cost is inside a limit when cost ≤ limit · (1 + 1e-9), whatever its unit."""

Limit = float | Mapping[str, float] | None


def within(cost: Any, limit: Any) -> Any:
    """Whether a cost is inside its limit, elementwise, by the shared tolerance.

    Example:
        >>> bool(within(0.1 + 0.2, 0.3)), bool(within(0.31, 0.3))
        (True, False)
    """
    return np.asarray(cost) <= np.asarray(limit) * (1.0 + FEASIBILITY_TOLERANCE)


def rounded_up(value: float, digits: int) -> float:
    """The next value of so many significant digits, so that a limit which just suffices still does.

    Example:
        >>> rounded_up(307.4001, 4), rounded_up(0.25, 4), rounded_up(1234.0, 3)
        (307.5, 0.25, 1240.0)
    """
    if value == 0 or not math.isfinite(value):
        return value
    scale: float = 10.0 ** (math.floor(math.log10(value)) - digits + 1)
    return float(f"{math.ceil(value / scale - 1e-9) * scale:.{digits}g}")


@dataclass(frozen=True)
class Budget:
    """How much energy and time a query of each category may take, on the category's mean.

    Args:
        energy_j: joules a query: a number for all categories, a mapping category → number that
            may hold ``default``, or None for no limit. Categories that a mapping without
            ``default`` does not name have no limit.
        latency_s: seconds a query, in the same forms.

    Raises:
        ConfigError: a limit that is negative, NaN or no number.

    Example:
        >>> Budget(energy_j=900.0, latency_s={"tutor": 30, "default": 10}).latency_limits(["tutor", "coder"])
        array([30., 10.])
    """

    energy_j: Limit = None
    latency_s: Limit = None

    def __post_init__(self) -> None:
        for name in ("energy_j", "latency_s"):
            limit = getattr(self, name)
            if isinstance(limit, Mapping):
                checked = {str(key): _checked(value, f"{name}[{key}]") for key, value in limit.items()}
                object.__setattr__(self, name, checked)
            elif limit is not None:
                object.__setattr__(self, name, _checked(limit, name))

    def energy_limits(self, categories: Sequence[str]) -> NDArray[np.float64]:
        """The energy limit of each category, [C], J; infinite where there is none."""
        return _spread(self.energy_j, categories, "energy_j")

    def latency_limits(self, categories: Sequence[str]) -> NDArray[np.float64]:
        """The latency limit of each category, [C], s; infinite where there is none."""
        return _spread(self.latency_s, categories, "latency_s")

    def scaled(self, factor: float) -> "Budget":
        """The same budget with every limit multiplied by ``factor``.

        Example:
            >>> Budget(energy_j=2.0).scaled(1.5)
            Budget(energy_j=3.0, latency_s=None)
        """

        def scale(limit: Limit) -> Limit:
            if limit is None:
                return None
            if isinstance(limit, Mapping):
                return {name: value * factor for name, value in limit.items()}
            return limit * factor

        return Budget(scale(self.energy_j), scale(self.latency_s))


def _checked(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"budget {name} = {value!r}: a number ≥ 0 is needed") from None
    if math.isnan(number) or number < 0:
        raise ConfigError(f"budget {name} = {number}: a number ≥ 0 is needed (inf for no limit)")
    return number


def _spread(limit: Limit, categories: Sequence[str], name: str) -> NDArray[np.float64]:
    if limit is None:
        return np.full(len(categories), math.inf)
    if not isinstance(limit, Mapping):
        return np.full(len(categories), limit)
    for key in limit:
        if key != "default" and key not in categories:
            raise UnknownNameError(f"category in budget {name}", key, [*categories, "default"])
    default = limit.get("default", math.inf)
    return np.array([limit.get(category, default) for category in categories])
