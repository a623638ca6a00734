"""The cluster of a multirun with ``hydra/launcher=ray``, connected before the launcher would.

The launcher takes a connection that it finds. Its own can reach no cluster that runs already, and leaves jobs in the
folder where such a cluster was started, so that their files would be there.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from moe2_pl._ray import connect_ray
from moe2_pl.errors import ConfigError, MoE2Error

__all__ = ["RayCluster", "ray_errors_told"]

_LAUNCHER = "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher"
# Environment variable of a worker: where the sweep was started.
_FOLDER = "MOE2_PL_SWEEP_STARTED_IN"


class RayCluster(Callback):
    """Connects a multirun to Ray; its jobs run in the folder in which it was started."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Connect, where the launcher is Ray's; end the process with one line where that fails."""
        if config.hydra.launcher.get("_target_") != _LAUNCHER:
            return
        settings: Any = OmegaConf.to_container(config.hydra.launcher.ray.init, resolve=True)
        there = settings.pop("runtime_env", None) or {}
        there["env_vars"] = {_FOLDER: str(Path.cwd()), **there.get("env_vars", {})}
        there.setdefault("worker_process_setup_hook", f"{__name__}.{enter_folder.__name__}")
        address = settings.pop("address", None)
        try:
            if (address or os.environ.get("RAY_ADDRESS", "")).startswith("ray://"):
                # Its workers would stay in the folder of the cluster, since no hook is called for a client.
                raise ConfigError(
                    "hydra/launcher=ray takes no ray:// address: start the sweep on a machine of the cluster, with "
                    "hydra.launcher.ray.init.address=HOST:6379"
                )
            connect_ray(
                "hydra/launcher=ray",
                "hydra.launcher.ray.init.address",
                address,
                **{"runtime_env": there, **settings},
            )
        except ConfigError as error:
            # Of what a callback raises Hydra makes a warning; this passes.
            sys.exit(f"error: {error}")


def enter_folder() -> None:
    """What each worker does first; a cluster is told its name, and imports it there."""
    os.chdir(os.environ[_FOLDER])


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
