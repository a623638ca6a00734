"""What the page says in words and tables, worked out from the data so that the template only lays it out."""

import math
from dataclasses import dataclass

from moe2_pl.planning import FrontierRow, Results
from moe2_pl.report._format import budget_text, limit

__all__ = ["Box", "boxes", "loaded", "nearest_feasible", "shown_budgets", "unlimited"]


@dataclass(frozen=True)
class Box:
    """One device of a deployment: what it loads and how busy it is.

    Args:
        device: its name.
        shares: expert that it loads → share of all queries that it answers.
        utilisation: ρ.
        used_gb, memory_gb: what the experts take, and what there is.
    """

    device: str
    shares: dict[str, float]
    utilisation: float
    used_gb: float
    memory_gb: float

    @property
    def overloaded(self) -> bool:
        """Whether ρ ≥ 1."""
        return self.utilisation >= 1


def boxes(data: Results) -> list[Box]:
    """The devices that the chosen deployment switches on, each with its experts."""
    row = data.chosen
    queries = sum(part.queries for part in row.categories)
    found = []
    for device in row.devices:
        experts = [name for name in row.experts if data.experts[name]["device"] == device]
        answered = {
            name: sum(part.shares.get(name, 0.0) * part.queries for part in row.categories)
            for name in experts
        }
        found.append(
            Box(
                device,
                {name: count / queries for name, count in answered.items()},
                row.utilisation.get(device, math.nan),
                math.fsum(float(str(data.experts[name]["memory_gb"])) for name in experts),
                float(str(data.devices[device]["memory_gb"])),
            )
        )
    return found


def unlimited(data: Results) -> FrontierRow | None:
    """The row of no budget, where it is feasible."""
    return next((row for row in data.presets if row.budget == "unlimited" and row.feasible), None)


def nearest_feasible(data: Results) -> str:
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


def shown_budgets(data: Results) -> list[tuple[str, FrontierRow]]:
    """The columns of the deployment table: the chosen budget first, then the presets that differ from it."""
    same = [row.budget for row in data.presets if _limits(row) == _limits(data.chosen)]
    heading = f"chosen ({same[0]})" if same else "chosen"
    return [(heading, data.chosen), *((row.budget, row) for row in data.presets if row.budget not in same)]


def loaded(data: Results) -> dict[str, list[str]]:
    """Device → its experts that some budget of the deployment table loads; devices that none uses are left out."""
    used = {name for _, row in shown_budgets(data) for name in row.experts}
    found: dict[str, list[str]] = {device: [] for device in data.devices}
    for name, expert in data.experts.items():
        if name in used:
            found[str(expert["device"])].append(name)
    return {device: experts for device, experts in found.items() if experts}


def _limits(row: FrontierRow) -> tuple[str, ...]:
    own = [(p.category, p.energy_budget_j, p.latency_budget_s) for p in row.categories]
    return (limit(row.energy_budget_j, "J"), limit(row.latency_budget_s, "s"), repr(own))
