"""``report.html``: what a run found, as one page."""

from pathlib import Path

from moe2_pl.planning import Results
from moe2_pl.report import _format
from moe2_pl.report._page import write_page
from moe2_pl.report._panel import Panel
from moe2_pl.report._run_report import _view
from moe2_pl.report._run_report._answer import claims
from moe2_pl.report._run_report._baselines_figure import baselines_panel
from moe2_pl.report._run_report._certificate_figure import certificate_panel
from moe2_pl.report._run_report._deployment_figures import (
    calibration_panel,
    category_panel,
    load_panel,
    utilisation_panel,
)
from moe2_pl.report._run_report._expert_figures import experts_panel, routing_panel
from moe2_pl.report._run_report._frontier_figures import frontier_panel, map_panel

__all__ = ["panels", "write_report"]


def write_report(data: Results, path: Path) -> Path:
    """Writes the report as one self-contained HTML file.

    Args:
        data: what the evaluation found.
        path: where to write; an existing file is replaced once the new one is complete.

    Returns:
        ``path``.
    """
    loaded = _view.loaded(data)
    return write_page(
        path,
        "report.html",
        panels(data),
        title=data.title,
        data=data,
        row=data.chosen,
        boxes=_view.boxes(data),
        claims=claims(data),
        loss=data.beside("no budget"),
        unlimited=_view.unlimited(data),
        running=f"{_format.running_text(data)} {_format.load_text(data)}" if data.chosen.feasible else "",
        leaner=_format.leaner_text(data),
        lean=data.beside("leaner"),
        waited=_format.load_now(data),
        steps=_format.step_texts(data),
        nearest=_view.nearest_feasible(data),
        budgets=_view.shown_budgets(data),
        loaded=loaded,
        unused=[name for name in data.experts if not any(name in experts for experts in loaded.values())],
    )


def panels(data: Results) -> dict[str, Panel]:
    """Every figure of the report by its key, in the order of the page."""
    makers = (
        frontier_panel,
        map_panel,
        experts_panel,
        routing_panel,
        category_panel,
        utilisation_panel,
        load_panel,
        calibration_panel,
        certificate_panel,
        baselines_panel,
    )
    return {panel.key: panel for panel in (make(data) for make in makers)}
