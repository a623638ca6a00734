"""The offline W&B runs of a multirun: one command uploads them all."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from moe2_pl.cli._multirun import sweep_folder

if TYPE_CHECKING:
    from lightning.pytorch.loggers import WandbLogger

__all__ = ["kept_in_sweep", "sync_command"]

# From the folder of the multirun; the shell finds the same.
_RUNS = "*/wandb/offline-run-*"


def kept_in_sweep(logger: "WandbLogger") -> bool:
    """Whether the run of this job is one that :func:`sync_command` uploads, or is switched off as all jobs' are."""
    sweep, run = sweep_folder(), logger.experiment
    if sweep is None or run.disabled:
        return sweep is not None
    return Path(run.dir).parent.resolve() in sweep.resolve().glob(_RUNS)


def sync_command(sweep: Path) -> str | None:
    """The command that uploads every job's run, one after the other; None where no job has one that is offline.

    Args:
        sweep: folder of the multirun.
    """
    found = any(sweep.glob(_RUNS))
    return f"wandb sync -n 1 {shlex.quote(str(sweep))}/{_RUNS}" if found else None
