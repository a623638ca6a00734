"""Reading a gate back from a checkpoint, as tensors and plain values only: never arbitrary objects."""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from moe2_pl.errors import CheckpointError
from moe2_pl.gate._module import GatingModule
from moe2_pl.gate._recipe import check_recipe
from moe2_pl.gate._training_mark import unfinished

__all__ = ["LoadedGate", "checkpoint_file", "load_gate"]


class LoadedGate(NamedTuple):
    """A frozen gate, the settings of the data that it was trained on, and what must be said beside its figures.

    ``unfinished`` is empty unless training was interrupted, or goes on while this is read.
    """

    gate: GatingModule
    data: dict[str, Any]
    unfinished: str = ""


def checkpoint_file(path: str | Path) -> Path:
    """The file that a path to a checkpoint names: itself, or the gate.ckpt of a run folder.

    Raises:
        CheckpointError: there is no such file.
    """
    given = Path(path)
    file = given / "gate.ckpt" if given.is_dir() else given
    if not file.is_file():
        where = f"no gate.ckpt in folder '{path}'" if given.is_dir() else f"no checkpoint at '{path}'"
        raise CheckpointError(f"{where}; train.py writes gate.ckpt into its run folder")
    return file


def load_gate(path: str | Path) -> LoadedGate:
    """Read a checkpoint that training wrote.

    Args:
        path: of a gate.ckpt, or of the run folder that holds one.

    Raises:
        CheckpointError: no such file, a pickle of arbitrary objects, a checkpoint of something else, or one
            whose recipe is more than names of torch.optim and plain values.
    """
    file = checkpoint_file(path)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make the unpickler fail in as many ways as there are opcodes
        reason = f"{type(error).__name__}: {error}".strip().split("\n")[0].split(". ")[0]
        raise CheckpointError(
            f"'{path}' cannot be read as tensors and plain values ({reason}); expected a gate.ckpt written by train.py"
        ) from error
    needed = ("state_dict", "hyper_parameters", "datamodule_hyper_parameters")
    if not isinstance(content, dict) or any(key not in content for key in needed):
        raise CheckpointError(f"'{path}' is not a gate's checkpoint; it lacks one of {', '.join(needed)}")
    # A checkpoint is data: what it says of its training is checked before anything is made of it.
    check_recipe(dict(content["hyper_parameters"]).get("recipe"))
    try:
        gate = GatingModule(**content["hyper_parameters"])
        gate.load_state_dict(content["state_dict"])
    except (TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"'{path}' does not hold a gate of this release: {' '.join(str(error).split())[:200]}"
        ) from error
    gate.freeze()
    return LoadedGate(gate, dict(content["datamodule_hyper_parameters"]), unfinished(content))
