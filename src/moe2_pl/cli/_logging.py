"""The W&B logger with the default that a machine without an account needs: offline."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning.pytorch.loggers import WandbLogger

__all__ = ["wandb_logger"]


def wandb_logger(offline: bool | None = None, **options: Any) -> "WandbLogger":
    """A ``WandbLogger``; with ``offline=None`` it is offline unless there is a login or ``WANDB_MODE``."""
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    mode = os.environ.get("WANDB_MODE")
    if offline is None:
        offline = mode == "offline" if mode else wandb.api.api_key is None
    return WandbLogger(offline=offline, **options)
