"""The evaluation of a frozen gate: plan every budget on validation queries, realise it on held-out ones.

Nothing here trains: one gate's predictions serve every subset and every budget.
"""

import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from moe2_pl.cli._budgets import PRESETS, UNLIMITED, budget_grid, configured_budget, preset_budgets
from moe2_pl.cli._certificate import CertificateOptions, certified
from moe2_pl.cli._findings import Findings, findings
from moe2_pl.cli._interrupts import not_lost
from moe2_pl.cli._load import Pricing
from moe2_pl.cli._planning import Planner, Router, outcome_costs, table_router
from moe2_pl.cli._realise import HeldOut, Realised, best_single
from moe2_pl.cli._sweep import next_steps, plan_budgets
from moe2_pl.errors import ConfigError, DataError, InfeasibleBudgetError
from moe2_pl.gate import GatingModule, route
from moe2_pl.outputs import ExpertOutputs, ExpertOutputsDataModule, log_likelihood
from moe2_pl.pool import Costs, ExpertPool
from moe2_pl.report import ReportData, StepRow, SummaryRow
from moe2_pl.selection import (
    Budget,
    FacilityLocation,
    MixtureLikelihood,
    Solution,
    solve,
)

__all__ = ["Setting", "prepare", "report_data"]

Config = Mapping[str, Any]


_INTERRUPTED = (
    "The run was interrupted: rows with status 'gap' hold the best subset found by then; the certificate is missing.",
)


@dataclass(frozen=True, eq=False)
class Setting:
    """Everything about a run that does not depend on the gate.

    Args:
        pool: N experts.
        data: the DataModule, loaded.
        outputs: its outputs, one column per model of the pool.
        costs: [n, N] of all queries.
        planner: category means and constraints.
        baselines: ``lookup`` and, where families are known, ``family_oracle``.
        budgets: name → budget: the presets, and the chosen one.
        chosen: name of the budget that was asked for.
        grid: budgets of the sweep.
        tariff: ``usd_per_kwh`` and ``co2_g_per_kwh``.
        max_utilisation: the ρ that routing keeps every device under where it can; None for whatever comes.
    """

    pool: ExpertPool
    data: ExpertOutputsDataModule
    outputs: ExpertOutputs
    costs: Costs
    planner: Planner
    baselines: Mapping[str, Router]
    budgets: Mapping[str, Budget]
    chosen: str
    grid: list[Budget]
    tariff: Mapping[str, float]
    max_utilisation: float | None


def prepare(config: Config, pool: ExpertPool, data: ExpertOutputsDataModule) -> Setting:
    """Costs, baselines and budgets of a run; refuses an infeasible budget before anything is trained.

    Args:
        config: ``expert_pool``, ``traffic``, ``solver``, ``budget``, ``tariff`` and ``sweep`` of the configuration.
        pool: N experts.
        data: outputs of at least the pool's models.

    Raises:
        InfeasibleBudgetError: what each category needs alone, and by how much the budget would have to grow.
    """
    target = config["traffic"]["max_utilisation"]
    if target is not None and not 0 < target <= 1:
        raise ConfigError(f"traffic.max_utilisation is {target}; need a share above 0 and at most 1, or null")
    settings = config["expert_pool"]
    outputs = data.outputs.select_experts(pool.model_ids)
    costs = outcome_costs(pool, outputs, settings["output_tokens"])
    train, validation, test = data.split
    planner = Planner.from_costs(
        pool,
        outputs,
        costs,
        np.concatenate([train, validation]),
        queries_per_s=config["traffic"]["queries_per_s"],
        energy_model=settings["energy_model"],
        required=tuple(settings["required"]),
        excluded=tuple(settings["excluded"]),
        max_experts=settings["max_experts"],
    )
    parts = (train, validation, test)
    hidden = data.hparams["category"] == "unknown"
    kind = np.zeros(len(outputs), dtype=np.int64) if hidden else outputs.category
    baselines = {"lookup": table_router("lookup", planner, outputs, parts, kind)}
    if outputs.family is not None:
        baselines["family_oracle"] = table_router("family oracle", planner, outputs, parts, outputs.family)
    problem = baselines["lookup"].problem
    budgets = preset_budgets(problem)
    chosen, budget = configured_budget(config["budget"], budgets, planner.queries_per_s, config["tariff"])
    found = solve(problem, budget, config["solver"]["name"])
    if found.status == "infeasible":
        raise InfeasibleBudgetError(f"budget '{chosen}': {found.infeasibility}")
    grid = budget_grid(problem, config["sweep"]["energy_points"], config["sweep"]["latency_points"])
    return Setting(
        pool,
        data,
        outputs,
        costs,
        planner,
        baselines,
        {**budgets, chosen: budget},
        chosen,
        grid,
        config["tariff"],
        target,
    )


def report_data(
    setting: Setting,
    gate: GatingModule,
    solver: Config,
    provenance: Mapping[str, str],
    tick: Callable[[str], None],
    certificate: CertificateOptions | None = None,
) -> ReportData:
    """Plan and realise every budget with a frozen gate.

    Args:
        setting: of the run.
        gate: frozen; its weights are read and never written.
        solver: ``name``, and the fields of ``SearchOptions`` that ``conf/solver`` has.
        provenance: what to print beside the gate's own.
        tick: called with a line of progress.
        certificate: how much to retrain; None for nothing.
    """
    started = time.perf_counter()
    router, planned_unit = _gate_router(setting, gate)
    _, validation, test = setting.data.split
    held_out = HeldOut(
        setting.pool.expand(setting.outputs.score[test]),
        setting.outputs.category[test],
        setting.costs.rows(test),
        setting.planner,
        Pricing(
            setting.planner,
            setting.costs.rows(validation),
            setting.outputs.category[validation],
            setting.max_utilisation,
        ),
        *_options(setting, test),
    )
    routers = {"moe2": router, **setting.baselines}
    names = [*setting.budgets, *("grid" for _ in setting.grid)]
    budgets = [*setting.budgets.values(), *setting.grid]
    interrupts: list[str] = []
    solutions = plan_budgets(routers, budgets, solver, lambda: interrupts.append("planning"))
    swept = time.perf_counter()
    tick(f"planned {len(budgets)} budgets with '{solver['name']}' in {swept - started:.1f} s")
    at = names.index(setting.chosen)
    best = solutions["moe2"][at]

    def realise() -> tuple[Findings, tuple[StepRow, ...]]:
        found = findings(held_out, routers, solutions, setting.budgets, setting.grid, setting.chosen)
        return found, tuple(next_steps(router, budgets[at], best, solver))

    found, steps = not_lost(realise, lambda: interrupts.append("realising"))
    realised = time.perf_counter()
    measured = None
    if certificate is not None:
        planned = list(zip(names, budgets, solutions["moe2"], strict=True))
        if certificate.common:
            planned = [n for n in planned if n[0] in (*PRESETS, UNLIMITED, "grid")]
        else:
            planned.sort(key=lambda n: (n[0] != setting.chosen, n[0] == "grid"))
        try:
            if not interrupts:
                measured = certified(
                    gate, setting.data, setting.pool, setting.planner.energy_j, planned, certificate, tick
                )
        except KeyboardInterrupt:
            # What was retrained is kept beside the checkpoint; the same certificate goes on from there.
            interrupts.append("certificate")
    presets = {n: row for n, row in zip(names, found.rows, strict=True) if n != "grid"}
    return ReportData(
        title=f"MoE² on {setting.pool.name}{' (partial: interrupted)' if interrupts else ''}",
        pool=setting.pool.name,
        objective=gate.objective.name,
        planned_unit=planned_unit,
        chosen=presets[setting.chosen],
        presets=tuple(presets[n] for n in (*PRESETS, UNLIMITED)),
        grid=tuple(row for n, row in zip(names, found.rows, strict=True) if n == "grid"),
        summary=tuple(_summary(setting, held_out, routers, solutions, names)),
        experts={
            e.name: {
                "device": e.device,
                "model_id": e.model_id,
                "bits": e.bits,
                "weight_gb": e.weight_gb,
                "memory_gb": e.memory_gb,
            }
            for e in setting.pool.experts
        },
        devices={
            d.name: {"memory_gb": d.memory_gb, "idle_w": d.idle_w, "active_w": d.active_w, "source": d.source}
            for d in setting.pool.devices
        },
        cost_labels=dict(zip(setting.pool.names, setting.costs.label, strict=True)),
        queries_per_s=setting.planner.queries_per_s,
        load=found.load,
        tariff=setting.tariff,
        steps=steps,
        baselines=found.baselines,
        contrasts=found.contrasts,
        expert_scores=_expert_scores(setting, held_out),
        calibration=_calibration(setting, gate, held_out, router),
        provenance={**_provenance(setting, gate), **provenance},
        notes=(*_notes(setting), *_INTERRUPTED[: bool(interrupts)]),
        timings_s={
            "plan": swept - started,
            "realise": realised - swept,
            "certificate": time.perf_counter() - realised,
        },
        certificate=measured,
        validation_score=_validation_score(setting, router, best),
        partial=bool(interrupts),
    )


def _validation_score(setting: Setting, router: Router, solution: Solution) -> float:
    """Mean score of validation queries, routed inside a solution; NaN where it has no experts."""
    if not solution.experts:
        return float("nan")
    rows = setting.data.split.validation
    category = setting.outputs.category[rows]
    chosen = route(
        torch.from_numpy(router.planned),
        torch.from_numpy(solution.allowed[category]),
        energy_j=torch.from_numpy(setting.planner.energy_j[category]),
    ).expert[:, 0]
    score = setting.pool.expand(setting.outputs.score[rows])
    return float(score[np.arange(len(rows)), chosen.numpy()].mean())


def _gate_router(setting: Setting, gate: GatingModule) -> tuple[Router, str]:
    """The gate's problem over validation queries, its ranking of held-out ones, and the unit it plans in."""
    columns = gate.columns(setting.pool.model_ids)
    if gate.spec != setting.data.spec:
        raise DataError(
            f"the gate was trained on '{gate.spec.encoder}' with categories {', '.join(gate.spec.categories)}; the "
            f"outputs have '{setting.data.spec.encoder}' with {', '.join(setting.data.spec.categories)}"
        )
    _, validation, test = setting.data.split

    def predict(rows: Any) -> Any:
        return setting.pool.expand(gate.predict(setting.data.features(rows))[:, columns].numpy())

    utility: FacilityLocation | MixtureLikelihood
    if gate.objective.independent:
        utility, unit = FacilityLocation(predict(validation)), "score"
    else:
        log_p = setting.pool.expand(log_likelihood(setting.outputs, validation))
        utility, unit = MixtureLikelihood(predict(validation).clip(min=1e-12), log_p), "nats"
    problem = setting.planner.problem(utility, setting.outputs.category[validation])
    return Router("MoE²", problem, predict(test), predict(validation)), unit


def _summary(
    setting: Setting,
    held_out: HeldOut,
    routers: Mapping[str, Router],
    solutions: Mapping[str, list[Solution]],
    names: list[str],
) -> Iterator[SummaryRow]:
    """The closing table: baselines and MoE² under each budget, then what the full pool could reach."""

    def row(name: str, got: Realised, experts: tuple[str, ...]) -> SummaryRow:
        return SummaryRow(
            name,
            float(got.score.mean()),
            float(got.energy_j.mean()),
            float(got.latency_s.mean()),
            float(got.utilisation.max()),
            experts,
        )

    for budget_name in dict.fromkeys((*PRESETS, setting.chosen)):
        if budget_name == UNLIMITED:
            continue
        i = names.index(budget_name)
        single = best_single(setting.baselines["lookup"].problem, setting.budgets[budget_name])
        if single is not None:
            yield row(f"best single, {budget_name}", held_out.single(single), (setting.pool.names[single],))
        for key, label in (("lookup", "lookup"), ("moe2", "MoE²")):
            found = solutions[key][i]
            if found.experts:
                yield row(f"{label}, {budget_name}", held_out.under_load(routers[key], found), found.experts)
    for key, label in (("lookup", "lookup"), ("moe2", "MoE²"), ("family_oracle", "family oracle")):
        if key in routers:
            yield row(f"{label}, full pool", held_out.everything(routers[key].rank), ("all",))
    yield row("oracle, full pool", held_out.everything(held_out.score), ("all",))
    together = held_out.ensemble()
    if together is not None:
        yield row("uniform ensemble, all answer", together, ("all",))


def _options(setting: Setting, rows: Any) -> tuple[Any, Any]:
    """Probabilities [m, N, K] of options and the right ones [m]; None where some query has none."""
    outputs = setting.outputs
    if outputs.log_prob is None or outputs.label is None or (outputs.label[rows] < 0).any():
        return None, None
    column = [setting.pool.model_ids.index(expert.model_id) for expert in setting.pool.experts]
    return np.exp(outputs.log_prob[rows][:, column].astype(np.float64)), outputs.label[rows]


def _distinct(setting: Setting) -> dict[str, int]:
    """Expert, or model where it has several placements → a column [N] of it.

    One for each model: the gate knows no placements, and what one loses by its precision is assumed.
    """
    models = [expert.model_id for expert in setting.pool.experts]
    return {
        name if models.count(model) == 1 else model: column
        for column, (name, model) in enumerate(zip(setting.pool.names, models, strict=True))
        if models.index(model) == column
    }


def _expert_scores(setting: Setting, held_out: HeldOut) -> dict[str, dict[str, float]]:
    """Expert or model → category → its mean held-out score; a category without held-out queries is left out."""
    means = {
        category: held_out.score[held_out.category == c].mean(axis=0)
        for c, category in enumerate(held_out.planner.categories)
        if (held_out.category == c).any()
    }
    return {
        name: {category: float(mean[column]) for category, mean in means.items()}
        for name, column in _distinct(setting).items()
    }


def _calibration(
    setting: Setting, gate: GatingModule, held_out: HeldOut, router: Router
) -> dict[str, tuple[float, float]]:
    if not gate.objective.independent:
        return {}
    predicted, realised = router.rank.mean(0), held_out.score.mean(0)
    return {
        name: (float(predicted[column]), float(realised[column]))
        for name, column in _distinct(setting).items()
    }


def _provenance(setting: Setting, gate: GatingModule) -> dict[str, str]:
    source = setting.outputs.provenance
    split = setting.data.split
    beside = "" if gate.fitted is None else f" and {gate.fitted.name}"
    return {
        "outputs": f"{setting.data.hparams['outputs']}, SHA-256 {setting.data.outputs.fingerprint()[:16]}",
        "source": f"{source.get('source', 'not recorded')} {str(source.get('commit', ''))[:12]}".strip(),
        "licence": str(source.get("licence", "not recorded")),
        "pool": f"{setting.pool.name}, SHA-256 {setting.pool.fingerprint()[:16]}",
        "split": f"{setting.data.hparams['split']}, seed {setting.data.hparams['split_seed']}: {len(split.train)} "
        f"training, {len(split.validation)} validation, {len(split.test)} held-out queries",
        "gate": f"{gate.hparams['network']['name']}{beside}, objective {gate.objective.name}, "
        f"encoder {gate.spec.encoder}, category {setting.data.hparams['category']}",
        "gate trained for": ", ".join(f"{k} {v[:16]}" for k, v in gate.hparams["trained_for"].items()),
        "versions": ", ".join(f"{p} {version(p)}" for p in ("moe2-pl", "torch", "lightning", "numpy")),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def _notes(setting: Setting) -> tuple[str, ...]:
    notes = [
        "Budgets limit the mean of a category's queries, not a single query.",
        "Planned values come from validation queries; scores are realised on held-out queries that neither "
        "training nor planning read.",
    ]
    if setting.outputs.output_tokens is None:
        notes.append("Answer lengths are assumed per task family (expert_pool.output_tokens), not measured.")
    for model, count in setting.outputs.provenance.get("too_long", {}).items():
        notes.append(
            f"{count} of {len(setting.outputs.id)} questions are too long for {model}; they count as answered wrongly."
        )
    labels = sorted(set(setting.costs.label))
    notes.append(f"Latency and energy are {' and '.join(labels)}.")
    if "modelled" in labels:
        notes.append(_speed_note(setting.pool))
    return tuple(notes)


def _speed_note(pool: ExpertPool) -> str:
    compared = {d.name: d.speed_error for d in pool.devices if d.speed_error is not None}
    parts = [
        f"{error:.0%} of the model's for {', '.join(name for name, e in compared.items() if e == error)}"
        for error in sorted(set(compared.values()))
    ]
    others = [d.name for d in pool.devices if d.name not in compared]
    text = f"Nine in ten published speeds lie within {'; '.join(parts)}." if parts else ""
    if others:
        text += f" For {', '.join(others)} the model was not compared with published speeds."
    return text.strip()
