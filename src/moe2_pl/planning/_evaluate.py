"""The evaluation of a frozen gate: plan every budget on validation queries, realise it on held-out ones.

Nothing here trains: one gate's predictions serve every subset and every budget.
"""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from moe2_pl.errors import DataError
from moe2_pl.gate import GatingModule
from moe2_pl.outputs import ExpertOutputsDataModule, log_likelihood
from moe2_pl.planning._budget_plans import next_steps, plan_budgets
from moe2_pl.planning._budgets import PRESETS, UNLIMITED
from moe2_pl.planning._certificate import CertificateOptions, certified
from moe2_pl.planning._findings import Findings, findings
from moe2_pl.planning._inputs import Inputs, prepare
from moe2_pl.planning._judge import Queries
from moe2_pl.planning._load import Pricing
from moe2_pl.planning._progress import Watch, not_lost, unwatched
from moe2_pl.planning._provenance import notes
from moe2_pl.planning._provenance import provenance as made_from
from moe2_pl.planning._results import Results, StepRow
from moe2_pl.planning._routers import Router
from moe2_pl.planning._tables import calibration, expert_scores, summary_rows
from moe2_pl.pool import ExpertPool
from moe2_pl.selection import FacilityLocation, MixtureLikelihood

__all__ = ["evaluate", "results_of"]

Config = Mapping[str, Any]

_INTERRUPTED = (
    "The run was interrupted: rows with status 'gap' hold the best subset found by then; the certificate is missing.",
)


def evaluate(
    pool: ExpertPool,
    data: ExpertOutputsDataModule,
    gate: GatingModule,
    *,
    solver: str | Config = "monotonic",
    certificate: CertificateOptions | None = None,
    **planning: Any,
) -> Results:
    """Plan every budget with a frozen gate and realise it on held-out queries: what ``evaluate.py`` does.

    Args:
        pool: N experts of M models.
        data: outputs and split that the gate was trained with.
        gate: frozen; its weights are read and never written.
        solver: its name, or a mapping as ``conf/solver`` holds it: ``name`` and fields of ``SearchOptions``.
        certificate: how much to retrain; None for nothing.
        planning: ``queries_per_s``, ``budget`` and all else that :func:`prepare` takes.

    Raises:
        ConfigError, DataError: what cannot be used.
        InfeasibleBudgetError: no subset keeps the budget.
    """
    options = {"name": solver} if isinstance(solver, str) else solver
    inputs = prepare(pool, data, solver=options["name"], **planning)
    return results_of(inputs, gate, options, certificate=certificate)


def results_of(
    inputs: Inputs,
    gate: GatingModule,
    solver: Config,
    provenance: Mapping[str, str] = MappingProxyType({}),
    tick: Callable[[str], None] = lambda line: None,
    certificate: CertificateOptions | None = None,
    unfinished: str = "",
    watch: Watch = unwatched,
) -> Results:
    """Plan and realise every budget with a frozen gate.

    Args:
        inputs: pool, data, costs and budgets.
        gate: frozen; its weights are read and never written.
        solver: ``name``, and the fields of ``SearchOptions`` that ``conf/solver`` has.
        provenance: what to print beside the gate's own.
        tick: called with a line of progress.
        certificate: how much to retrain; None for nothing.
        unfinished: what must be said of the gate's training, as :func:`load_gate` gives it.
        watch: shows progress.
    """
    if unfinished:
        tick(unfinished)
    started = time.perf_counter()
    router, planned_unit = _gate_router(inputs, gate)
    _, validation, test = inputs.data.split
    pricing = Pricing(
        inputs.planner,
        inputs.costs.rows(validation),
        inputs.outputs.category[validation],
        inputs.max_utilisation,
    )
    held_out, chosen_by = _queries(inputs, test, pricing), _queries(inputs, validation, pricing)
    routers = {"moe2": router, **inputs.baselines}
    names = [*inputs.budgets, *("grid" for _ in inputs.grid)]
    budgets = [*inputs.budgets.values(), *inputs.grid]
    interrupts: list[str] = []
    solutions = plan_budgets(routers, budgets, solver, lambda: interrupts.append("planning"), watch)
    swept = time.perf_counter()
    tick(f"planned {len(budgets)} budgets with '{solver['name']}' in {swept - started:.1f} s")
    at = names.index(inputs.chosen)
    best = solutions["moe2"][at]

    def realise() -> tuple[Findings, tuple[StepRow, ...]]:
        found = findings(held_out, chosen_by, routers, solutions, inputs.budgets, inputs.grid, inputs.chosen)
        return found, tuple(next_steps(held_out, router, budgets[at], best, solver))

    found, steps = not_lost(realise, lambda: interrupts.append("realising"))
    realised = time.perf_counter()
    measured = None
    if certificate is not None:
        planned = list(zip(names, budgets, solutions["moe2"], strict=True))
        if certificate.common:
            planned = [n for n in planned if n[0] in (*PRESETS, UNLIMITED, "grid")]
        else:
            planned.sort(key=lambda n: (n[0] != inputs.chosen, n[0] == "grid"))
        try:
            if not interrupts:
                measured = certified(
                    gate, inputs.data, inputs.pool, inputs.planner.energy_j, planned, certificate, tick
                )
        except KeyboardInterrupt:
            # What was retrained is kept beside the checkpoint; the same certificate goes on from there.
            interrupts.append("certificate")
    presets = {n: row for n, row in zip(names, found.rows, strict=True) if n != "grid"}
    return Results(
        title=f"MoE² on {inputs.pool.name}{' (partial: interrupted)' if interrupts else ''}",
        pool=inputs.pool.name,
        objective=gate.objective.name,
        planned_unit=planned_unit,
        chosen=presets[inputs.chosen],
        presets=tuple(presets[n] for n in (*PRESETS, UNLIMITED)),
        grid=tuple(row for n, row in zip(names, found.rows, strict=True) if n == "grid"),
        summary=tuple(summary_rows(inputs, held_out, routers, solutions, names)),
        experts={
            e.name: {
                "device": e.device,
                "model_id": e.model_id,
                "bits": e.bits,
                "weight_gb": e.weight_gb,
                "memory_gb": e.memory_gb,
            }
            for e in inputs.pool.experts
        },
        devices={
            d.name: {"memory_gb": d.memory_gb, "idle_w": d.idle_w, "active_w": d.active_w, "source": d.source}
            for d in inputs.pool.devices
        },
        cost_labels=dict(zip(inputs.pool.names, inputs.costs.label, strict=True)),
        queries_per_s=inputs.planner.queries_per_s,
        load=found.load,
        tariff=inputs.tariff,
        steps=steps,
        baselines=found.baselines,
        contrasts=found.contrasts,
        parts=found.parts,
        expert_scores=expert_scores(inputs, held_out),
        calibration=calibration(inputs, gate, held_out, router),
        provenance={**made_from(inputs, gate), **provenance},
        notes=(*notes(inputs, unfinished), *_INTERRUPTED[: bool(interrupts)]),
        timings_s={
            "plan": swept - started,
            "realise": realised - swept,
            "certificate": time.perf_counter() - realised,
        },
        certificate=measured,
        validation_score=found.validation_score,
        partial=bool(interrupts),
    )


def _queries(inputs: Inputs, rows: Any, pricing: Pricing) -> Queries:
    return Queries(
        inputs.pool.expand(inputs.outputs.score[rows]),
        inputs.outputs.category[rows],
        inputs.costs.rows(rows),
        inputs.planner,
        pricing,
        *_options(inputs, rows),
    )


def _gate_router(inputs: Inputs, gate: GatingModule) -> tuple[Router, str]:
    """The gate's problem over validation queries, its ranking of held-out ones, and the unit it plans in."""
    columns = gate.columns(inputs.pool.model_ids)
    if gate.spec != inputs.data.spec:
        raise DataError(
            f"the gate was trained on '{gate.spec.encoder}' with categories {', '.join(gate.spec.categories)}; the "
            f"outputs have '{inputs.data.spec.encoder}' with {', '.join(inputs.data.spec.categories)}"
        )
    _, validation, test = inputs.data.split

    def predict(rows: Any) -> Any:
        return inputs.pool.expand(gate.predict(inputs.data.features(rows))[:, columns].numpy())

    utility: FacilityLocation | MixtureLikelihood
    if gate.objective.independent:
        utility, unit = FacilityLocation(predict(validation)), "score"
    else:
        log_p = inputs.pool.expand(log_likelihood(inputs.outputs, validation))
        utility, unit = MixtureLikelihood(predict(validation).clip(min=1e-12), log_p), "nats"
    problem = inputs.planner.problem(utility, inputs.outputs.category[validation])
    return Router("MoE²", problem, predict(test), predict(validation)), unit


def _options(inputs: Inputs, rows: Any) -> tuple[Any, Any]:
    """Probabilities [m, N, K] of options and the right ones [m]; None where some query has none."""
    outputs = inputs.outputs
    if outputs.log_prob is None or outputs.label is None or (outputs.label[rows] < 0).any():
        return None, None
    column = [inputs.pool.model_ids.index(expert.model_id) for expert in inputs.pool.experts]
    return np.exp(outputs.log_prob[rows][:, column].astype(np.float64)), outputs.label[rows]
