"""Report data as a run on a pool of nine experts would give it, from a formula instead of a solver."""

import math
from dataclasses import replace

import pytest

from moe2_pl.certificate import Certificate, Monotonicity, RegretRow
from moe2_pl.planning import (
    BaselineRow,
    CategoryRow,
    ContrastRow,
    FrontierRow,
    LoadRow,
    PartRow,
    Results,
    StepRow,
    SummaryRow,
)

INF, NAN = math.inf, math.nan

# expert → (device, bits, weights in GB, skill, joules, seconds)
EXPERTS = {
    "nemotron-51b": ("orin_a", 4.5, 28.9, 0.60, 620.0, 11.0),
    "chatqa-8b": ("orin_a", 4.5, 4.5, 0.42, 95.0, 1.9),
    "nemotron-49b": ("orin_b", 4.5, 28.0, 0.57, 600.0, 10.4),
    "gemma-2-9b": ("orin_b", 8.0, 9.2, 0.50, 190.0, 3.8),
    "chatqa-70b": ("orin_c", 4.5, 39.7, 0.53, 810.0, 14.6),
    "llama-3.1-8b": ("rtx_a", 8.0, 8.0, 0.51, 330.0, 0.9),
    "qwen2.5-7b": ("rtx_a", 8.0, 7.6, 0.52, 310.0, 0.8),
    "codegemma-7b": ("rtx_b", 8.0, 8.5, 0.33, 340.0, 0.9),
    "mistral-7b": ("rtx_b", 8.0, 7.2, 0.44, 305.0, 0.8),
}
CATEGORIES = {"assistant": 450, "tutor": 836, "coder": 190, "puzzles": 50}
BASELINES = (
    "MoE²",
    "lookup",
    "best single expert",
    "single device",
    "greedy",
    "random subset",
    "no gate",
    "all experts",
)
ENERGIES = [200.0 * 1.25**i for i in range(12)]
LATENCIES = [1.0 * 1.4**i for i in range(12)]


def frontier_row(budget: str, energy: float, latency: float) -> FrontierRow:
    """The row of one budget: whatever fits is chosen, and the score grows with what is chosen."""
    chosen: list[str] = []
    idle = 0.0
    for name, (device, _, _, _, joules, seconds) in EXPERTS.items():
        more = 0.0 if any(EXPERTS[other][0] == device for other in chosen) else 90.0
        if seconds <= latency and idle + more + joules <= energy:
            chosen.append(name)
            idle += more
    if not chosen:
        return FrontierRow.empty(budget, energy, latency)
    best = max(EXPERTS[name][3] for name in chosen)
    score = best + 0.012 * (len(chosen) - 1) ** 0.8
    devices = tuple(dict.fromkeys(EXPERTS[name][0] for name in chosen))
    utilisation = {
        device: sum(EXPERTS[n][5] for n in chosen if EXPERTS[n][0] == device) * 0.084 for device in devices
    }
    return FrontierRow(
        budget=budget,
        energy_budget_j=energy,
        latency_budget_s=latency,
        status="gap" if len(chosen) == 7 else "optimal",
        planned=score + 0.004,
        gap=0.0021 if len(chosen) == 7 else 0.0,
        experts=tuple(chosen),
        devices=devices,
        score=score,
        energy_j=idle + sum(EXPERTS[n][4] for n in chosen) / len(chosen),
        latency_s=sum(EXPERTS[n][5] for n in chosen) / len(chosen),
        utilisation=utilisation,
        best_single=max(chosen, key=lambda n: EXPERTS[n][3]),
        best_single_score=best,
        lookup_score=best + 0.6 * (score - best),
        family_oracle_score=score + 0.009,
        lookup_on_subset_score=best + 0.55 * (score - best),
        categories=tuple(category_row(c, energy, latency, tuple(chosen), score, idle) for c in CATEGORIES),
    )


def category_row(
    name: str, energy: float, latency: float, chosen: tuple[str, ...], score: float, idle: float
) -> CategoryRow:
    """One category's part: its shares fall with the distance from an expert of its own."""
    at = list(CATEGORIES).index(name)
    # The first expert is too slow for the puzzles.
    allowed = chosen[1:] if name == "puzzles" and len(chosen) > 1 else chosen
    weight = {e: 1.0 / (1 + (i - 2 * at) % len(chosen)) ** 2 for i, e in enumerate(chosen) if e in allowed}
    shares = {e: w / sum(weight.values()) for e, w in weight.items()}
    offset = (0.09, -0.02, -0.11, -0.28)[at]
    return CategoryRow(
        category=name,
        energy_budget_j=energy,
        latency_budget_s=latency,
        allowed=allowed,
        score=score + offset,
        lookup_score=score + offset - (0.004, 0.021, 0.008, -0.003)[at],
        energy_j=idle + sum(shares[e] * EXPERTS[e][4] for e in allowed),
        latency_s=sum(shares[e] * EXPERTS[e][5] for e in allowed),
        shares=shares,
        queries=CATEGORIES[name],
        kept_out={e: (energy, 3 * latency) for e in chosen if e not in allowed},
    )


def report_data() -> Results:
    """A whole run: four presets, a 12 × 12 grid, one overloaded device."""
    presets = (
        frontier_row("tight", 420.0, 2.0),
        frontier_row("medium", 900.0, 12.0),
        frontier_row("loose", 1500.0, 15.0),
        frontier_row("unlimited", INF, INF),
    )
    medium = presets[1]
    return Results(
        title="MoE² on jetson_mix",
        pool="jetson_mix",
        objective="competence",
        planned_unit="score",
        chosen=replace(medium, budget="chosen"),
        presets=presets,
        grid=tuple(frontier_row("grid", e, x) for e in ENERGIES for x in LATENCIES),
        summary=(
            SummaryRow(
                "best single", medium.best_single_score, 710.0, 11.0, 0.93, (medium.best_single,), "medium"
            ),
            SummaryRow("lookup", medium.lookup_score, 640.0, 6.1, 1.02, medium.experts),
            *(
                SummaryRow(
                    f"MoE² {p.budget}",
                    p.score,
                    p.energy_j,
                    p.latency_s,
                    max(p.utilisation.values()),
                    p.experts,
                )
                for p in presets[:3]
            ),
            SummaryRow(
                "full pool",
                presets[3].score,
                presets[3].energy_j,
                presets[3].latency_s,
                1.2,
                tuple(EXPERTS),
                "no budget",
            ),
            SummaryRow(
                "family oracle",
                medium.family_oracle_score,
                660.0,
                6.4,
                1.0,
                medium.experts,
                "knows the task family, which no router sees",
            ),
            SummaryRow("oracle", 0.861, NAN, NAN, NAN, tuple(EXPERTS), "the best expert of every query"),
        ),
        experts={
            name: {"device": device, "model_id": name, "bits": bits, "weight_gb": gb, "memory_gb": gb + 2.5}
            for name, (device, bits, gb, *_) in EXPERTS.items()
        },
        devices={
            **{
                f"orin_{x}": {
                    "memory_gb": 64,
                    "idle_w": 12.0,
                    "active_w": 60.0,
                    "source": "maker's data sheet",
                }
                for x in "abc"
            },
            **{
                f"rtx_{x}": {
                    "memory_gb": 24,
                    "idle_w": 75.0,
                    "active_w": 520.0,
                    "source": "wall power, assumed",
                }
                for x in "ab"
            },
        },
        cost_labels=dict.fromkeys(EXPERTS, "modelled") | {"chatqa-8b": "measured"},
        queries_per_s=0.07,
        load=(LoadRow(0.03, 4.1, 9.0), LoadRow(0.07, 5.25, 14.0), LoadRow(0.09, 21.0, 66.0)),
        tariff={"usd_per_kwh": 0.3, "co2_g_per_kwh": 400.0},
        baselines=tuple(
            BaselineRow(
                name, p.budget, p.score - 0.02 * i, p.energy_j, p.latency_s, p.experts, 20 if i == 5 else 1
            )
            for p in presets[:3]
            for i, name in enumerate(BASELINES)
            if p.feasible
        ),
        contrasts=tuple(
            ContrastRow(name, score, 600.0 + at, 4.0, medium.score - score, 0.011, experts)
            for at, (name, score, experts) in enumerate(
                (
                    ("no budget", presets[3].score, tuple(EXPERTS)),
                    ("leaner", medium.score - 0.004, medium.experts[1:]),
                    ("lookup", medium.lookup_score, medium.experts[:4]),
                    ("family oracle", medium.family_oracle_score, medium.experts),
                    ("best single expert", medium.best_single_score, (medium.best_single,)),
                )
            )
        ),
        parts=part_rows(medium),
        expert_scores={
            name: {c: e[3] + 0.1 * math.cos(i + 2 * j) for j, c in enumerate(CATEGORIES)}
            for i, (name, e) in enumerate(EXPERTS.items())
        },
        steps=(
            StepRow("energy_j", 120.0, 0.012, (*medium.experts, "codegemma-7b"), -0.002, 0.009, 1398.0, 5.1),
        ),
        calibration={
            name: (e[3] + 0.01 * math.sin(7 * i), e[3] - 0.012 * math.cos(5 * i))
            for i, (name, e) in enumerate(EXPERTS.items())
        },
        provenance={
            "source": "https://github.com/example/llmrouter9",
            "licence": "MIT",
            "outputs sha256": "cf8483314350ce6710ed2b3f0497e35b94918622f49430b65ba34f3fc64a3a41",
            "seed": "0",
            "split seed": "0",
            "versions": "moe2-pl 0.1.0, torch 2.13.0, lightning 2.6.0",
            "command": "python train.py expert_pool=jetson_mix budget=medium",
        },
        notes=(
            "Output lengths are assumed per task family, not recorded.",
            "Budgets bind the mean of each category, not single queries.",
        ),
        timings_s={"data": 1.2, "fit": 21.4, "sweep": 1.7, "report": 0.9},
        certificate=certificate(),
    )


def part_rows(row: FrontierRow) -> tuple[PartRow, ...]:
    """Each device of a deployment and each expert of its first one, which is required; the second one is all that
    serves two categories. Of the experts that it lacks the first finds no room.
    """
    found = []
    for at, device in enumerate(row.devices):
        here = tuple(name for name in row.experts if EXPERTS[name][0] == device)
        part = PartRow("without", (device,), here, whole=True)
        if at == 1:
            found.append(replace(part, unserved=("coder", "puzzles")))
            continue
        found.append(
            replace(part, difference=-0.03 / (at + 1), half_width=0.012, energy_j=-171.0, latency_s=0.4)
        )
        if at == 0:
            found += [PartRow("without", (device,), (name,), required=True) for name in here]
    for at, name in enumerate(name for name in EXPERTS if name not in row.experts):
        more = PartRow("with", (EXPERTS[name][0],), (name,), room=at > 0, idle_j=1000.0)
        found.append(more if at == 0 else replace(more, unserved=("tutor",)))
    return tuple(found)


def certificate() -> Certificate:
    """Two subsets of the frontier and one random one, measured quickly."""
    rows = tuple(
        RegretRow(
            kind, label, tuple(EXPERTS)[:size], 1500, 1, 0.6, 0.6 + regret, "mixture",
            regret, regret - 0.006, regret + 0.006, regret / 2, regret / 2 - 0.005, regret / 2 + 0.005,
        )
        for kind, label, size, regret in (
            ("frontier", "chosen", 4, -0.004), ("frontier", "300 J, 5 s", 2, 0.003), ("random", "1", 6, 0.007)
        )
    )  # fmt: skip
    return Certificate(
        "quick",
        rows,
        0.002,
        -0.003,
        0.007,
        Monotonicity(2295, 0.13, 0.011),
        ("<loose> & more",),
        3,
        0,
    )


@pytest.fixture(scope="session")
def data() -> Results:
    return report_data()


@pytest.fixture(scope="session")
def infeasible() -> FrontierRow:
    return frontier_row("chosen", 1.0, 0.1)
