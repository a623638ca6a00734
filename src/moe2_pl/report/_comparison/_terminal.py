"""The table that a sweep ends with, in the terminal."""

import math

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from moe2_pl.report._comparison._answer import answer, progress, title
from moe2_pl.report._comparison._data import Comparison, JobRow, shown
from moe2_pl.report._console import sized
from moe2_pl.report._format import MISSING, quantity, score

__all__ = ["print_comparison"]

_MOST = 20
_UNLIMITED = 10_000  # columns
_INDENT = 7  # of what stands under a row, past the job's number


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Prints a table of the jobs and the answer in one line.

    Of many jobs it has the best, by validation score; under different budgets, which do not rank, the first.

    Settings have columns of their own where all columns fit; else what was asked of a job stands under its figures.

    Args:
        comparison: at least one job.
        console: where to print; by default standard output, which stays plain text when it is not a terminal.
    """
    out = sized(console)
    jobs = comparison.jobs
    left_out = len(jobs) - _MOST
    if left_out > 0:
        kept = jobs if comparison.budgets_varied else sorted(jobs, key=_rank)
        jobs = tuple(job for job in jobs if job in kept[:_MOST])
    table = _table(comparison, jobs, apart=True)
    if Measurement.get(out, out.options.update(max_width=_UNLIMITED), table).maximum <= out.width:
        out.print(table)
    else:
        _print_under(comparison, jobs, out)
    if left_out > 0:
        last = (
            f"The last {left_out} jobs are"
            if comparison.budgets_varied
            else f"The {left_out} jobs with the lowest validation scores, or without one, are"
        )
        out.print(Text(f"{last} left out here.", style="dim"))
    if comparison.partial:
        out.print(Text(progress(comparison)))
    out.print(Text(answer(comparison).heading, style="bold"))


def _print_under(c: Comparison, jobs: tuple[JobRow, ...], out: Console) -> None:
    """The table without settings, and under each of its rows what was asked of the job."""
    lines = out.render_lines(_table(c, jobs, apart=False), pad=False)
    # A row is one line, since nothing in it is folded; a blank line ends the table.
    first = len(lines) - 1 - len(jobs)
    for i, line in enumerate(lines):
        out.print(Segments([*line, Segment.line()]))
        if 0 <= i - first < len(jobs):
            out.print(Padding(Text(c.named(jobs[i - first]), style="dim"), (0, 0, 0, _INDENT)))


def _rank(job: JobRow) -> float:
    return math.inf if math.isnan(job.validation_score) else -job.validation_score


def _status(job: JobRow) -> str:
    return job.chosen.status if job.outcome == "ended" and job.chosen else job.outcome


def _table(c: Comparison, jobs: tuple[JobRow, ...], *, apart: bool) -> Table:
    """One line for each job, with a column for each setting where these stand ``apart``."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title(c), title_justify="left")
    keys = list(c.short) if apart else []
    table.add_column("job", justify="right", no_wrap=True)
    for key in keys:
        table.add_column(Text(c.short[key]), no_wrap=True)
    for heading in ("validation", "held out", "energy", "latency", "experts"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
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
            *(Text(shown(job.asked.get(key, ""))) for key in keys),
            score(job.validation_score),
            *figures,
            Text(_status(job), style="bold red" if bad else ""),
        )
    return table
