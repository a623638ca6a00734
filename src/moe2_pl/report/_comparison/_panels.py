"""What the figures of a comparison share: their sections, colours, and what a job's mark says."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from moe2_pl.report._comparison._data import Comparison, JobRow
from moe2_pl.report._format import score
from moe2_pl.report._panel import QUIET, Panel, hover, plain

__all__ = ["COLOURS", "SYMBOLS", "Section", "axis", "bars", "job_hover", "queries_caution", "quiet_line"]

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


def axis(title: str, values: Sequence[float]) -> dict[str, Any]:
    """A Plotly axis for numbers, on the scale that spreads them more evenly: linear or, above 0, logarithmic."""
    layout: dict[str, Any] = {"title": {"text": title}, "zeroline": False}
    known = sorted(set(values))
    if len(known) > 2 and known[0] > 0 and _off_middle(list(map(math.log, known))) < _off_middle(known):
        span = known[-1] / known[0]
        # As many labels as a phone has room for.
        steps = (1, 2, 5) if span < 20 else (1, 3) if span < 300 else (1,)
        ticks = [d * 10.0**e for e in range(-12, 13) for d in steps]
        ticks = [tick for tick in ticks if known[0] * 0.95 <= tick <= known[-1] * 1.05]
        # Plotly's own labels between the decades, bare digits, would be read as numbers.
        layout |= {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:,.10g}" for tick in ticks]}
    return layout


def bars(half: Sequence[float], colour: str) -> dict[str, Any]:
    """Error bars of a Plotly trace; none where ``half`` of one is NaN."""
    widths = [0 if math.isnan(value) else value for value in half]
    return {"type": "data", "array": widths, "thickness": 2, "width": 5, "color": colour}


def _off_middle(ascending: Sequence[float]) -> float:
    """How far the median lies from the middle of the range, as a share of the range."""
    low, high = ascending[0], ascending[-1]
    return abs((median(ascending) - low) / (high - low) - 0.5)


def queries_caution(c: Comparison) -> str:
    """What captions of scores add where these do not compare."""
    return (
        " Not all were judged on the same queries: those scores do not compare."
        if c.different_queries
        else ""
    )


def quiet_line(width: float = 1) -> dict[str, Any]:
    """How lines that only guide the eye are drawn."""
    return {"color": QUIET, "width": width}
