"""What an epoch came to, as a line of the log."""

import logging

import lightning as L
from lightning.pytorch.callbacks import Callback

__all__ = ["EpochLines"]

log = logging.getLogger(__name__)


class EpochLines(Callback):
    """Logs the figures of every epoch, seen with ``-v``."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """One line an epoch, from the first process."""
        if trainer.is_global_zero:
            figures = (f"{name} {float(value):.4f}" for name, value in trainer.logged_metrics.items())
            log.debug("epoch %d: %s", trainer.current_epoch, ", ".join(figures))
