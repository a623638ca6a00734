"""The files of a run folder: written at the end, all from the same figures."""

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from moe2_pl.cli._run_log import show
from moe2_pl.planning import Results, not_lost
from moe2_pl.report import (
    print_summary,
    write_baselines,
    write_certificate,
    write_frontier,
    write_frontier_by_category,
    write_parts,
    write_report,
)

if TYPE_CHECKING:
    from moe2_pl.outputs import ExpertOutputsDataModule

__all__ = ["job_figures", "write_results"]

log = logging.getLogger(__name__)


def write_results(data: Results, folder: Path, *, brief: bool = False) -> None:
    """Write the CSV files and report.html, and print the closing table; of one job among many one line, ``brief``.

    Raises:
        KeyboardInterrupt: once all is written, if that or the evaluation was interrupted.
    """
    interrupts: list[str] = []
    report = not_lost(lambda: _written(data, folder), lambda: interrupts.append("writing"))
    if brief:
        row = data.chosen
        figures = f"score {row.score:.3f}, {row.energy_j:,.0f} J, {row.latency_s:.3g} s"
        log.info("%s, %d experts: %s", figures, len(row.experts), report)
    else:
        show("summary", print_summary, data)
        log.info("report: %s", report)
    if data.partial or interrupts:
        raise KeyboardInterrupt


def _written(data: Results, folder: Path) -> Path:
    rows = [data.chosen, *(r for r in data.presets if r is not data.chosen), *data.grid]
    write_frontier(rows, folder / "frontier.csv")
    write_frontier_by_category(rows, folder / "frontier_by_category.csv")
    write_baselines(data.baselines, folder / "baselines.csv")
    write_parts(data.parts, folder / "parts.csv")
    if data.certificate is not None:
        write_certificate(data.certificate, folder / "certificate.csv")
    return write_report(data, folder / "report.html")


def job_figures(data: Results, source: "ExpertOutputsDataModule") -> dict[str, float | str]:
    """What the jobs of a sweep are compared by, beside the rows of their budgets.

    Args:
        data: what the evaluation found.
        source: the queries; ``queries`` is equal for jobs whose validation and held-out queries are the same.
    """
    _, validation, test = source.split
    judged = "\n\n".join("\n".join(map(str, source.outputs.id[rows])) for rows in (validation, test))
    figures: dict[str, float | str] = {
        "validation_score": data.validation_score,
        "planned_unit": data.planned_unit,
        "queries": hashlib.sha256(judged.encode()).hexdigest()[:12],
    }
    found = data.certificate
    if found is not None and found.rows:
        figures |= {
            "mean_regret": found.mean_regret,
            "mean_regret_low": found.mean_low,
            "mean_regret_high": found.mean_high,
        }
    return figures
