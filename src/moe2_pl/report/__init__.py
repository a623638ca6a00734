"""What a person looks at after a run: the HTML report, the CSV files, the closing table, and W&B.

Every function takes the plain values of :class:`Results`, or of :class:`Comparison` for the jobs of a sweep, and
computes nothing about deployments itself.
Importing this room is cheap: Plotly, Rich and W&B are loaded when a function that needs them is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from moe2_pl.report._comparison._data import Comparison, JobRow

if TYPE_CHECKING:
    from moe2_pl.report._comparison._html import write_comparison
    from moe2_pl.report._comparison._terminal import print_comparison
    from moe2_pl.report._csv import (
        read_frontier,
        write_baselines,
        write_certificate,
        write_frontier,
        write_frontier_by_category,
        write_parts,
    )
    from moe2_pl.report._precompute import print_fills, print_status
    from moe2_pl.report._run_report._html import write_report
    from moe2_pl.report._terminal import print_summary
    from moe2_pl.report._wandb._log import finish_wandb, log_to_wandb, wandb_axes

__all__ = [
    "Comparison",
    "JobRow",
    "finish_wandb",
    "log_to_wandb",
    "print_comparison",
    "print_fills",
    "print_status",
    "print_summary",
    "read_frontier",
    "wandb_axes",
    "write_baselines",
    "write_certificate",
    "write_comparison",
    "write_frontier",
    "write_frontier_by_category",
    "write_parts",
    "write_report",
]

_HOME = {
    "finish_wandb": "_wandb._log",
    "log_to_wandb": "_wandb._log",
    "print_comparison": "_comparison._terminal",
    "print_fills": "_precompute",
    "print_status": "_precompute",
    "print_summary": "_terminal",
    "read_frontier": "_csv",
    "wandb_axes": "_wandb._log",
    "write_baselines": "_csv",
    "write_certificate": "_csv",
    "write_comparison": "_comparison._html",
    "write_frontier": "_csv",
    "write_frontier_by_category": "_csv",
    "write_parts": "_csv",
    "write_report": "_run_report._html",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
