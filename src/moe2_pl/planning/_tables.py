"""Held-out figures of every router and of every expert alone."""

from collections.abc import Iterator, Mapping

from moe2_pl.gate import GatingModule
from moe2_pl.planning._budgets import PRESETS, UNLIMITED
from moe2_pl.planning._inputs import Inputs
from moe2_pl.planning._judge import Queries, Realised, best_single
from moe2_pl.planning._results import SummaryRow
from moe2_pl.planning._routers import Router
from moe2_pl.selection import Solution

__all__ = ["calibration", "expert_scores", "summary_rows"]


def summary_rows(
    inputs: Inputs,
    held_out: Queries,
    routers: Mapping[str, Router],
    solutions: Mapping[str, list[Solution]],
    names: list[str],
) -> Iterator[SummaryRow]:
    """The closing table: baselines and MoE² under each budget, then what the full pool could reach."""

    def row(name: str, got: Realised, experts: tuple[str, ...], note: str = "") -> SummaryRow:
        return SummaryRow(
            name,
            float(got.score.mean()),
            float(got.energy_j.mean()),
            float(got.latency_s.mean()),
            float(got.utilisation.max()),
            experts,
            note,
        )

    for budget_name in dict.fromkeys((*PRESETS, inputs.chosen)):
        if budget_name == UNLIMITED:
            continue
        i = names.index(budget_name)
        single = best_single(inputs.baselines["lookup"].problem, inputs.budgets[budget_name])
        if single is not None:
            yield row(f"best single, {budget_name}", held_out.single(single), (inputs.pool.names[single],))
        for key, label in (("lookup", "lookup"), ("moe2", "MoE²")):
            found = solutions[key][i]
            if found.experts:
                yield row(f"{label}, {budget_name}", held_out.under_load(routers[key], found), found.experts)
    for key, label in (("lookup", "lookup"), ("moe2", "MoE²"), ("family_oracle", "family oracle")):
        if key in routers:
            # "No budget" keeps to what the configuration excludes, the full pool does not.
            note = (
                "with what expert_pool.excluded leaves out"
                if key == "moe2" and held_out.planner.excluded
                else ""
            )
            yield row(f"{label}, full pool", held_out.everything(routers[key].rank), ("all",), note)
    yield row("oracle, full pool", held_out.everything(held_out.score), ("all",))
    together = held_out.ensemble()
    if together is not None:
        yield row("uniform ensemble, all answer", together, ("all",))


def expert_scores(inputs: Inputs, held_out: Queries) -> dict[str, dict[str, float]]:
    """Expert or model → category → its mean held-out score; a category without held-out queries is left out."""
    means = {
        category: held_out.score[held_out.category == c].mean(axis=0)
        for c, category in enumerate(held_out.planner.categories)
        if (held_out.category == c).any()
    }
    return {
        name: {category: float(mean[column]) for category, mean in means.items()}
        for name, column in _distinct(inputs).items()
    }


def calibration(
    inputs: Inputs, gate: GatingModule, held_out: Queries, router: Router
) -> dict[str, tuple[float, float]]:
    if not gate.objective.independent:
        return {}
    predicted, realised = router.rank.mean(0), held_out.score.mean(0)
    return {
        name: (float(predicted[column]), float(realised[column]))
        for name, column in _distinct(inputs).items()
    }


def _distinct(inputs: Inputs) -> dict[str, int]:
    """Expert, or model where it has several placements → a column [N] of it.

    One for each model: the gate knows no placements, and what one loses by its precision is assumed.
    """
    models = [expert.model_id for expert in inputs.pool.experts]
    return {
        name if models.count(model) == 1 else model: column
        for column, (name, model) in enumerate(zip(inputs.pool.names, models, strict=True))
        if models.index(model) == column
    }
