"""The chosen deployment beside its alternatives, query by query: what the budget costs and what the gate is worth."""

from collections.abc import Iterator, Mapping

from moe2_pl.planning._budgets import UNLIMITED
from moe2_pl.planning._judge import Queries, Realised, best_single, paired
from moe2_pl.planning._results import ContrastRow
from moe2_pl.planning._routers import Router
from moe2_pl.selection import Budget, Solution

__all__ = ["contrast_rows"]


def contrast_rows(
    held_out: Queries,
    routers: Mapping[str, Router],
    solutions: Mapping[str, Mapping[str, Solution]],
    chosen: str,
    budget: Budget,
    leaner: Solution | None,
) -> Iterator[ContrastRow]:
    """MoE² under the chosen budget, less each alternative; an alternative without a feasible subset has no row.

    Args:
        held_out: queries to judge by.
        routers: ``moe2``, ``lookup`` and, where families are known, ``family_oracle``.
        solutions: router → budget → its solution, for the chosen budget and the unlimited one.
        chosen, budget: the chosen budget's name and limits.
        leaner: a deployment with fewer parts, where there is one that does nearly as well.
    """
    ours = held_out.under_load(routers["moe2"], solutions["moe2"][chosen])

    def row(against: str, experts: tuple[str, ...], theirs: Realised) -> ContrastRow:
        difference, half = paired(ours, theirs)
        return ContrastRow(
            against,
            score=float(theirs.score.mean()),
            energy_j=float(theirs.energy_j.mean()),
            latency_s=float(theirs.latency_s.mean()),
            difference=difference,
            half_width=half,
            experts=experts,
        )

    free = solutions["moe2"][UNLIMITED]
    if free.experts:
        yield row("no budget", free.experts, held_out.under_load(routers["moe2"], free))
    if leaner is not None:
        yield row("leaner", leaner.experts, held_out.under_load(routers["moe2"], leaner))
    for key, name in (("lookup", "lookup"), ("family_oracle", "family oracle")):
        if key in routers and solutions[key][chosen].experts:
            found = solutions[key][chosen]
            yield row(name, found.experts, held_out.under_load(routers[key], found))
    single = best_single(routers["lookup"].problem, budget)
    if single is not None:
        yield row("best single expert", (held_out.planner.pool.names[single],), held_out.single(single))
