"""The results of planning, as plain values: what reports show, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from moe2_pl.planning._json import from_json, to_json

if TYPE_CHECKING:
    from moe2_pl.certificate import Certificate

__all__ = [
    "BaselineRow",
    "CategoryRow",
    "ContrastRow",
    "FrontierRow",
    "LoadRow",
    "PartRow",
    "Results",
    "StepRow",
    "SummaryRow",
]


@dataclass(frozen=True)
class CategoryRow:
    """One category under one budget.

    Args:
        category: its name.
        energy_budget_j, latency_budget_s: the category's own limits; inf where there is none.
        allowed: experts of the subset that meet them.
        score: realised, held out.
        lookup_score: the lookup's on the same subset.
        energy_j, latency_s: means of the routed queries (idle included in the energy).
        shares: expert → share of the category's queries routed to it; sums to 1.
        queries: held-out queries of the category.
        kept_out: expert of the subset that is not allowed → the joules (idle included) and the seconds that the
            category's queries would take with it on average, one of them above its limit.
    """

    category: str
    energy_budget_j: float
    latency_budget_s: float
    allowed: tuple[str, ...]
    score: float
    lookup_score: float
    energy_j: float
    latency_s: float
    shares: Mapping[str, float]
    queries: int
    kept_out: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class FrontierRow:
    """The best deployment for one budget, and the baselines under the same budget.

    Infeasible budgets keep their row: status ``infeasible``, no experts, NaN figures.

    Args:
        budget: its name: ``tight``, ``medium``, ``loose``, ``unlimited``, ``chosen``, or ``grid`` for a cell.
        energy_budget_j, latency_budget_s: the limits; inf for none, NaN where they differ between categories.
        status: optimal, gap, epsilon, heuristic or infeasible.
        planned: planned value of the subset on validation queries (score, or nats for ``mixture``).
        gap: proven bound − planned value.
        experts, devices: the subset and the devices that it switches on.
        score: realised on held-out queries.
        energy_j, latency_s: means of the routed queries (idle included in the energy).
        utilisation: device or shared link → ρ; 1 or more is overloaded.
        best_single: name of the best single expert able to serve every category ('' where none is).
        best_single_score, lookup_score, family_oracle_score: held-out scores under the same budget, each
            with the subset it chose itself; NaN where there is none (no families known, say).
        lookup_on_subset_score: the lookup's score on this row's subset.
        categories: one row per category.
        score_half_width: half of the 95 % interval of ``score``, 1.96 standard errors over held-out queries.
        prices: device → what a busy second costs in routing, in score; empty where no device is too busy.
        load_loss: held-out score that these prices cost.
        latency_range_s: where the mean latency lies if each device is as fast or as slow as nine in ten published
            speeds of its kind; NaN where some device was not compared.
    """

    budget: str
    energy_budget_j: float
    latency_budget_s: float
    status: str
    planned: float
    gap: float
    experts: tuple[str, ...]
    devices: tuple[str, ...]
    score: float
    energy_j: float
    latency_s: float
    utilisation: Mapping[str, float]
    best_single: str
    best_single_score: float
    lookup_score: float
    family_oracle_score: float
    lookup_on_subset_score: float
    categories: tuple[CategoryRow, ...] = ()
    score_half_width: float = float("nan")
    prices: Mapping[str, float] = field(default_factory=dict)
    load_loss: float = 0.0
    latency_range_s: tuple[float, float] = (float("nan"), float("nan"))

    @classmethod
    def empty(
        cls, budget: str, energy_budget_j: float, latency_budget_s: float, status: str = "infeasible"
    ) -> "FrontierRow":
        """The row of a budget for which there is no subset: its limits, and NaN for every figure."""
        none = float("nan")
        return cls(
            budget=budget,
            energy_budget_j=energy_budget_j,
            latency_budget_s=latency_budget_s,
            status=status,
            planned=none,
            gap=none,
            experts=(),
            devices=(),
            score=none,
            energy_j=none,
            latency_s=none,
            utilisation={},
            best_single="",
            best_single_score=none,
            lookup_score=none,
            family_oracle_score=none,
            lookup_on_subset_score=none,
        )

    @property
    def feasible(self) -> bool:
        """Whether some subset meets the budget."""
        return self.status != "infeasible"

    @property
    def overloaded(self) -> tuple[str, ...]:
        """Devices and links with ρ ≥ 1."""
        return tuple(name for name, rho in self.utilisation.items() if rho >= 1)


@dataclass(frozen=True)
class SummaryRow:
    """One line of the table that a run ends with: a router, its held-out figures, and its experts."""

    name: str
    score: float
    energy_j: float
    latency_s: float
    utilisation: float
    experts: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class BaselineRow:
    """One way to choose a subset and to route in it, under one budget, judged on held-out queries.

    Args:
        baseline: its name.
        budget: of the presets, or the chosen one.
        score, energy_j, latency_s: means over the queries, and over the subsets where there are several.
        experts: the subset; empty where there are several.
        subsets: how many.
    """

    baseline: str
    budget: str
    score: float
    energy_j: float
    latency_s: float
    experts: tuple[str, ...]
    subsets: int = 1


@dataclass(frozen=True)
class ContrastRow:
    """The chosen deployment beside an alternative, on the same held-out queries.

    Args:
        against: ``no budget``, ``leaner``, or the name of a router that keeps the chosen budget.
        score, energy_j, latency_s: the alternative's means.
        difference: the chosen deployment's score less the alternative's.
        half_width: half of the paired 95 % interval of ``difference``.
        experts: the alternative's subset.
    """

    against: str
    score: float
    energy_j: float
    latency_s: float
    difference: float
    half_width: float
    experts: tuple[str, ...]


@dataclass(frozen=True)
class PartRow:
    """The chosen deployment with one change, everything else kept, on the same held-out queries.

    The figures are NaN where the change cannot be: the row then says why.

    Args:
        change: ``without`` a device or an expert, or ``with`` one more expert.
        devices: that are left out, or the one that the expert stands on.
        experts: what is left out, or the one that is added.
        whole: whether devices are left out, not one of several experts on one.
        required: whether the configuration requires one that would be left out.
        room: whether what would be added finds memory, its box in this inputs, and a free place among the experts.
        idle_j: what its device would add to a query by being on, J; 0 where it is on.
        unserved: categories that nobody would be left for.
        difference: score with the change, less the chosen deployment's.
        half_width: half of the paired 95 % interval of ``difference``.
        energy_j, latency_s: means with the change, less the chosen deployment's.
        overloads: devices and links that only then have ρ ≥ 1.
    """

    change: Literal["without", "with"]
    devices: tuple[str, ...]
    experts: tuple[str, ...]
    whole: bool = False
    required: bool = False
    room: bool = True
    idle_j: float = 0.0
    unserved: tuple[str, ...] = ()
    difference: float = float("nan")
    half_width: float = float("nan")
    energy_j: float = float("nan")
    latency_s: float = float("nan")
    overloads: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadRow:
    """The chosen deployment at one arrival rate, simulated.

    Args:
        queries_per_s: arrivals at the whole fleet.
        mean_s, p95_s: seconds to the whole answer, waiting included: their mean, and what 95 % stay below.
    """

    queries_per_s: float
    mean_s: float
    p95_s: float


@dataclass(frozen=True)
class StepRow:
    """The next step of the frontier from the chosen budget in one limit.

    Args:
        limit: ``energy_j`` or ``latency_s``.
        more: what has to be added to every category's limit, J or s a query.
        gain: growth of the planned value.
        experts: the subset there.
        difference: its held-out score, less the chosen deployment's.
        half_width: half of the paired 95 % interval of ``difference``.
        energy_j, latency_s: its means.
    """

    limit: str
    more: float
    gain: float
    experts: tuple[str, ...]
    difference: float
    half_width: float
    energy_j: float
    latency_s: float


@dataclass(frozen=True)
class Results:
    """Everything a report shows.

    Args:
        title: heading.
        pool: name of the pool.
        objective: the gate's objective; ``planned_unit`` says what its planned values are in (score, nats).
        chosen: the row of the budget that the run was asked for.
        presets: rows of tight, medium, loose and unlimited.
        grid: rows of the swept grid, row-major over ascending energy then ascending latency; may be empty.
        summary: the closing table.
        experts: expert → {device, model_id, bits, weight_gb, memory_gb}.
        devices: device → {memory_gb, idle_w, active_w, source}.
        cost_labels: expert → measured, modelled or published.
        queries_per_s: arrival rate that ρ and idle energy are for.
        load: the chosen deployment's latency at several arrival rates, ascending, all below the one at which its
            busiest device never rests; empty where it is infeasible or all of it answers every query.
        tariff: ``usd_per_kwh`` and ``co2_g_per_kwh``, assumed.
        steps: what a little more of each limit would buy; empty where nothing, or for utilities that are not
            monotone.
        baselines: MoE² and what the paper compares it with, under each preset and the chosen budget.
        contrasts: the chosen deployment beside no budget, a leaner deployment, the lookup, the family oracle and the
            best single expert, as far as these exist.
        parts: the chosen deployment without each of its devices and experts, and with each further expert.
        expert_scores: expert, or model where it has several placements → category → mean held-out score.
        calibration: expert, or model where it has several placements → (mean predicted, mean realised) held-out score.
        provenance: what made the figures: source, licence, hashes, seeds, versions, command.
        notes: sentences that must stand beside the figures (assumed output lengths, budgets are on means, …).
        timings_s: stage → seconds.
        certificate: what reusing the gate costs, measured; None where it was off.
        partial: whether planning or the certificate was interrupted.
        validation_score: mean score of validation queries, routed in the chosen deployment: what settings may be chosen
            by, since nothing held out is read.
    """

    title: str
    pool: str
    objective: str
    planned_unit: str
    chosen: FrontierRow
    presets: tuple[FrontierRow, ...]
    grid: tuple[FrontierRow, ...]
    summary: tuple[SummaryRow, ...]
    experts: Mapping[str, Mapping[str, object]]
    devices: Mapping[str, Mapping[str, object]]
    cost_labels: Mapping[str, str]
    queries_per_s: float
    load: tuple[LoadRow, ...]
    tariff: Mapping[str, float]
    steps: tuple[StepRow, ...]
    baselines: tuple[BaselineRow, ...]
    contrasts: tuple[ContrastRow, ...]
    parts: tuple[PartRow, ...]
    expert_scores: Mapping[str, Mapping[str, float]]
    calibration: Mapping[str, tuple[float, float]]
    provenance: Mapping[str, str]
    notes: tuple[str, ...] = ()
    timings_s: Mapping[str, float] = field(default_factory=dict)
    certificate: "Certificate | None" = None
    validation_score: float = float("nan")
    partial: bool = False

    def to_json(self) -> str:
        """All of it as strict JSON: a report can be written from it again without solving."""
        return to_json(self)

    @classmethod
    def from_json(cls, text: str) -> "Results":
        """The results that :meth:`to_json` wrote.

        Raises:
            DataError: not JSON, or not of results.
        """
        from moe2_pl.certificate import Certificate

        return from_json(cls, text, Certificate=Certificate)

    def beside(self, alternative: str) -> ContrastRow | None:
        """The chosen deployment beside an alternative of this name; None where there is no such."""
        return next((row for row in self.contrasts if row.against == alternative), None)
