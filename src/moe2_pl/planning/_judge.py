"""What a plan is really worth: queries routed inside a solution, and the report's row of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from moe2_pl.gate import route
from moe2_pl.planning._load import Pricing
from moe2_pl.planning._results import CategoryRow, FrontierRow
from moe2_pl.planning._routers import Planner, Router
from moe2_pl.pool import Costs, utilisation
from moe2_pl.selection import Budget, SelectionProblem, Solution

__all__ = ["Queries", "Realised", "best_single", "half_width", "paired"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Realised:
    """Queries, routed.

    Args:
        choice: [n] the expert that answers.
        score: [n].
        energy_j: [n] joules, the fleet's idle included.
        latency_s: [n].
        utilisation: [D + links] ρ of each device, then of each shared link.
        latency_range_s: [2] between which the mean latency lies if every device is as fast as nine in ten published
            speeds allow; NaN where some device was not compared.
    """

    choice: Ints
    score: Floats
    energy_j: Floats
    latency_s: Floats
    utilisation: Floats
    latency_range_s: Floats


@dataclass(frozen=True, eq=False)
class Queries:
    """Queries of one pool to judge deployments by: held out for what is reported, validation for what is chosen.

    Args:
        score: [n, N] per expert.
        category: [n].
        costs: of the n queries.
        planner: pool, category means and constraints.
        pricing: of devices that would be too busy.
        probability: [n, N, K] of each option, where every query is multiple choice.
        label: [n] the right option, likewise.
    """

    score: Floats
    category: Ints
    costs: Costs
    planner: Planner
    pricing: Pricing
    probability: Floats | None = None
    label: Ints | None = None
    _kept: dict[tuple[int, bytes, bytes], tuple[Floats, Realised]] = field(default_factory=dict)

    def under_load(self, router: Router, solution: Solution) -> Realised:
        """:meth:`realise` with the router's rank, less the price of every device's busy seconds.

        Every table asks for the same deployments, so each is realised once and kept.
        """
        key = (id(router.rank), solution.mask.tobytes(), solution.allowed.tobytes())
        if key not in self._kept:
            prices = self.pricing.of(router, solution)
            busy_s, device = self.costs.busy_s, self.planner.pool.device_index
            penalty = None if prices is None else prices.penalty(busy_s, device)
            # The rank is kept too: the number of an object is free for others once it is gone.
            self._kept[key] = router.rank, self.realise(router.rank, solution, penalty)
        return self._kept[key][1]

    def realise(self, rank: Floats, solution: Solution, penalty: Floats | None = None) -> Realised:
        """Route every query to the allowed expert with the largest ``rank`` − ``penalty`` [n, N].

        Ties go to fewer joules.
        """
        allowed = solution.allowed[self.category]
        energy_j = self.planner.energy_j[self.category]
        routing = route(
            torch.from_numpy(rank),
            torch.from_numpy(allowed),
            energy_j=torch.from_numpy(energy_j),
            penalty=None if penalty is None else torch.from_numpy(penalty),
        )
        return self._of(routing.expert[:, 0].numpy(), solution.idle_j, solution.mask)

    def at_random(self, solution: Solution) -> Realised:
        """Send every query to one of the experts allowed for it, each as likely as the others."""
        chance = np.random.default_rng(0).random((len(self.category), self.score.shape[1]))
        return self.realise(chance, solution)

    def ensemble(self, solution: Solution | None = None) -> Realised | None:
        """All experts answer every query, and their mean probabilities choose; None without probabilities.

        Args:
            solution: whose experts; None for all that there are.
        """
        if self.probability is None or self.label is None:
            return None
        pool, rate = self.planner.pool, self.planner.queries_per_s
        if solution is None:
            mask, idle_j = np.ones(len(pool.experts), dtype=bool), pool.all_idle_w / rate
        else:
            mask, idle_j = solution.mask, solution.idle_j
        chosen = self.probability[:, mask].mean(axis=1).argmax(axis=1)
        got = self._of(np.full(len(self.label), mask.argmax()), idle_j, mask, together=True)
        return replace(got, score=(chosen == self.label).astype(np.float64))

    def everything(self, rank: Floats) -> Realised:
        """Route with all experts deployed and no limit: neither memory nor that of a box one setting is used."""
        mask = np.ones(rank.shape[1], dtype=bool)
        idle_j = self.planner.pool.all_idle_w / self.planner.queries_per_s
        energy_j = torch.from_numpy(self.planner.energy_j[self.category])
        routing = route(torch.from_numpy(rank), torch.from_numpy(mask), energy_j=energy_j)
        return self._of(routing.expert[:, 0].numpy(), idle_j, mask)

    def single(self, expert: int) -> Realised:
        """Send every query to one expert, deployed alone."""
        mask = np.arange(self.score.shape[1]) == expert
        idle_j = (
            float(self.planner.pool.idle_w[self.planner.pool.device_index[expert]])
            / self.planner.queries_per_s
        )
        return self._of(np.full(len(self.category), expert), idle_j, mask)

    def _of(
        self, choice: Ints, idle_j: float, mask: NDArray[np.bool_], *, together: bool = False
    ) -> Realised:
        rows = np.arange(len(choice))
        active = self.planner.energy_model == "active"
        if active or together:
            # All of S answers every query and the slowest is waited for.
            energy_j = self.costs.energy_j[:, mask].sum(1) + (0.0 if active else idle_j)
            latency_s = self.costs.latency_s[:, mask].max(1) + self.planner.join_s[mask.sum()]
            work = [np.full(len(choice), j) for j in np.flatnonzero(mask)]
        else:
            energy_j = idle_j + self.costs.energy_j[rows, choice]
            latency_s = self.costs.latency_s[rows, choice]
            work = [choice]
        rho = sum(self._utilisation(c) for c in work)
        error = self.costs.speed_error[choice]
        span_s = np.array([(latency_s / (1 + error)).mean(), (latency_s / (1 - error)).mean()])
        return Realised(
            choice, self.score[rows, choice], energy_j, latency_s, np.asarray(rho), np.asarray(span_s)
        )

    def _utilisation(self, choice: Ints) -> Floats:
        pool, rate = self.planner.pool, self.planner.queries_per_s
        of_devices = utilisation(self.costs.busy_s, choice, pool.device_index, len(pool.devices), rate)
        # Devices without a shared link stand on one more, which nothing is sent over.
        links = len(pool.network.links)
        link = np.where(pool.link_index < 0, links, pool.link_index)[pool.device_index]
        of_links = utilisation(self.costs.link_s, choice, link, links + 1, rate)
        return np.concatenate([of_devices, of_links[:links]])

    def frontier_row(
        self,
        name: str,
        budget: Budget,
        solution: Solution,
        routers: Mapping[str, Router],
        others: Mapping[str, Solution],
    ) -> FrontierRow:
        """The report's row of MoE²'s solution, beside the baselines under the same budget.

        Args:
            name: of the budget.
            budget: the limits.
            solution: MoE²'s.
            routers: ``moe2``, ``lookup`` and, where families are known, ``family_oracle``.
            others: the baselines' own solutions, by the same names.
        """
        energy, latency = self._limits(budget)
        if not solution.experts:
            return FrontierRow.empty(name, _common(energy), _common(latency), solution.status)
        moe2 = self.under_load(routers["moe2"], solution)
        free = self.realise(routers["moe2"].rank, solution)
        prices = self.pricing.of(routers["moe2"], solution)
        on_subset = self.under_load(routers["lookup"], solution)
        single = best_single(routers["lookup"].problem, budget)
        scores = {
            other: float(self.under_load(routers[other], found).score.mean()) if found.experts else np.nan
            for other, found in others.items()
        }
        pool = self.planner.pool
        return FrontierRow(
            budget=name,
            energy_budget_j=_common(energy),
            latency_budget_s=_common(latency),
            status=solution.status,
            planned=solution.value,
            gap=solution.gap,
            experts=solution.experts,
            devices=tuple(pool.device_names[d] for d in solution.devices),
            score=float(moe2.score.mean()),
            score_half_width=half_width(moe2.score),
            energy_j=float(moe2.energy_j.mean()),
            latency_s=float(moe2.latency_s.mean()),
            latency_range_s=(float(moe2.latency_range_s[0]), float(moe2.latency_range_s[1])),
            utilisation={pool.device_names[d]: float(moe2.utilisation[d]) for d in solution.devices}
            | dict(zip(pool.network.links, moe2.utilisation[len(pool.devices) :].tolist(), strict=True)),
            best_single="" if single is None else pool.names[single],
            best_single_score=np.nan if single is None else float(self.score[:, single].mean()),
            lookup_score=scores["lookup"],
            family_oracle_score=scores.get("family_oracle", np.nan),
            lookup_on_subset_score=float(on_subset.score.mean()),
            prices={}
            if prices is None
            else {
                pool.device_names[d]: float(prices.per_busy_s[d]) for d in np.flatnonzero(prices.per_busy_s)
            },
            load_loss=float(free.score.mean() - moe2.score.mean()),
            categories=tuple(
                self._category_row(c, energy[c], latency[c], solution, moe2, on_subset)
                for c in range(len(self.planner.categories))
            ),
        )

    def _limits(self, budget: Budget) -> tuple[Floats, Floats]:
        names = self.planner.categories
        return budget.energy_limits(names), budget.latency_limits(names)

    def _category_row(
        self, c: int, energy_j: float, latency_s: float, solution: Solution, moe2: Realised, lookup: Realised
    ) -> CategoryRow:
        here = self.category == c
        names = self.planner.pool.names
        share = np.bincount(moe2.choice[here], minlength=len(names)) / max(here.sum(), 1)
        return CategoryRow(
            category=self.planner.categories[c],
            energy_budget_j=float(energy_j),
            latency_budget_s=float(latency_s),
            allowed=tuple(names[j] for j in np.flatnonzero(solution.allowed[c])),
            score=_mean(moe2.score[here]),
            lookup_score=_mean(lookup.score[here]),
            energy_j=_mean(moe2.energy_j[here]),
            latency_s=_mean(moe2.latency_s[here]),
            shares={names[j]: float(share[j]) for j in np.flatnonzero(share)},
            queries=int(here.sum()),
            kept_out={
                names[j]: (
                    float(solution.idle_j + self.planner.energy_j[c, j]),
                    float(self.planner.latency_s[c, j]),
                )
                for j in np.flatnonzero(solution.mask & ~solution.allowed[c])
            },
        )


def best_single(problem: SelectionProblem, budget: Budget) -> int | None:
    """The expert with the largest planned value of those feasible alone; None where none is.

    Placements of one model are worth the same; of these the one with the fewest joules.
    """
    alone = [(-problem.value([j], budget), problem.joules([j], budget), j) for j in range(problem.n_experts)]
    least, _, best = min(alone)
    return best if np.isfinite(least) else None


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def half_width(values: Floats) -> float:
    """Half of the normal 95 % interval of a mean."""
    return float(1.96 * values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def paired(got: Realised, other: Realised) -> tuple[float, float]:
    """By how much the score is above another's on the same queries, and half of the 95 % interval of that."""
    difference = got.score - other.score
    return float(difference.mean()), half_width(difference)


def _common(limits: Floats) -> float:
    """The one limit of all categories; NaN where they differ."""
    return float(limits[0]) if (limits == limits[0]).all() else float("nan")
