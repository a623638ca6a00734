"""A finished run in Weights & Biases: final metrics, the frontier as a table and a chart, the summary.

Offline runs get the same content. Nothing here starts or ends a run: that is the logger's work.
"""

import math
from typing import Any

from moe2_pl.report._csv import frontier_table
from moe2_pl.report._data import ReportData
from moe2_pl.report._format import listing
from moe2_pl.report._html import panels

__all__ = ["log_to_wandb"]

_SUMMARY = ("router", "score", "energy_j", "latency_s", "utilisation", "experts", "note")


def log_to_wandb(logger_or_run: Any, data: ReportData) -> None:
    """Logs a report's figures to a W&B run.

    Metrics are logged, and so stand in the run's summary, as ``chosen/…``, ``<budget>/…`` and ``certificate/…``;
    ``frontier`` and ``summary_table`` are tables; every figure of the HTML report
    is an interactive chart ``figures/<key>``.

    Args:
        logger_or_run: a ``lightning`` ``WandbLogger`` or a ``wandb`` run.
        data: what the evaluation found.
    """
    import wandb

    run = getattr(logger_or_run, "experiment", logger_or_run)
    header, lines = frontier_table((data.chosen, *data.presets, *data.grid))
    closing = [
        [row.name, row.score, row.energy_j, row.latency_s, row.utilisation, listing(row.experts), row.note]
        for row in data.summary
    ]
    charts = {
        f"figures/{panel.key}": wandb.Plotly(panel.figure)
        for panel in panels(data).values()
        if panel.figure is not None
    }
    run.log(
        {
            "frontier": wandb.Table(columns=[*header], data=lines),
            "summary_table": wandb.Table(columns=[*_SUMMARY], data=closing),
            **charts,
            **_metrics(data),
        }
    )


def _metrics(data: ReportData) -> dict[str, float | int | str]:
    """The figures that runs are compared by; what does not exist is left out, not logged as NaN."""
    figures: dict[str, float | int | str] = {}
    for row in (data.chosen, *data.presets):
        figures[f"{row.budget}/status"] = row.status
        figures[f"{row.budget}/experts"] = len(row.experts)
        values = {
            "score": row.score,
            "planned": row.planned,
            "gap": row.gap,
            "energy_j": row.energy_j,
            "latency_s": row.latency_s,
            "max_utilisation": max(row.utilisation.values(), default=math.nan),
            "lookup_score": row.lookup_score,
            "best_single_score": row.best_single_score,
            "family_oracle_score": row.family_oracle_score,
        }
        figures |= {f"{row.budget}/{name}": value for name, value in values.items() if math.isfinite(value)}
    if data.certificate is not None and data.certificate.rows:
        found = data.certificate
        figures |= {
            "certificate/mean_regret": found.mean_regret,
            "certificate/largest_regret": found.worst.regret,
            "certificate/monotonicity_falls": found.monotonicity.falls,
            "certificate/largest_fall": found.monotonicity.largest_fall,
        }
    return figures
