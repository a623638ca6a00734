"""What the figures of a comparison share: their sections, colours, and what a job's mark says."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from moe2_pl.report._comparison._data import Comparison, JobRow
from moe2_pl.report._format import score
from moe2_pl.report._panel import QUIET, Panel, hover, plain

__all__ = ["COLOURS", "SYMBOLS", "Section", "axis", "job_hover"]

COLOURS = ("#1f7ad1", "#d9700b", "#0a9a74", "#9a7fd1", "#c2579b", "#b08c00", "#5aa9dd", "#8a5a44")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "star", "hexagon")


@dataclass(frozen=True)
class Section:
    """Figures that stand under one heading.

    Args:
        key: its anchor.
        title: its heading.
        panels: at least one; where there are several, each has its title as a smaller heading.
    """

    key: str
    title: str
    panels: tuple[Panel, ...]


def job_hover(job: JobRow, c: Comparison) -> str:
    """A job's number, what was asked of it, and its deployment."""
    lines = [f"<b>job {plain(job.job)}</b>", *(plain(part) for part in c.named(job).split(", ") if part)]
    if not math.isnan(job.validation_score):
        lines.append(f"validation score {score(job.validation_score)}")
    return "<br>".join([*lines, *([hover(job.row)] if job.row else [])])


def axis(title: str, values: Sequence[float], wide: float = 20) -> dict[str, Any]:
    """A Plotly axis for numbers, logarithmic where the largest is ``wide`` times the smallest or more."""
    low, high = min(values, default=1.0), max(values, default=1.0)
    layout: dict[str, Any] = {"title": {"text": title}, "zeroline": False}
    if low > 0 and high / low >= wide:
        # Digits between the decades would be read as numbers of their own.
        layout |= {"type": "log", "dtick": 1 if high / low > 30 else "D2", "exponentformat": "none"}
    return layout


def quiet_line(width: float = 1) -> dict[str, Any]:
    """How lines that only guide the eye are drawn."""
    return {"color": QUIET, "width": width}
