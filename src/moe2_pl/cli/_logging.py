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

    if offline is None:
        mode = os.environ.get("WANDB_MODE")
        offline = mode == "offline" if mode else not wandb.login(prompt=False)
    # The mode is said twice: W&B has read its environment by now, which is where Lightning would say it.
    mode_again: dict[str, Any] = {"mode": "offline"} if offline else {}
    return WandbLogger(offline=offline, settings=wandb.Settings(silent=True), **mode_again, **options)
