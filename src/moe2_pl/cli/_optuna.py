"""What Optuna says of a search, in the lines of Hydra; colour codes would stand in files, too."""

import logging
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

__all__ = ["OptunaLines"]

_SWEEPER = "hydra_plugins.hydra_optuna_sweeper."


class OptunaLines(Callback):
    """Takes Optuna's own handler away; its sweeper names the study already, so that warnings are what is left."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Before the sweeper's first line, where it is Optuna's."""
        if not config.hydra.sweeper._target_.startswith(_SWEEPER):
            return
        import optuna

        optuna.logging.disable_default_handler()
        optuna.logging.enable_propagation()
        optuna.logging.set_verbosity(logging.WARNING)
