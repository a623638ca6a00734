"""From the budget of a configuration to limits in joules and seconds; presets and grid of a pool's own range."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from moe2_pl.errors import ConfigError, UnknownNameError
from moe2_pl.selection import Budget, SelectionProblem, budget_range, explain_infeasible

__all__ = ["PRESETS", "budget_grid", "configured_budget", "preset_budgets"]

# How far, geometrically, from the smallest feasible budget (0) to the largest that matters (1).
PRESETS: dict[str, float] = {"tight": 0.25, "medium": 0.5, "loose": 0.75}
UNLIMITED = "unlimited"


def preset_budgets(problem: SelectionProblem) -> dict[str, Budget]:
    """Budgets named tight, medium, loose and unlimited.

    With (E, L) the largest energy and latency that matter to the pool and f the smallest factor for which
    (f·E, f·L) is feasible, a preset at share t is (f^(1−t)·E, f^(1−t)·L): always feasible, rounded up to
    three significant digits.
    """
    limits = budget_range(problem)
    largest = Budget(energy_j=limits.energy_j[1], latency_s=limits.latency_s[1])
    # Small enough to be infeasible for certain, which the explanation needs.
    start = 1e-9
    smallest = min(1.0, start * explain_infeasible(problem, largest.scaled(start)).factor)
    presets = {}
    for name, share in PRESETS.items():
        factor = smallest ** (1 - share)
        presets[name] = Budget(_up(factor * limits.energy_j[1]), _up(factor * limits.latency_s[1]))
    return presets | {UNLIMITED: Budget()}


def budget_grid(problem: SelectionProblem, energy_points: int, latency_points: int) -> list[Budget]:
    """Energy × latency budgets, each geometric over the pool's range; ascending energy, then latency.

    Raises:
        ConfigError: a negative number of points.
    """
    for name, points in (("energy_points", energy_points), ("latency_points", latency_points)):
        if points < 0:
            raise ConfigError(f"sweep.{name} is {points}; need 0 (no grid) or more")
    limits = budget_range(problem)
    energy = np.geomspace(*limits.energy_j, num=energy_points)
    latency = np.geomspace(*limits.latency_s, num=latency_points)
    return [Budget(energy_j=_up(e), latency_s=_up(s)) for e in energy for s in latency]


def configured_budget(
    config: Mapping[str, Any], presets: Mapping[str, Budget], queries_per_s: float
) -> tuple[str, Budget]:
    """The budget that a configuration asks for, and its name.

    ``energy_j`` and ``latency_s`` (numbers, or mappings category → number that may hold ``default``) and
    ``power_w`` (average watts of the fleet, applied as joules a query to every category) replace the preset's.

    Raises:
        UnknownNameError: an unknown preset.
        ConfigError: energy given twice, or a limit that makes no sense.
    """
    energy_j, latency_s, power_w = (config[key] for key in ("energy_j", "latency_s", "power_w"))
    explicit = any(value is not None for value in (energy_j, latency_s, power_w))
    if not explicit:
        preset = config["preset"] or UNLIMITED
        if preset not in presets:
            raise UnknownNameError("budget.preset", preset, presets)
        return preset, presets[preset]
    if power_w is not None:
        if energy_j is not None:
            raise ConfigError(
                f"budget.power_w is {power_w} and budget.energy_j is {energy_j}; give one of them"
            )
        if not math.isfinite(power_w) or power_w < 0:
            raise ConfigError(f"budget.power_w is {power_w}; it must be a number of watts ≥ 0")
        energy_j = power_w / queries_per_s
    return "chosen", Budget(energy_j=energy_j, latency_s=latency_s)


def _up(value: float) -> float:
    """Round up to three significant digits, so that a limit which just suffices still does."""
    scale: float = 10.0 ** (math.floor(math.log10(value)) - 2)
    return round(math.ceil(value / scale - 1e-9) * scale, 12)
