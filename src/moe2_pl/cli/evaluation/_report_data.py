"""The evaluation of a frozen gate: plan every budget on validation queries, realise it on held-out ones.

Nothing here trains: one gate's predictions serve every subset and every budget.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from moe2_pl.cli._interrupts import not_lost
from moe2_pl.cli.evaluation._budgets import PRESETS, UNLIMITED
from moe2_pl.cli.evaluation._certificate import CertificateOptions, certified
from moe2_pl.cli.evaluation._findings import Findings, findings
from moe2_pl.cli.evaluation._load import Pricing
from moe2_pl.cli.evaluation._planning import Router
from moe2_pl.cli.evaluation._provenance import notes
from moe2_pl.cli.evaluation._provenance import provenance as made_from
from moe2_pl.cli.evaluation._realise import Queries
from moe2_pl.cli.evaluation._setting import Setting
from moe2_pl.cli.evaluation._sweep import next_steps, plan_budgets
from moe2_pl.cli.evaluation._tables import calibration, expert_scores, summary_rows
from moe2_pl.errors import DataError
from moe2_pl.gate import GatingModule
from moe2_pl.outputs import log_likelihood
from moe2_pl.report import ReportData, StepRow
from moe2_pl.selection import FacilityLocation, MixtureLikelihood

__all__ = ["report_data"]

Config = Mapping[str, Any]

_INTERRUPTED = (
    "The run was interrupted: rows with status 'gap' hold the best subset found by then; the certificate is missing.",
)


def report_data(
    setting: Setting,
    gate: GatingModule,
    solver: Config,
    provenance: Mapping[str, str],
    tick: Callable[[str], None],
    certificate: CertificateOptions | None = None,
    unfinished: str = "",
) -> ReportData:
    """Plan and realise every budget with a frozen gate.

    Args:
        setting: of the run.
        gate: frozen; its weights are read and never written.
        solver: ``name``, and the fields of ``SearchOptions`` that ``conf/solver`` has.
        provenance: what to print beside the gate's own.
        tick: called with a line of progress.
        certificate: how much to retrain; None for nothing.
        unfinished: what must be said of the gate's training, as :func:`load_gate` gives it.
    """
    if unfinished:
        tick(unfinished)
    started = time.perf_counter()
    router, planned_unit = _gate_router(setting, gate)
    _, validation, test = setting.data.split
    pricing = Pricing(
        setting.planner,
        setting.costs.rows(validation),
        setting.outputs.category[validation],
        setting.max_utilisation,
    )
    held_out, chosen_by = _queries(setting, test, pricing), _queries(setting, validation, pricing)
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
        found = findings(
            held_out, chosen_by, routers, solutions, setting.budgets, setting.grid, setting.chosen
        )
        return found, tuple(next_steps(held_out, router, budgets[at], best, solver))

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
        summary=tuple(summary_rows(setting, held_out, routers, solutions, names)),
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
        parts=found.parts,
        expert_scores=expert_scores(setting, held_out),
        calibration=calibration(setting, gate, held_out, router),
        provenance={**made_from(setting, gate), **provenance},
        notes=(*notes(setting, unfinished), *_INTERRUPTED[: bool(interrupts)]),
        timings_s={
            "plan": swept - started,
            "realise": realised - swept,
            "certificate": time.perf_counter() - realised,
        },
        certificate=measured,
        validation_score=found.validation_score,
        partial=bool(interrupts),
    )


def _queries(setting: Setting, rows: Any, pricing: Pricing) -> Queries:
    return Queries(
        setting.pool.expand(setting.outputs.score[rows]),
        setting.outputs.category[rows],
        setting.costs.rows(rows),
        setting.planner,
        pricing,
        *_options(setting, rows),
    )


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


def _options(setting: Setting, rows: Any) -> tuple[Any, Any]:
    """Probabilities [m, N, K] of options and the right ones [m]; None where some query has none."""
    outputs = setting.outputs
    if outputs.log_prob is None or outputs.label is None or (outputs.label[rows] < 0).any():
        return None, None
    column = [setting.pool.model_ids.index(expert.model_id) for expert in setting.pool.experts]
    return np.exp(outputs.log_prob[rows][:, column].astype(np.float64)), outputs.label[rows]
