"""The certificate of a run: how much of its frontier to retrain, and where finished gates are kept."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from moe2_pl.certificate import Certificate, certify, frontier_subsets, random_subsets
from moe2_pl.errors import ConfigError
from moe2_pl.gate import GatingModule
from moe2_pl.outputs import ExpertOutputsDataModule
from moe2_pl.pool import ExpertPool
from moe2_pl.selection import Budget, Solution

__all__ = ["CertificateOptions", "certificate_options", "certified"]

# Which random subsets are looked at must not change with the training seed, or runs could not be compared.
_RANDOM_SEED = 0


@dataclass(frozen=True)
class CertificateOptions:
    """How much of the frontier to certify.

    Args:
        mode: name of the counts.
        frontier: subsets of the frontier, the chosen budget's first; None for all.
        random: random subsets.
        seeds: retrained gates of each.
        cache: folder of finished ones; None keeps nothing.
        common: whether the jobs of a sweep share one certificate: the presets' subsets come first, not the chosen
            budget's, which would differ from job to job.
    """

    mode: str
    frontier: int | None
    random: int
    seeds: int
    cache: Path | None = None
    common: bool = False

    def beside(self, checkpoint: str, *, common: bool = False) -> "CertificateOptions":
        """The same with finished gates kept in a folder beside the checkpoint."""
        return replace(self, cache=Path(checkpoint).parent / "certificate", common=common)


def certificate_options(config: Mapping[str, Any]) -> CertificateOptions | None:
    """The configuration's certificate; None where it is off.

    Raises:
        ConfigError: counts that make no certificate.
    """
    settings = config["certificate"]
    if settings["mode"] == "off":
        return None
    if settings["seeds"] < 1:
        raise ConfigError(f"certificate.seeds is {settings['seeds']}; need at least 1, or certificate=off")
    for key in ("frontier", "random"):
        if settings[key] is not None and settings[key] < 0:
            raise ConfigError(f"certificate.{key} is {settings[key]}; need 0 or more")
    return CertificateOptions(**settings)


def certified(
    gate: GatingModule,
    data: ExpertOutputsDataModule,
    pool: ExpertPool,
    energy_j: NDArray[np.float64],
    planned: Sequence[tuple[str, Budget, Solution]],
    options: CertificateOptions,
    tick: Callable[[str], None],
) -> Certificate:
    """Certify a run's frontier.

    Args:
        gate, data, pool, energy_j: as for :func:`certify`.
        planned: (name, budget, solution) of every budget, the most important first.
        options: how much.
        tick: called with lines of progress.
    """
    lock: AbstractContextManager[Any] = nullcontext()
    if options.cache is not None:
        options.cache.mkdir(parents=True, exist_ok=True)
        # Jobs of a sweep that have one gate wait for what another of them retrains.
        lock = FileLock(options.cache / ".lock")
    with lock:
        return certify(
            gate,
            data,
            pool,
            energy_j,
            frontier_subsets((_budget_label(name, budget), solution) for name, budget, solution in planned),
            random_subsets(pool, len(energy_j), options.random, _RANDOM_SEED),
            mode=options.mode,
            most_frontier=options.frontier,
            seeds=options.seeds,
            cache=options.cache,
            tick=tick,
        )


def _budget_label(name: str, budget: Budget) -> str:
    """A preset's name; of a cell of the grid its limits."""
    return name if name != "grid" else f"{budget.energy_j:.0f} J, {budget.latency_s:.3g} s"
