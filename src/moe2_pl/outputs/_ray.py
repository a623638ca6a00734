"""Workers of a Ray cluster: each shard of a model's questions is one call of one of them.

Workers hold models and answer; they write nothing. The process that filled the store before does it now as well, so
that machines need no disk in common.
"""

from collections.abc import Mapping
from queue import Queue
from types import TracebackType
from typing import Any

from moe2_pl._ray import connect_ray
from moe2_pl.errors import ConfigError, MoE2Error
from moe2_pl.experts import Backend, Meter, Record, ask, open_backend
from moe2_pl.outputs._plan import OutputPlan
from moe2_pl.questions import Request

__all__ = ["RayWorkers"]

# A worker that dies, with its machine or for want of memory, is started again, and its shard tried so often.
_RETRIES = 3


class RayWorkers:
    """Actors of a Ray cluster.

    Args:
        address: of the cluster; None for the one that this machine is in, else a local one that ends with this object.
        workers: how many actors; None for as many as the cluster's CPUs, or GPUs, allow.
        cpus, gpus: that each takes.

    Raises:
        ConfigError: Ray is not installed, cannot be reached, or has no room for one worker.
    """

    def __init__(
        self, address: str | None = None, workers: int | None = None, cpus: float = 1.0, gpus: float = 0.0
    ) -> None:
        if cpus <= 0 or gpus < 0:
            raise ConfigError(
                f"precompute.cpus_per_worker is {cpus} and gpus_per_worker {gpus}; need CPUs > 0 and GPUs ≥ 0"
            )
        self._ray, self._ours = connect_ray(
            "precompute=ray", "precompute.address", address, log_to_driver=False
        )
        has = self._ray.cluster_resources()
        room = int(has.get("CPU", 0) // cpus) if not gpus else int(has.get("GPU", 0) // gpus)
        if room < 1:
            self.close()
            raise ConfigError(
                f"the Ray cluster has {has.get('CPU', 0):g} CPUs and {has.get('GPU', 0):g} GPUs; one worker takes "
                f"{cpus:g} and {gpus:g}"
            )
        self.parallel = room if workers is None else min(workers, room)
        remote: Any = self._ray.remote(
            num_cpus=cpus, num_gpus=gpus, max_restarts=-1, max_task_retries=_RETRIES
        )(_Worker)
        self._actors: list[Any] = [remote.remote(max(1, int(cpus))) for _ in range(self.parallel)]
        self._free: Queue[Any] = Queue()
        for actor in self._actors:
            self._free.put(actor)

    def ask(self, plan: OutputPlan, model: str, requests: Mapping[str, Request]) -> dict[str, Record]:
        """See :class:`moe2_pl.outputs.Workers`; waits for a free actor.

        Raises:
            MoE2Error: as the model's backend raised it, or a worker that died too often.
        """
        actor = self._free.get()
        try:
            found: dict[str, Record] = self._ray.get(
                actor.ask.remote(model, dict(plan.models[model]), dict(requests))
            )
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, MoE2Error):
                raise error.cause from error
            raise
        except self._ray.exceptions.RayActorError as error:
            raise ConfigError(
                f"a Ray worker died {_RETRIES + 1} times on one shard of '{model}'; it may be short of memory"
            ) from error
        finally:
            self._free.put(actor)
        return found

    def release(self, plan: OutputPlan, models: tuple[str, ...]) -> None:
        """Every actor gives back the memory of these models."""
        self._ray.get([actor.release.remote(models) for actor in self._actors])

    def close(self) -> None:
        """End a cluster that this object started; actors end in any case."""
        if self._ours:
            self._ray.shutdown()
            return
        for actor in getattr(self, "_actors", ()):
            self._ray.kill(actor)

    def __enter__(self) -> "RayWorkers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Worker:
    """What runs in an actor."""

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.backends: dict[str, Backend] = {}
        self.meter = Meter.here()

    def ask(self, model: str, settings: dict[str, Any], requests: dict[str, Request]) -> dict[str, Record]:
        if model not in self.backends:
            self.backends[model] = open_backend(model, settings)
        return ask(self.backends[model], requests, self.meter)

    def release(self, models: tuple[str, ...]) -> None:
        for model in models:
            if model in self.backends:
                self.backends.pop(model).close()
