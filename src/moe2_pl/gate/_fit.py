"""Training a gate from a recipe of plain values, away from any configuration: for certificates and benchmarks."""

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.utilities.seed import isolate_rng

from moe2_pl.gate._checkpoint import load_gate
from moe2_pl.gate._module import GatingModule
from moe2_pl.gate._recipe import optimizer_of, scheduler_of, trainer_options
from moe2_pl.outputs import ExpertOutputsDataModule

__all__ = ["fit_gate", "run_fit"]


def run_fit(trainer: L.Trainer, gate: GatingModule, data: ExpertOutputsDataModule) -> None:
    """``trainer.fit``, in which Ctrl-C is what it is elsewhere.

    Raises:
        KeyboardInterrupt: training was interrupted; Lightning itself would end the process.
    """
    try:
        trainer.fit(gate, datamodule=data)
    except SystemExit as stop:
        if not trainer.interrupted:
            raise
        raise KeyboardInterrupt from stop


def fit_gate(
    data: ExpertOutputsDataModule,
    *,
    network: Mapping[str, Any],
    objective: Mapping[str, Any],
    fitted: Mapping[str, Any] | None,
    recipe: Mapping[str, Any],
    seed: int,
) -> GatingModule:
    """Train a gate and return it frozen, at its best epoch on validation queries.

    The caller's random state is left as it was.

    Args:
        data: outputs and split.
        network, objective, fitted: as for :class:`GatingModule`.
        recipe: ``optimizer`` and optionally ``scheduler`` as ``{"_target_": "torch.optim.AdamW", "lr": …}``,
            ``max_epochs``, ``patience``, and ``trainer``: further settings of the Trainer.
        seed: of weights, batches and what is fitted.

    Raises:
        CheckpointError: a recipe with more than names of torch.optim and plain values.
        KeyboardInterrupt: training was interrupted.
    """
    with isolate_rng(), tempfile.TemporaryDirectory() as folder, _quiet():
        L.seed_everything(seed, verbose=False)
        gate = GatingModule(
            data.spec,
            data.outputs.model_id,
            network,
            objective,
            fitted,
            optimizer_of(recipe),
            scheduler_of(recipe),
            recipe,
        )
        keep = ModelCheckpoint(dirpath=folder, filename="gate", monitor="val/loss")
        trainer = L.Trainer(
            **trainer_options(recipe),
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            devices=1,
            callbacks=[EarlyStopping("val/loss", patience=recipe["patience"]), keep],
        )
        run_fit(trainer, gate, data)
        return load_gate(keep.best_model_path).gate


@contextmanager
def _quiet() -> Iterator[None]:
    """Dozens of small fits would each tell of absent GPUs and of workers that arrays in memory do not need."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
