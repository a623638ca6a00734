"""``report.html``: one file that opens anywhere, with its script, styles and figures inside and no network."""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

from moe2_pl.report import _format, _view
from moe2_pl.report._baselines_figure import baselines_panel
from moe2_pl.report._certificate_figure import certificate_panel
from moe2_pl.report._data import ReportData
from moe2_pl.report._deployment_figures import (
    calibration_panel,
    category_panel,
    load_panel,
    routing_panel,
    utilisation_panel,
)
from moe2_pl.report._files import replacing
from moe2_pl.report._frontier_figures import frontier_panel, map_panel
from moe2_pl.report._panel import Panel

__all__ = ["panels", "write_report"]


def write_report(data: ReportData, path: Path) -> Path:
    """Writes the report as one self-contained HTML file.

    Args:
        data: what the evaluation found.
        path: where to write; an existing file is replaced once the new one is complete.

    Returns:
        ``path``.
    """
    figures = panels(data)
    template = _environment().get_template("report.html")
    page = template.render(
        data=data,
        row=data.chosen,
        panels=figures,
        boxes=_view.boxes(data, data.chosen) if data.chosen.feasible else [],
        comparisons=_view.comparisons(data) if data.chosen.feasible else [],
        running=f"{_format.running_text(data)} {_format.load_text(data)}" if data.chosen.feasible else "",
        steps=[_format.step_text(step, data) for step in data.steps],
        nearest=_view.nearest_feasible(data),
        budgets=_view.shown_budgets(data),
        plotly=Markup(get_plotlyjs()),  # the library's own script, not data
        specs=_specs(figures.values()),
    )
    with replacing(path) as file:
        file.write(page)
    return path


def panels(data: ReportData) -> dict[str, Panel]:
    """Every figure of the report by its key, in the order of the page."""
    makers = (
        frontier_panel,
        map_panel,
        baselines_panel,
        category_panel,
        routing_panel,
        utilisation_panel,
        load_panel,
        calibration_panel,
        certificate_panel,
    )
    return {panel.key: panel for panel in (make(data) for make in makers)}


def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("moe2_pl.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "score": _format.score,
        "interval": _format.interval,
        "signed": _format.signed,
        "quantity": _format.quantity,
        "limit": _format.limit,
        "range": _format.range_text,
        "rho": _format.rho,
        "status": _format.status_text,
        "budget": _format.budget_text,
    }
    return env


def _specs(figures: Any) -> Markup:
    """The figures as JSON that no name in them can break out of."""
    specs = {panel.key: json.loads(panel.figure.to_json()) for panel in figures if panel.figure is not None}
    text = json.dumps(specs, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
