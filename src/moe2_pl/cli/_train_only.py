"""What only ``train.py`` reads, explained to whoever gives it to ``evaluate.py``."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields

from hydra.errors import ConfigCompositionException

from moe2_pl.cli._schema import EvaluateConf, TrainConf
from moe2_pl.errors import ConfigError

__all__ = ["refuse_train_only", "train_only_told"]

_NAMES = {f.name for f in fields(TrainConf)} - {f.name for f in fields(EvaluateConf)}
_WHY = {
    "logger": "it logs to nothing, W&B included; its results are files in the run folder",
    "precompute": "it asks no models; train.py stages=[precompute] does",
    "stages": "it only evaluates; train.py has stages",
}
_TRAINING = "a gate's training and data are fixed in its checkpoint; train.py trains another gate"
# How Hydra and OmegaConf name a key or group that the configuration lacks.
_LACKS = re.compile(r"(?:Could not override|Key) '(\w+)")


def refuse_train_only(keys: Iterable[str]) -> None:
    """Check the top keys of a configuration of ``evaluate.py``: ``+trainer.max_epochs=3`` adds one unasked.

    Raises:
        ConfigError: a key that only ``train.py`` reads.
    """
    for key in keys:
        if key in _NAMES:
            raise ConfigError(f"evaluate.py takes no '{key}': {_WHY.get(key, _TRAINING)}")


@contextmanager
def train_only_told(command: str) -> Iterator[None]:
    """Turn what Hydra raises into an error of ours where ``evaluate`` is given a key or group of ``train`` alone.

    Hydra's own line would advise to add it.

    Args:
        command: ``"train"`` or ``"evaluate"``.

    Raises:
        ConfigError: a key or group that only ``train.py`` reads.
    """
    try:
        yield
    except ConfigCompositionException as error:
        if command == "evaluate":
            refuse_train_only(_LACKS.findall(str(error)))
        raise
