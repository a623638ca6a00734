"""The answer of a sweep over budgets: no winner, but what each budget buys, seeds averaged."""

import math

from moe2_pl.report._comparison._choice import plus_minus
from moe2_pl.report._comparison._data import Comparison, Variant, mean
from moe2_pl.report._format import quantity, score

__all__ = ["trade_heading", "trade_sentences", "trade_tiles"]

_LEAST = 0.01  # of the joules or seconds, a saving that is worth a sentence


def trade_heading(c: Comparison) -> str:
    """The range of scores in one line."""
    low, high = _range([budget.score for budget in c.variants()])
    averaged = " (mean over seeds)" if c.seeds > 1 else ""
    return f"Held-out score {score(low)} to {score(high)}, depending on the budget{averaged}"


def trade_tiles(c: Comparison) -> tuple[tuple[str, str, str], ...]:
    """(label, figure, note) of the ranges that the budgets span."""
    budgets = c.variants()
    note = f"{len(budgets)} budgets" + (", mean over seeds" if c.seeds > 1 else "")
    scores = _range([budget.score for budget in budgets])
    joules = _range([budget.energy_j for budget in budgets])
    seconds = _range([budget.latency_s for budget in budgets])
    return (
        ("held-out score", " to ".join(map(score, scores)), note),
        ("energy per query", " to ".join(quantity(value, "J") for value in joules), note),
        ("latency per query", " to ".join(quantity(value, "s") for value in seconds), note),
    )


def trade_sentences(c: Comparison) -> tuple[str, ...]:
    """The highest score, and which budgets come near it with noticeably fewer joules or seconds."""
    budgets = c.variants()
    top = max(budgets, key=lambda budget: (budget.score, -budget.energy_j))
    half = mean(job.row.score_half_width for job in top.jobs if job.row)
    half = 0.0 if math.isnan(half) else half
    near = [budget for budget in budgets if budget.score >= top.score - half]
    within = f"Within that score's 95 % interval (± {score(half)})" if half else "With the same score"
    thrifty = min(near, key=lambda budget: (budget.energy_j, -budget.score))
    swift = min(near, key=lambda budget: (budget.latency_s, -budget.score))
    needs: dict[str, tuple[Variant, list[str]]] = {}
    for budget, what, value, most in (
        (thrifty, "joules", thrifty.energy_j, top.energy_j),
        (swift, "seconds", swift.latency_s, top.latency_s),
    ):
        if value < (1 - _LEAST) * most:
            said = f"the fewest {what}, {100 * (1 - value / most):.0f} % less"
            needs.setdefault(_named(budget), (budget, []))[1].append(said)
    return (
        f"The highest held-out score is that of {_named(top)}: {_figures(top)}.",
        *(
            f"{within}, {name} needs {', and '.join(said)}: {_figures(budget)}."
            for name, (budget, said) in needs.items()
        ),
    )


def _range(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)


def _named(budget: Variant) -> str:
    numbers = [job.job for job in budget.jobs]
    if len(numbers) == 1:
        return f"job {numbers[0]} ({budget.name})"
    return f"{budget.name} (jobs {', '.join(numbers)})"


def _figures(budget: Variant) -> str:
    joules, seconds = quantity(budget.energy_j, "J"), quantity(budget.latency_s, "s")
    return f"{plus_minus(budget, 'score')} at {joules} and {seconds} a query"
