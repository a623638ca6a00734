"""``train.py``: seed, load the outputs, fit the gate, freeze it, then plan, report and log."""

import logging
import shlex
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from moe2_pl.cli._console import somebody_watches, watched
from moe2_pl.cli._run_log import show
from moe2_pl.errors import CheckpointError, ConfigError, UnknownNameError

if TYPE_CHECKING:
    from moe2_pl.outputs import ExpertOutputsDataModule
    from moe2_pl.pool import ExpertPool

__all__ = ["train"]

log = logging.getLogger(__name__)

STAGES = ("status", "precompute", "fit", "evaluate")
# The run folder is new but holds .hydra/ already, which Lightning takes for an earlier run's results;
# the third is Lightning's own use of torch.
_EXPECTED_WARNINGS = (
    "Experiment logs directory .* exists and is not empty",
    "Checkpoint directory .* exists and is not empty",
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
)


def train(config: DictConfig) -> float | None:
    """Run the stages of ``config.stages``; returns the chosen deployment's validation score, for sweepers.

    Raises:
        MoE2Error: anything in the configuration or the data that cannot be used; nothing has been written then.
    """
    began = time.perf_counter()
    for stage in config.stages:
        if stage not in STAGES:
            raise UnknownNameError("stage", stage, STAGES)
    if "evaluate" in config.stages and "fit" not in config.stages and config.checkpoint is None:
        raise ConfigError("stages has evaluate without fit; give checkpoint=…/gate.ckpt")

    import lightning as L
    from hydra.utils import instantiate
    from lightning.pytorch.loggers import WandbLogger

    from moe2_pl.cli._data import configured_plan, data_module
    from moe2_pl.cli._gate_store import gate_address, gate_store
    from moe2_pl.cli._inputs import configured_inputs
    from moe2_pl.cli._multirun import in_multirun, write_job
    from moe2_pl.cli._outputs import job_figures, write_results
    from moe2_pl.cli._sweep_wandb import kept_in_sweep
    from moe2_pl.gate import checkpoint_file, load_gate
    from moe2_pl.outputs import plan_status
    from moe2_pl.planning import certificate_options, results_of
    from moe2_pl.pool import ExpertPool
    from moe2_pl.report import finish_wandb, log_to_wandb, print_status

    # Lightning sets its own level when imported; what it tells of absent GPUs helps nobody here.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for expected in _EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message=expected)
    L.seed_everything(config.seed, workers=True, verbose=False)
    settings: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    folder = Path(config.paths.output_dir)
    certificate = certificate_options(settings)
    pool = ExpertPool.from_mapping(settings["expert_pool"])
    if "status" in config.stages:
        status = plan_status(configured_plan(settings, pool))
        show("status", print_status, status, settings["expert_pool"]["outputs"])
    if not {*config.stages} - {"status"}:
        return None
    data = data_module(settings, pool)
    data.prepare_data()
    if not {*config.stages} - {"status", "precompute"}:
        return None
    inputs = configured_inputs(settings, pool, data)
    log.debug("%s", _sizes(pool, data))
    loggers: list[Any] = []
    checkpoint, address, reused = config.checkpoint, "", False
    if "fit" in config.stages:
        store, address = gate_store(config.paths.gates), gate_address(settings, data)
        with store.claimed(address) if store else nullcontext(None) as kept:
            # A wrong option of the gate fails here, whether it is trained or not.
            fitted = None if kept else _build(config, settings, data, pool)
            log.debug("gate %s, the address of all that affects training", address)
            loggers = list(instantiate(config.logger).values())
            for logger in loggers:
                logger.log_hyperparams(settings)
                logger.save()
            if fitted is None:
                checkpoint, reused = str(kept), True
                log.info("the gate was trained before with all that affects training → %s", checkpoint)
            else:
                checkpoint = _fit(config, fitted, data, loggers)
                if checkpoint is None:
                    # Of several processes one plans and reports.
                    return None
                if store:
                    checkpoint = str(store.keep(address, checkpoint))
    if "evaluate" not in config.stages:
        return None
    checkpoint = str(checkpoint_file(checkpoint))
    gate, _, unfinished = load_gate(checkpoint)
    provenance = {
        "checkpoint": checkpoint,
        "seed": str(config.seed),
        "command": f"python {shlex.join(sys.argv)}",
    }
    options = None
    if certificate is not None and gate.recipe is not None:
        options = certificate.beside(checkpoint, common=in_multirun())
    result = results_of(inputs, gate, settings["solver"], provenance, log.info, options, unfinished, watched)
    write_results(result, folder, brief=in_multirun())
    if in_multirun():
        seconds = time.perf_counter() - began
        write_job(
            **job_figures(result, data),
            gate_address=address[:20],
            gate_reused=reused,
            seconds=round(seconds, 2),
        )
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            log_to_wandb(
                logger,
                result,
                checkpoint=checkpoint,
                gate_address=address,
                gate_reused=reused,
                trained_for=gate.hparams["trained_for"],
                pool=settings["expert_pool"],
                folder=folder,
            )
            # A sweep ends with one line for all of its jobs.
            log.log(logging.DEBUG if kept_in_sweep(logger) else logging.INFO, "%s", finish_wandb(logger))
    return result.validation_score


def _sizes(pool: "ExpertPool", data: "ExpertOutputsDataModule") -> str:
    train, validation, test = data.split
    return (
        f"pool {pool.name}: {len(pool.experts)} experts of {len(data.outputs.model_id)} models on "
        f"{len(pool.devices)} devices; {len(train)} training, {len(validation)} validation and {len(test)} held-out "
        f"queries in categories {', '.join(data.spec.categories)}"
    )


def _fit(
    config: DictConfig, gate: Any, data: "ExpertOutputsDataModule", loggers: Sequence[Any]
) -> str | None:
    """Train the gate; the checkpoint of its best epoch, None in all processes but the first.

    Raises:
        KeyboardInterrupt: training was interrupted; the best epoch's checkpoint is kept.
    """
    from hydra.utils import instantiate

    from moe2_pl.gate import run_fit

    log.debug(
        "fitting %s, %d trained parameters",
        config.objective.name,
        sum(p.numel() for p in gate.parameters() if p.requires_grad),
    )
    trainer = instantiate(config.trainer, logger=loggers, callbacks=_callbacks(config))
    started = time.perf_counter()
    try:
        run_fit(trainer, gate, data)
    except KeyboardInterrupt:
        best = trainer.checkpoint_callback.best_model_path
        log.warning(
            "training was interrupted in epoch %d; %s",
            trainer.current_epoch,
            f"the best one so far → {best}" if best else "no epoch had ended, so there is no checkpoint",
        )
        raise
    if not trainer.is_global_zero:
        return None
    checkpoint = str(trainer.checkpoint_callback.best_model_path)
    if not checkpoint:
        raise ConfigError(
            f"training has left no checkpoint: trainer.max_epochs is {config.trainer.max_epochs}; need at least 1"
        )
    log.info("fitted the gate in %.1f s → %s", time.perf_counter() - started, checkpoint)
    return checkpoint


def _callbacks(config: DictConfig) -> list[Any]:
    """The configured callbacks; without the progress bar where nobody watches."""
    from hydra.utils import instantiate
    from lightning.pytorch.callbacks import ProgressBar

    from moe2_pl.cli._epoch_lines import EpochLines
    from moe2_pl.gate import TrainingMark

    callbacks = [c for c in instantiate(config.callbacks).values() if c is not None]
    callbacks += [EpochLines(), TrainingMark()]
    if somebody_watches():
        return callbacks
    config.trainer.enable_progress_bar = False
    return [c for c in callbacks if not isinstance(c, ProgressBar)]


def _build(
    config: DictConfig, settings: dict[str, Any], data: "ExpertOutputsDataModule", pool: "ExpertPool"
) -> Any:
    """The gate of a configuration; a wrong option of the network or the optimizer fails here, before training."""
    from hydra.utils import instantiate

    from moe2_pl.gate import GatingModule, build_objective

    make = {key: instantiate(config.gate[key]) for key in ("optimizer", "scheduler")}
    make |= {
        "recipe": _recipe(settings),
        "trained_for": {"pool": pool.fingerprint(), "outputs": data.outputs.fingerprint()},
    }
    if config.gate.extend_from is not None:
        gate = _extended(config.gate.extend_from, data, **make)
        return _usable(gate)
    fitted = settings["gate"]["fitted"]
    if fitted is not None and not build_objective(**settings["objective"]).independent:
        log.info("ignoring gate.fitted: objective '%s' predicts weights, not scores", config.objective.name)
        fitted = None
    gate = GatingModule(
        spec=data.spec,
        model_ids=data.outputs.model_id,
        network=settings["gate"]["network"],
        objective=settings["objective"],
        fitted=fitted,
        **make,
    )
    return _usable(gate)


def _extended(checkpoint: str, data: "ExpertOutputsDataModule", **how: Any) -> Any:
    """The gate of a checkpoint with heads for the models that it does not know yet.

    Raises:
        ConfigError: settings of the data other than the checkpoint's, or nothing to add.
    """
    from moe2_pl.gate import GatingModule, load_gate

    loaded = load_gate(checkpoint)
    if loaded.unfinished:
        log.warning("gate.extend_from: %s", loaded.unfinished)
    for key in ("encoder", "category", "split", "fractions", "split_seed"):
        if loaded.data[key] != data.hparams[key]:
            # Another split would put queries that the frozen heads were trained on among the held-out ones.
            raise ConfigError(
                f"gate.extend_from: the checkpoint was trained with {key} {loaded.data[key]!r}, this run has "
                f"{data.hparams[key]!r}; an extension needs the same"
            )
    new = [m for m in data.outputs.model_id if m not in loaded.gate.model_ids]
    gate = GatingModule.extended(loaded.gate, new, **how)
    log.info(
        "extending %s by %s; network and what is fitted are the checkpoint's", checkpoint, ", ".join(new)
    )
    return gate


def _usable(gate: Any) -> Any:
    """The gate, once its optimizer and scheduler are known to work."""
    try:
        gate.configure_optimizers()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"gate.optimizer or gate.scheduler cannot be used: {error}") from error
    return gate


def _recipe(settings: dict[str, Any]) -> dict[str, Any] | None:
    """How this gate is trained, for gates that are retrained alike; None where a checkpoint may not say it."""
    from moe2_pl.gate import kept_recipe

    stopping = settings["callbacks"].get("early_stopping") or {}
    try:
        return kept_recipe(settings["gate"], settings["trainer"], stopping)
    except CheckpointError as error:
        # The configuration is the user's own code, and may use what no checkpoint may name.
        log.warning("no gate can be retrained alike, so this run has no certificate: %s", error)
        return None
