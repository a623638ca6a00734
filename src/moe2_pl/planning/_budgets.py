"""From the budget of a configuration to limits in joules and seconds; presets and grid of a pool's own range."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from moe2_pl.errors import ConfigError, UnknownNameError
from moe2_pl.selection import Budget, SelectionProblem, budget_range, explain_infeasible, rounded_up

__all__ = [
    "PRESETS",
    "TARIFF",
    "budget_grid",
    "configured_budget",
    "preset_budgets",
    "unlimited_told",
    "wanted_budget",
]

# How far, geometrically, from the smallest feasible budget (0) to the largest that matters (1).
PRESETS: dict[str, float] = {"tight": 0.25, "medium": 0.5, "loose": 0.75}
UNLIMITED = "unlimited"
# Assumed where nobody gives one, as in conf/tariff: dollars and grams of CO₂ of a kilowatt-hour.
TARIFF: dict[str, float] = {"usd_per_kwh": 0.30, "co2_g_per_kwh": 400.0}
_KWH_J = 3.6e6


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


def wanted_budget(
    budget: str | Budget | Mapping[str, Any],
    presets: Mapping[str, Budget],
    queries_per_s: float,
    tariff: Mapping[str, float],
) -> tuple[str, Budget]:
    """A budget and its name: of a preset's name, of limits, or of a mapping as :func:`configured_budget` takes it."""
    if isinstance(budget, Budget):
        return "chosen", budget
    config = {"preset": budget} if isinstance(budget, str) else budget
    return configured_budget(config, presets, queries_per_s, tariff)


def configured_budget(
    config: Mapping[str, Any],
    presets: Mapping[str, Budget],
    queries_per_s: float,
    tariff: Mapping[str, float],
) -> tuple[str, Budget]:
    """The budget that a configuration asks for, and its name.

    ``latency_s`` and one of the limits on energy replace the preset's. Of a query: ``energy_j``, ``energy_wh``,
    ``cost_usd``, ``co2_g``, numbers or mappings category → number that may hold ``default``. Of the fleet:
    ``power_w``, average watts, and ``day_kwh``, ``day_usd``, ``day_co2_kg``, a day's; they are divided by the queries
    of the time and applied as joules a query to every category.

    Args:
        config: ``preset`` and the limits; None, or no key, where not given.
        presets: name → budget.
        queries_per_s: arrivals at the whole fleet.
        tariff: ``usd_per_kwh`` and ``co2_g_per_kwh``.

    Raises:
        UnknownNameError: an unknown preset.
        ConfigError: energy given twice, or a limit or a tariff that makes no sense.
    """
    for key, value in tariff.items():
        if not math.isfinite(value) or value <= 0:
            raise ConfigError(f"tariff.{key} is {value}; it must be finite and > 0")
    day = 86_400 * queries_per_s
    joules_per = {
        "energy_j": 1.0,
        "energy_wh": 3600.0,
        "cost_usd": _KWH_J / tariff["usd_per_kwh"],
        "co2_g": _KWH_J / tariff["co2_g_per_kwh"],
        "power_w": 1 / queries_per_s,
        "day_kwh": _KWH_J / day,
        "day_usd": _KWH_J / tariff["usd_per_kwh"] / day,
        "day_co2_kg": 1000 * _KWH_J / tariff["co2_g_per_kwh"] / day,
    }
    given = [key for key in joules_per if config.get(key) is not None]
    if not given and config.get("latency_s") is None:
        preset = config.get("preset") or UNLIMITED
        if preset not in presets:
            raise UnknownNameError("budget.preset", preset, presets)
        return preset, presets[preset]
    if len(given) > 1:
        limits = " and ".join(f"budget.{key} is {config[key]}" for key in given)
        raise ConfigError(f"{limits}; give one of them")
    energy_j = _in_joules(given[0], config[given[0]], joules_per[given[0]]) if given else None
    return "chosen", Budget(energy_j=energy_j, latency_s=config.get("latency_s"))


def unlimited_told(config: Mapping[str, Any], budget: Budget, categories: Sequence[str]) -> str:
    """What the limits of a configuration leave without one, in a line; empty where they do not, or none was wanted.

    Args:
        config: as of `configured_budget`.
        budget: what it has made of it.
        categories: of the pool.
    """
    if config.get("preset") in (None, UNLIMITED):
        return ""
    given = {
        "latency" if key == "latency_s" else "energy": key
        for key, value in config.items()
        if key != "preset" and value is not None
    }
    told = []
    for word, limit in (("energy", budget.energy_j), ("latency", budget.latency_s)):
        if limit is None and given:
            (key,) = given.values()
            told.append(f"budget.{key} takes the place of the preset: {word} is not limited")
        elif isinstance(limit, Mapping) and "default" not in limit:
            free = [category for category in categories if category not in limit]
            if free:
                has = "have" if len(free) > 1 else "has"
                told.append(
                    f"budget.{given[word]}: {', '.join(free)} {has} no {word} limit (default: … gives them one)"
                )
    return "; ".join(told)


def _in_joules(key: str, value: Any, joules: float) -> Any:
    """A limit, or each of a mapping's, in joules a query."""
    if isinstance(value, Mapping):
        return {category: _in_joules(f"{key}[{category}]", part, joules) for category, part in value.items()}
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not number >= 0:
        raise ConfigError(f"budget.{key} is {value}; a number ≥ 0 is needed")
    # To the digits that a person could mean: 140 W are 2000 J a query, not 1999.9999999999998.
    return float(f"{number * joules:.12g}")


def _up(value: float) -> float:
    return rounded_up(value, 3)
