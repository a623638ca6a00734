"""The cluster of a multirun with ``hydra/launcher=ray``, connected before the launcher would.

The launcher takes a connection that it finds. Its own can reach no cluster that runs already, and leaves jobs in the
folder where such a cluster was started, so that their files would be there.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from moe2_pl._ray import connect_ray
from moe2_pl.errors import ConfigError, MoE2Error

__all__ = ["RayCluster", "ray_errors_told"]

_LAUNCHER = "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher"


class RayCluster(Callback):
    """Connects a multirun to Ray; its jobs run in the folder in which it was started."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Connect, where the launcher is Ray's; end the process with one line where that fails."""
        if config.hydra.launcher.get("_target_") != _LAUNCHER:
            return
        settings: Any = OmegaConf.to_container(config.hydra.launcher.ray.init, resolve=True)
        environment = {"worker_process_setup_hook": _entering(Path.cwd()), **settings.pop("runtime_env", {})}
        address = settings.pop("address", None)
        try:
            connect_ray(
                *("hydra/launcher=ray", "hydra.launcher.ray.init.address", address),
                **{"runtime_env": environment, **settings},
            )
        except ConfigError as error:
            # Of what a callback raises Hydra makes a warning; this passes.
            sys.exit(f"error: {error}")


def _entering(folder: Path) -> Callable[[], None]:
    """What each worker does first; a function within one, for workers get its code, not its name."""

    def enter() -> None:
        os.chdir(folder)

    return enter


@contextmanager
def ray_errors_told() -> Iterator[None]:
    """Turn what Ray raises, where it is used at all, into an error of ours: a job's worker died, or could not start.

    Raises:
        MoE2Error: Ray raised an error.
    """
    try:
        yield
    except Exception as error:
        ray = sys.modules.get("ray")
        if ray is None or not isinstance(error, ray.exceptions.RayError):
            raise
        raise MoE2Error(f"the Ray cluster has lost a job: {' '.join(str(error).split())[:300]}") from error
