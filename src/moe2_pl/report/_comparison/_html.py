"""``comparison.html``: the jobs of a sweep as one page."""

import math
from pathlib import Path

from moe2_pl.report._comparison._answer import answer, outcome_text, title
from moe2_pl.report._comparison._budgets import budget_sections
from moe2_pl.report._comparison._choice import plus_minus
from moe2_pl.report._comparison._data import Comparison, shown
from moe2_pl.report._comparison._frontiers import frontier_sections
from moe2_pl.report._comparison._panels import Section
from moe2_pl.report._comparison._parameters import parameter_sections
from moe2_pl.report._comparison._variants import variant_sections
from moe2_pl.report._page import write_page

__all__ = ["sections", "write_comparison"]


def write_comparison(comparison: Comparison, path: Path) -> Path:
    """Writes the comparison of a sweep's jobs as one self-contained HTML file.

    Args:
        comparison: at least one job.
        path: where to write, in the folder that the jobs' links are relative to.

    Returns:
        ``path``.
    """
    found = sections(comparison)
    return write_page(
        path,
        "comparison.html",
        {panel.key: panel for section in found for panel in section.panels},
        title=title(comparison),
        comparison=comparison,
        answer=answer(comparison),
        sections=found,
        varied=list(comparison.short.items()),
        troubles=[job for job in comparison.jobs if job.outcome != "ended"],
        certified=any(not math.isnan(job.mean_regret) for job in comparison.jobs),
        outcome_text=outcome_text,
        plus_minus=plus_minus,
        shown=shown,
    )


def sections(comparison: Comparison) -> list[Section]:
    """The sections that have something to show, in the order of the page."""
    makers = (budget_sections, parameter_sections, variant_sections, frontier_sections)
    found = [section for make in makers for section in make(comparison)]
    if comparison.search:
        # Each trial of a search is a variant of its own, one mark a line.
        return [section for section in found if section.key != "variants"]
    return found
