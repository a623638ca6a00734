"""Lightning's W&B logger, told this project's x-axes."""

from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger as LightningWandbLogger

from moe2_pl.report import wandb_axes

__all__ = ["WandbLogger"]


class WandbLogger(LightningWandbLogger):
    """A ``lightning.pytorch.loggers.WandbLogger`` whose training curves are drawn by epoch."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The ``wandb`` run, started when it is first asked for."""
        fresh = self._experiment is None
        run = super().experiment
        if fresh:
            wandb_axes(run)
        return run
