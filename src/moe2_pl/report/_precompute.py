"""What models have answered: the tables of ``stages=[status]`` and of a precompute, in the terminal."""

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from moe2_pl.outputs import ModelFill, StoreStatus
from moe2_pl.report._console import sized
from moe2_pl.report._format import quantity

__all__ = ["print_fills", "print_status"]


def print_status(status: StoreStatus, recorded: str | None = None, console: Console | None = None) -> None:
    """Print one line for each model, and what else lies in the store.

    Args:
        status: of a plan and its store.
        recorded: outputs that the pool reads instead of asking its models.
        console: where to print; by default standard output.
    """
    out = sized(console)
    table = _table("model", "cached", "missing", "too long", "other requests", "corrupt shards")
    for model in status.models:
        table.add_row(
            model.model,
            f"{model.cached:,} of {model.requests:,}",
            *_counts(model.missing, model.too_long, model.others, model.corrupt),
        )
    out.print(table)
    if status.stale_answers:
        out.print(
            f"stale: {status.stale_answers:,} answers ({status.stale_mb:.1f} MB) of models with other settings, or of "
            "other pools"
        )
    missing = sum(model.missing for model in status.models)
    said = f"{missing:,} answers are missing" if missing else "nothing is missing"
    if recorded is not None:
        said += f"; the pool reads recorded outputs, '{recorded}': expert_pool.outputs=null asks its models"
    elif missing:
        said += ": stages=[precompute] asks for them"
    elif not status.assembled:
        said += "; the outputs are not put together yet"
    # Brackets are no markup here.
    out.print(said, markup=False)


def print_fills(fills: Sequence[ModelFill], console: Console | None = None) -> None:
    """Print what was asked of each model, how fast it answered and what that took.

    Args:
        fills: one for each model.
        console: where to print; by default standard output.
    """
    out = sized(console)
    table = _table(
        *("model", "cached", "asked", "too long", "questions/s", "tokens/s"),
        *("seconds (prefill + decode)", "energy"),
    )
    for fill in fills:
        rates = (
            (fill.asked / fill.seconds, fill.tokens / fill.seconds) if fill.seconds else (math.nan, math.nan)
        )
        energy = quantity(fill.joules, "J") if fill.asked and math.isfinite(fill.joules) else "not metered"
        table.add_row(
            fill.model,
            *_counts(fill.cached, fill.asked, fill.too_long),
            *(f"{rate:,.3g}" if math.isfinite(rate) else "" for rate in rates),
            _seconds(fill) if fill.asked else "",
            energy if fill.asked else "",
        )
    out.print(table)


def _seconds(fill: ModelFill) -> str:
    parts = fill.prefill_s, fill.decode_s
    told = f" ({parts[0]:,.1f}+{parts[1]:,.1f})" if all(map(math.isfinite, parts)) else ""
    return f"{fill.seconds:,.1f}{told}"


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, overflow="fold")
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def _counts(*counts: int) -> list[str]:
    return [f"{count:,}" if count else "–" for count in counts]
