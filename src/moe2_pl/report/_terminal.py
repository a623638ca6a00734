"""The table that a run ends with, in the terminal."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from moe2_pl.planning import Results, SummaryRow
from moe2_pl.report._console import sized
from moe2_pl.report._format import (
    budget_text,
    certificate_text,
    leaner_text,
    load_text,
    quantity,
    range_text,
    rho,
    running_text,
    score,
    signed,
    signed_span,
    status_text,
    step_texts,
)

__all__ = ["print_summary"]


def print_summary(data: Results, console: Console | None = None) -> None:
    """Prints the summary table and what the chosen budget comes to.

    Args:
        data: what the evaluation found.
        console: where to print; by default standard output, which stays plain text when it is not a terminal.
    """
    out = sized(console)
    out.print(_table(data))
    overloaded = [row.name for row in data.summary if row.utilisation >= 1]
    if overloaded:
        told = "a device gets more work than it can do, and its queue grows without end."
        out.print(Text(f"! ρ ≥ 1 in {'; '.join(overloaded)}: {told}", style="red"))
    for row in data.summary:
        if row.note:
            out.print(Text(f"{row.name}: {row.note}", style="dim"))
    out.print(_chosen(data))
    if data.chosen.feasible:
        lines = (running_text(data), load_text(data), leaner_text(data), *step_texts(data))
        for line in filter(None, lines):
            out.print(Text(line))
    if data.certificate is not None:
        out.print(Text(certificate_text(data.certificate)))


def _table(data: Results) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=data.title, title_justify="left")
    table.add_column("router", overflow="fold", max_width=28)
    for heading in ("score", "energy", "latency", "ρ"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("experts", overflow="fold", ratio=1)
    for row in data.summary:
        table.add_row(
            Text(row.name),
            score(row.score),
            quantity(row.energy_j, "J"),
            quantity(row.latency_s, "s"),
            Text(rho(row.utilisation), style="bold red" if row.utilisation >= 1 else ""),
            Text(_experts(row, data)),
        )
    return table


def _experts(row: SummaryRow, data: Results) -> str:
    if len(row.experts) > 1 and set(row.experts) == set(data.experts):
        return f"all {len(row.experts)}"
    return ", ".join(row.experts)


def _chosen(data: Results) -> Text:
    row = data.chosen
    budget = f"Budget {row.budget} ({budget_text(row)})"
    if not row.feasible:
        return Text(f"{budget}: infeasible, no subset meets it.", style="bold red")
    span = range_text(row.latency_range_s, "s")
    loss, against = data.beside("no budget"), ""
    if loss is not None:
        against = (
            f" Against no budget {signed(loss.difference)} ({signed_span(loss.difference, loss.half_width)})."
        )
    return Text(
        f"{budget}: {len(row.experts)} of {len(data.experts)} experts on {len(row.devices)} of "
        f"{len(data.devices)} devices, score {score(row.score)}, {status_text(row)}."
        + against
        + (f" As published speeds vary, the mean latency is {span}." if span else "")
    )
