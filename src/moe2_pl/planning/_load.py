"""A deployment under load: the prices that its routing pays, and how long its answers take at each rate."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from moe2_pl.planning._results import LoadRow
from moe2_pl.planning._routers import Planner, Router
from moe2_pl.pool import Costs, ExpertPool
from moe2_pl.selection import LoadPrices, Solution, load_prices, simulated_waiting_s

__all__ = ["Pricing", "load_curve"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Of the rate at which some device is always busy; near it queues are long and a simulation of any length is noise.
_SHARES = (0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
_ARRIVALS = 50_000
_SEED = 0


@dataclass(frozen=True, eq=False)
class Pricing:
    """Prices of busy seconds, fitted on the planning queries of every router and deployment that needs them.

    Args:
        planner: pool and rate.
        costs: of the planning queries.
        category: [n] of the planning queries.
        target: largest ρ; None for no prices.
    """

    planner: Planner
    costs: Costs
    category: Ints
    target: float | None
    _found: dict[tuple[str, bytes], LoadPrices | None] = field(default_factory=dict)

    def of(self, router: Router, solution: Solution) -> LoadPrices | None:
        """None where nothing is priced, or no routing of this deployment keeps the target."""
        if self.target is None or self.planner.energy_model == "active":
            return None
        key = (router.name, solution.allowed.tobytes())
        if key not in self._found:
            self._found[key] = load_prices(
                router.planned,
                solution.allowed[self.category],
                self.costs.busy_s,
                self.planner.pool.device_index,
                len(self.planner.pool.devices),
                self.planner.queries_per_s,
                self.target,
            )
        return self._found[key]


def load_curve(
    pool: ExpertPool, costs: Costs, choice: Ints, latency_s: Floats, utilisation: Floats, queries_per_s: float
) -> tuple[LoadRow, ...]:
    """Latency against the arrival rate, by simulation: held-out queries drawn at random, arriving at random.

    A query waits for its shared link, where it has one, and then for its device; each link's jitter is drawn.

    Args:
        pool: N experts.
        costs: of the n queries.
        choice: [n] the expert that answers each.
        latency_s: [n] of each, idle, mean jitter included.
        utilisation: [D + links] ρ at ``queries_per_s``.
        queries_per_s: the run's rate.

    Returns:
        One row for each rate below the one at which the busiest device or link never rests, the run's own among
        them.
    """
    rng = np.random.default_rng(_SEED)
    drawn = rng.integers(0, len(choice), _ARRIVALS)
    apart = np.cumsum(rng.exponential(1.0, _ARRIVALS))
    device = pool.device_index[choice[drawn]]
    busy_s, link_s = costs.busy_s[drawn, choice[drawn]], costs.link_s[drawn, choice[drawn]]
    alone_s = latency_s[drawn] + _jitter(pool, device, rng)
    breaks_at = queries_per_s / float(utilisation.max())
    rates = {share * breaks_at for share in _SHARES}
    if queries_per_s < breaks_at:
        rates.add(queries_per_s)
    rows = []
    for rate in sorted(rates):
        answered = alone_s + _waiting(pool, apart / rate, device, link_s, busy_s)
        rows.append(LoadRow(rate, float(answered.mean()), float(np.quantile(answered, 0.95))))
    return tuple(rows)


def _waiting(pool: ExpertPool, arrival_s: Floats, device: Ints, link_s: Floats, busy_s: Floats) -> Floats:
    """Seconds that each query waits, for its shared link and for its device, [n]."""
    link = pool.link_index[device]
    sent = np.flatnonzero(link >= 0)
    waiting = np.zeros(len(device))
    if len(sent):
        links = len(pool.network.links)
        waiting[sent] = simulated_waiting_s(arrival_s[sent], link[sent], link_s[sent], links)
    at_device_s = arrival_s + waiting + link_s
    order = np.argsort(at_device_s, kind="stable")
    queued = simulated_waiting_s(at_device_s[order], device[order], busy_s[order], len(pool.devices))
    waiting[order] += queued
    return waiting


def _jitter(pool: ExpertPool, device: Ints, rng: np.random.Generator) -> Floats:
    """How far each query's random delay is from its mean, [n] seconds."""
    total = np.zeros(len(device))
    for d in np.unique(device):
        here = np.flatnonzero(device == d)
        for link in pool.way(int(d)):
            if link.jitter_s:
                total[here] += link.jitter_s * (rng.exponential(1.0, len(here)) - 1)
    return total
