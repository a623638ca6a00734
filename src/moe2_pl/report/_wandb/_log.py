"""A run in Weights & Biases: its axes, and at its end the figures, tables, charts and artifacts of what it found.

Offline runs get the same content; ``wandb sync`` uploads it. Only the logger starts a run. docs/wandb.md lists
every name.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]

from moe2_pl.planning import FrontierRow, Results
from moe2_pl.report._run_report._html import panels
from moe2_pl.report._wandb._artifacts import GateSource, log_artifacts
from moe2_pl.report._wandb._routing_flow import routing_flow
from moe2_pl.report._wandb._tables import tables

__all__ = ["finish_wandb", "log_to_wandb", "wandb_axes"]

_BY_EPOCH = ("train/loss", "val/score", "val/fitted_share", "val/temperature")
_SCORES = ("score", "lookup_score", "best_single_score", "family_oracle_score")
_CURVE = (*_SCORES, "planned", "gap", "energy_j", "latency_s")


def wandb_axes(run: Any) -> None:
    """Gives a fresh run its x-axes: epochs for training, the energy budget for the frontier.

    Metrics are named one by one: Lightning has put ``*`` on its global step, and W&B does not say which of two
    patterns wins. The summary keeps the least ``val/loss``, which is the checkpoint's, beside the last.

    Args:
        run: a ``wandb`` run.
    """
    run.define_metric("epoch", hidden=True)
    run.define_metric("val/loss", step_metric="epoch", summary="min,last")
    for name in _BY_EPOCH:
        run.define_metric(name, step_metric="epoch")
    run.define_metric("frontier/energy_budget_j", hidden=True, summary="none")
    run.define_metric("frontier/latency_budget_s", hidden=True, summary="none")
    for name in _CURVE:
        run.define_metric(f"frontier/{name}", step_metric="frontier/energy_budget_j", summary="none")


def log_to_wandb(
    logger_or_run: Any,
    data: Results,
    *,
    checkpoint: str | Path | None = None,
    gate_address: str = "",
    gate_reused: bool = False,
    trained_for: Mapping[str, str] | None = None,
    pool: Mapping[str, Any] | None = None,
    folder: str | Path | None = None,
) -> None:
    """Logs what a run found to W&B; what is not given is not logged.

    The history has the frontier at the chosen latency budget, one row an energy budget, as ``frontier/…`` against
    ``frontier/energy_budget_j``: a curve that lies over those of other runs. History and summary have single figures
    (``chosen/…``, ``<preset>/…``, ``category/<name>/…``, ``against/<alternative>``, ``utilisation/<device>``,
    ``calibration/…``, ``certificate/…``, ``seconds/<stage>``), ``tables/…``, and every figure of the HTML report as an
    interactive chart ``figures/<key>``, with the routing of queries as ``figures/routing_flow``. The configuration
    gets ``provenance``.
    The artifacts are those of :func:`log_artifacts`.

    Args:
        logger_or_run: a ``lightning`` ``WandbLogger`` or a ``wandb`` run.
        data: what the evaluation found.
        checkpoint: the gate's file; it must stay where it is until the run is uploaded.
        gate_address: a hash of everything that affects the gate's training; '' where it is not known.
        gate_reused: whether another run trained the gate: then it is an input of this run, else an output.
        trained_for: what the gate remembers of where it comes from: ``pool`` and ``outputs`` → their SHA-256.
        pool: the ``expert_pool`` of the configuration, plain values.
        folder: the run folder with the CSV files and report.html, all of which must be written by now.
    """
    import wandb

    run = getattr(logger_or_run, "experiment", logger_or_run)
    if run.disabled:
        return
    source = GateSource.of(checkpoint, gate_address, gate_reused, trained_for)
    run.config.update({"provenance": {**data.provenance, **source.metadata()}}, allow_val_change=True)
    for row in _curve(data):
        values = {name: getattr(row, name) for name in ("energy_budget_j", "latency_budget_s", *_CURVE)}
        run.log({f"frontier/{name}": value for name, value in values.items() if math.isfinite(value)})
    figures = {panel.key: panel.figure for panel in panels(data).values()}
    figures["routing_flow"] = routing_flow(data)
    run.log(
        {
            **{
                f"tables/{name}": wandb.Table(columns=columns, data=lines)
                for name, (columns, lines) in tables(data).items()
            },
            **{f"figures/{key}": _chart(figure) for key, figure in figures.items() if figure is not None},
            **_metrics(data),
        }
    )
    log_artifacts(run, data, source, pool, None if folder is None else Path(folder))


def finish_wandb(logger_or_run: Any) -> str:
    """Ends a run; returns the line that says where it is: its address, or the command that uploads it.

    The last records of an offline run are written a moment later, by W&B's service, which every process waits for when
    it exits. Stopping it here would cost each job of a sweep a new start of it; who reads the file in the same process
    calls ``wandb.teardown()`` first.
    """
    run = getattr(logger_or_run, "experiment", logger_or_run)
    run.finish()
    if run.disabled:
        return "W&B: switched off"
    return f"W&B: wandb sync {Path(run.dir).parent}" if run.offline else f"W&B: {run.url}"


def _chart(figure: go.Figure) -> Any:
    """A figure for W&B, which would write NaN where JSON has null: browsers cannot read that."""
    import wandb

    return wandb.Plotly(go.Figure(json.loads(figure.to_json())))


def _curve(data: Results) -> list[FrontierRow]:
    """The feasible cells of the grid at the latency budget nearest to the chosen one, by energy budget."""
    limits = sorted({row.latency_budget_s for row in data.grid})
    if not limits:
        return []
    asked = data.chosen.latency_budget_s
    nearest = min(limits, key=lambda limit: abs(limit - asked)) if math.isfinite(asked) else limits[-1]
    return [
        row
        for row in data.grid
        if row.latency_budget_s == nearest and row.feasible and math.isfinite(row.energy_budget_j)
    ]


def _metrics(data: Results) -> dict[str, float | int | str]:
    """The figures that runs are compared by; what does not exist is left out, not logged as NaN."""
    return {
        name: value
        for name, value in _all_metrics(data)
        if not isinstance(value, float) or math.isfinite(value)
    }


def _all_metrics(data: Results) -> Iterator[tuple[str, float | int | str]]:
    yield "chosen/budget", data.chosen.budget
    for prefix, row in (("chosen", data.chosen), *((row.budget, row) for row in data.presets)):
        yield f"{prefix}/status", row.status
        yield f"{prefix}/experts", len(row.experts)
        yield f"{prefix}/devices", len(row.devices)
        yield f"{prefix}/max_utilisation", max(row.utilisation.values(), default=math.nan)
        for name in ("energy_budget_j", "latency_budget_s", *_CURVE):
            yield f"{prefix}/{name}", getattr(row, name)
    for part in data.chosen.categories:
        for name in ("score", "lookup_score", "energy_j", "latency_s", "queries"):
            yield f"category/{part.category}/{name}", getattr(part, name)
    for device, rho in data.chosen.utilisation.items():
        yield f"utilisation/{device}", rho
    for other in data.contrasts:
        yield f"against/{other.against.replace(' ', '_')}", other.difference
    if data.calibration:
        off = [abs(predicted - realised) for predicted, realised in data.calibration.values()]
        yield "calibration/mean_distance", fmean(off)
        yield "calibration/largest_distance", max(off)
    if data.certificate is not None and data.certificate.rows:
        found = data.certificate
        yield "certificate/mean_regret", found.mean_regret
        yield "certificate/mean_low", found.mean_low
        yield "certificate/mean_high", found.mean_high
        yield "certificate/largest_regret", found.worst.regret
        yield "certificate/subsets", len(found.rows)
        yield "certificate/monotonicity_falls", found.monotonicity.falls
        yield "certificate/largest_fall", found.monotonicity.largest_fall
    for stage, seconds in data.timings_s.items():
        yield f"seconds/{stage}", seconds
