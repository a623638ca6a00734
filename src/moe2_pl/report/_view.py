"""What the page says in words and tables, worked out from the data so that the template only lays it out."""

import math
from dataclasses import dataclass

from moe2_pl.report._data import FrontierRow, ReportData
from moe2_pl.report._format import budget_text, limit, signed

__all__ = ["Box", "boxes", "comparisons", "nearest_feasible", "shown_budgets"]


@dataclass(frozen=True)
class Box:
    """One device of a deployment: what it loads and how busy it is."""

    device: str
    experts: tuple[str, ...]
    utilisation: float

    @property
    def overloaded(self) -> bool:
        """Whether ρ ≥ 1."""
        return self.utilisation >= 1


def boxes(data: ReportData, row: FrontierRow) -> list[Box]:
    """The devices that a row switches on, each with its experts."""
    return [
        Box(
            device,
            tuple(name for name in row.experts if data.experts[name]["device"] == device),
            row.utilisation.get(device, math.nan),
        )
        for device in row.devices
    ]


def comparisons(data: ReportData) -> list[tuple[str, str]]:
    """What the chosen deployment gains or loses against each alternative: (difference, against what)."""
    row = data.chosen
    single = f"the best single expert ({row.best_single})" if row.best_single else "the best single expert"
    pairs = [
        (row.best_single_score, single),
        (row.lookup_score, "the lookup under the same budget"),
        (row.family_oracle_score, "the family oracle, a ceiling that is told the task family"),
    ]
    pairs += [(other.score, "no budget at all") for other in data.presets if other.budget == "unlimited"]
    return [(signed(row.score - score), name) for score, name in pairs if not math.isnan(score)]


def nearest_feasible(data: ReportData) -> str:
    """For an infeasible budget: the feasible budget of the run that asks for the smallest common factor.

    '' where none of the run's budgets is both looser and feasible.
    """
    wanted = data.chosen
    looser = [(_factor(row, wanted), row) for row in (*data.grid, *data.presets) if row.feasible]
    factor, row = min(looser, key=lambda pair: pair[0], default=(math.inf, wanted))
    return budget_text(row) if math.isfinite(factor) else ""


def _factor(row: FrontierRow, wanted: FrontierRow) -> float:
    """By how much both of the wanted limits must grow to cover a row's."""
    pairs = (
        (row.energy_budget_j, wanted.energy_budget_j),
        (row.latency_budget_s, wanted.latency_budget_s),
    )
    factors = [limit / asked if asked > 0 else math.inf for limit, asked in pairs if math.isfinite(asked)]
    worst = max(factors, default=math.inf)
    return worst if worst >= 1 else math.inf


def shown_budgets(data: ReportData) -> list[tuple[str, FrontierRow]]:
    """The columns of the deployment table: the chosen budget first, then the presets that differ from it."""
    same = [row.budget for row in data.presets if _limits(row) == _limits(data.chosen)]
    heading = f"chosen ({same[0]})" if same else "chosen"
    return [(heading, data.chosen), *((row.budget, row) for row in data.presets if row.budget not in same)]


def _limits(row: FrontierRow) -> tuple[str, ...]:
    own = [(p.category, p.energy_budget_j, p.latency_budget_s) for p in row.categories]
    return (limit(row.energy_budget_j, "J"), limit(row.latency_budget_s, "s"), repr(own))
