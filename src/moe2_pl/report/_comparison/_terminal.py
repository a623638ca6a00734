"""The table that a sweep ends with, in the terminal."""

import math

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from moe2_pl.report._comparison._answer import answer
from moe2_pl.report._comparison._data import Comparison, JobRow, shown
from moe2_pl.report._console import sized
from moe2_pl.report._format import MISSING, quantity, score

__all__ = ["print_comparison"]

_MOST = 20
_APART = 4  # settings that fit as columns of their own


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Prints a table of the jobs and the answer in one line; of many jobs the best, by validation score.

    Args:
        comparison: at least one job.
        console: where to print; by default standard output, which stays plain text when it is not a terminal.
    """
    out = sized(console)
    jobs = comparison.jobs
    left_out = len(jobs) - _MOST
    if left_out > 0:
        best = sorted(jobs, key=_rank)[:_MOST]
        jobs = tuple(job for job in jobs if job in best)
    out.print(_table(comparison, jobs))
    if left_out > 0:
        out.print(
            Text(
                f"The {left_out} jobs with the lowest validation scores, or without one, are left out here.",
                style="dim",
            )
        )
    out.print(Text(answer(comparison).heading, style="bold"))


def _rank(job: JobRow) -> float:
    return math.inf if math.isnan(job.validation_score) else -job.validation_score


def _status(job: JobRow) -> str:
    return job.chosen.status if job.outcome == "ended" and job.chosen else job.outcome


def _table(c: Comparison, jobs: tuple[JobRow, ...]) -> Table:
    partial = " (partial: interrupted)" if c.partial else ""
    title = f"Comparison of {len(c.jobs)} job{'s' * (len(c.jobs) > 1)}{partial}"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    table.add_column("job", justify="right", no_wrap=True)
    apart = len(c.varied) <= _APART
    for name in c.short.values() if apart else ("asked",):
        table.add_column(Text(name), overflow="fold")
    for heading in ("validation", "held out", "energy", "latency", "experts"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("status", overflow="fold", ratio=1)
    for job in jobs:
        row = job.row
        figures = (MISSING,) * 4
        if row:
            figures = (
                score(row.score)
                if math.isnan(row.score_half_width)
                else f"{score(row.score)} ± {score(row.score_half_width)}",
                quantity(row.energy_j, "J"),
                quantity(row.latency_s, "s"),
                str(len(row.experts)),
            )
        bad = job.outcome in ("failed", "interrupted")
        table.add_row(
            Text(job.job),
            *([Text(shown(job.asked.get(key, ""))) for key in c.varied] if apart else [Text(c.named(job))]),
            score(job.validation_score),
            *figures,
            Text(_status(job), style="bold red" if bad else ""),
        )
    return table
