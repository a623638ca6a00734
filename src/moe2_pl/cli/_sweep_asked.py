"""What was asked of a multirun, from which follows which of its jobs never began."""

from collections.abc import Iterable, Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

__all__ = ["asked_jobs", "is_search", "never_began"]


def is_search(sweeper: str) -> bool:
    """Whether a sweeper, given by its class, chooses each job's settings by the scores of those before it."""
    return not sweeper.endswith(BasicSweeper.__name__)


def asked_jobs(config: DictConfig, loader: ConfigLoader) -> list[list[str]]:
    """The overrides of every job of a multirun; of a search, which has chosen none yet, an empty list for each trial.

    Args:
        config: of the multirun, with ``hydra``.
        loader: knows the options of groups, for sweeps over all of them.
    """
    sweeper = config.hydra.sweeper
    if is_search(sweeper._target_):
        if str(OmegaConf.select(sweeper, "sampler._target_")).endswith("GridSampler"):
            # It tries each point of a grid once, however many trials were asked for.
            return []
        return [[] for _ in range(sweeper.get("n_trials", 0))]
    params = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
    overrides = OverridesParser.create(loader).parse_overrides([*params, *config.hydra.overrides.task])
    (jobs,) = BasicSweeper.split_arguments(overrides, None)
    return jobs


def never_began(asked: Iterable[list[str]], began: Sequence[list[str]]) -> list[list[str]]:
    """The jobs that were asked for and have not begun.

    Args:
        asked: by :func:`asked_jobs`.
        began: the overrides of each job that has begun.

    Example:
        >>> never_began([["seed=0"], ["seed=1"], ["seed=2"]], [["seed=1"]]), never_began([[], []], [["lr=0.1"]])
        ([['seed=0'], ['seed=2']], [[]])
    """
    left = list(asked)
    for overrides in began:
        known = next((job for job in (overrides, []) if job in left), None)
        if known is not None:
            left.remove(known)
    return left
