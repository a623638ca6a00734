"""How a gate is trained, as data: a checkpoint names an optimizer of a list, and numbers; nothing in it is imported."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from moe2_pl.errors import CheckpointError, closest

__all__ = ["check_recipe", "kept_recipe", "optimizer_of", "scheduler_of", "trainer_options"]

_NUMBERS_ONLY = (
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "StepLR",
)


def _named(*kinds: type, room: str) -> dict[str, type]:
    """Each class under the name that users write, and under that of its own module."""
    return {name: k for k in kinds for name in (f"{room}.{k.__name__}", f"{k.__module__}.{k.__name__}")}


_OPTIMIZERS = _named(
    *(
        kind
        for kind in vars(torch.optim).values()
        if isinstance(kind, type)
        and issubclass(kind, torch.optim.Optimizer)
        and kind is not torch.optim.Optimizer
    ),
    room="torch.optim",
)
# Of the schedulers those that numbers make; the others take functions or further schedulers.
_SCHEDULERS = _named(
    *(getattr(torch.optim.lr_scheduler, name) for name in _NUMBERS_ONLY), room="torch.optim.lr_scheduler"
)
# Settings of a Trainer that change which gate comes out, and what they are where nobody says.
_TRAINER: Mapping[str, Any] = {
    "min_epochs": None,
    "max_steps": -1,
    "min_steps": None,
    "precision": None,
    "limit_train_batches": None,
    "limit_val_batches": None,
    "overfit_batches": 0.0,
    "val_check_interval": None,
    "check_val_every_n_epoch": 1,
    "accumulate_grad_batches": 1,
    "gradient_clip_val": None,
    "deterministic": None,
}
_KEYS = ("optimizer", "scheduler", "max_epochs", "patience", "trainer")


def check_recipe(recipe: Mapping[str, Any] | None) -> None:
    """Refuse a recipe that is more than names from the lists and plain values.

    Args:
        recipe: ``optimizer`` and ``scheduler`` as ``{"_target_": name, …}`` or None, ``max_epochs``, ``patience``, and
            ``trainer`` with settings of the Trainer; None for a gate that keeps none.

    Raises:
        CheckpointError: an entry that is not known, or that is nested.
    """
    if recipe is None:
        return
    if not isinstance(recipe, Mapping):
        raise CheckpointError(f"the recipe is {recipe!r:.80}; it must be a mapping")
    _known("recipe", recipe, _KEYS)
    _known("recipe.trainer", recipe.get("trainer") or {}, _TRAINER)
    for key, table in (("optimizer", _OPTIMIZERS), ("scheduler", _SCHEDULERS)):
        node = recipe.get(key)
        if node is not None:
            _check_node(f"recipe.{key}", node, table)
    for key in ("max_epochs", "patience"):
        _check_plain(f"recipe.{key}", recipe.get(key))
    for key, value in (recipe.get("trainer") or {}).items():
        _check_plain(f"recipe.trainer.{key}", value)


def kept_recipe(
    gate: Mapping[str, Any], trainer: Mapping[str, Any], stopping: Mapping[str, Any]
) -> dict[str, Any]:
    """The recipe of a run.

    Args:
        gate: with ``optimizer`` and ``scheduler``.
        trainer: settings of the Trainer; those that are as usual are left out.
        stopping: of early stopping; empty for none.

    Raises:
        CheckpointError: an optimizer or scheduler that a checkpoint may not name.
    """
    recipe: dict[str, Any] = {
        "optimizer": gate["optimizer"],
        "scheduler": gate["scheduler"],
        "max_epochs": trainer["max_epochs"],
        "patience": stopping.get("patience", trainer["max_epochs"]),
    }
    changed = {key: trainer[key] for key, usual in _TRAINER.items() if trainer.get(key, usual) != usual}
    if changed:
        recipe["trainer"] = changed
    check_recipe(recipe)
    return recipe


def optimizer_of(recipe: Mapping[str, Any]) -> Callable[..., torch.optim.Optimizer] | None:
    """Parameters → the recipe's optimizer; None for the gate's own default.

    Raises:
        CheckpointError: a recipe that :func:`check_recipe` refuses.
    """
    made: Callable[..., torch.optim.Optimizer] | None = _partial(recipe, "optimizer", _OPTIMIZERS)
    return made


def scheduler_of(recipe: Mapping[str, Any]) -> Callable[..., torch.optim.lr_scheduler.LRScheduler] | None:
    """Optimizer → the recipe's scheduler of the learning rate; None for none.

    Raises:
        CheckpointError: a recipe that :func:`check_recipe` refuses.
    """
    made: Callable[..., torch.optim.lr_scheduler.LRScheduler] | None
    made = _partial(recipe, "scheduler", _SCHEDULERS)
    return made


def trainer_options(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for a Trainer that trains by the recipe.

    Raises:
        CheckpointError: a recipe that :func:`check_recipe` refuses.
    """
    check_recipe(recipe)
    return {"max_epochs": recipe["max_epochs"], **(recipe.get("trainer") or {})}


def _partial(recipe: Mapping[str, Any], key: str, table: Mapping[str, type]) -> Any:
    check_recipe(recipe)
    node = recipe.get(key)
    if node is None:
        return None
    return partial(table[node["_target_"]], **{k: v for k, v in node.items() if not k.startswith("_")})


def _check_node(where: str, node: Any, table: Mapping[str, type]) -> None:
    if not isinstance(node, Mapping) or not isinstance(name := node.get("_target_"), str):
        raise CheckpointError(f"{where} is {node!r:.80}; it must name a class of torch.optim as _target_")
    if name not in table:
        close = closest(name, table)
        hint = f"did you mean '{close}'?" if close else "a checkpoint may name classes of torch.optim only"
        raise CheckpointError(f"{where} names '{name:.80}', which is not allowed in a checkpoint: {hint}")
    for key, value in node.items():
        if key == "_target_" or (key == "_partial_" and value is True):
            continue
        if not isinstance(key, str) or key.startswith("_"):
            raise CheckpointError(f"{where} has the entry {key!r:.80}; options of {name} are allowed")
        _check_plain(f"{where}.{key}", value)


def _check_plain(where: str, value: Any) -> None:
    plain = (int, float, str, type(None))
    flat = isinstance(value, (list, tuple)) and all(isinstance(part, (int, float)) for part in value)
    if not isinstance(value, plain) and not flat:
        raise CheckpointError(f"{where} is {value!r:.80}; a plain value or a list of numbers is needed")


def _known(where: str, given: Any, known: Any) -> None:
    if not isinstance(given, Mapping):
        raise CheckpointError(f"{where} is {given!r:.80}; it must be a mapping")
    for key in given:
        if key not in known:
            raise CheckpointError(f"{where} has the entry {key!r:.80}; known are {', '.join(known)}")
