"""Worker processes of a multirun with ``hydra/launcher=joblib``: Ctrl-C does not reach them before their first job.

A terminal sends it to each of them, and one that is still importing would print a traceback. The process that has
started them stops them, whether they have a job or not.
"""

import signal
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

__all__ = ["JoblibWorkers"]

_LAUNCHER = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
# Windows cannot.
_CAN_BLOCK = hasattr(signal, "pthread_sigmask")


class JoblibWorkers(Callback):
    """Holds Ctrl-C back from workers until they have a job, which knows what to do then."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Before the launcher starts workers: it asks for joblib's backend by this name."""
        if config.hydra.launcher.get("_target_") != _LAUNCHER or not _CAN_BLOCK:
            return
        from joblib import register_parallel_backend  # type: ignore[import-untyped]

        from moe2_pl.cli._joblib_backend import HeldBackend

        register_parallel_backend("loky", HeldBackend)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """In the worker; a Ctrl-C that was held back comes now."""
        if _CAN_BLOCK:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
