"""``train.py``: seed, load the outputs, fit the gate, freeze it, then plan, report and log."""

import logging
import shlex
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from moe2_pl.errors import ConfigError, UnknownNameError

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
    """Run the stages of ``config.stages``; returns the chosen budget's held-out score for sweepers.

    Raises:
        MoE2Error: anything in the configuration or the data that cannot be used; nothing has been written then.
    """
    for stage in config.stages:
        if stage not in STAGES:
            raise UnknownNameError("stage", stage, STAGES)
    if "evaluate" in config.stages and "fit" not in config.stages and config.checkpoint is None:
        raise ConfigError("stages has evaluate without fit; give checkpoint=…/gate.ckpt")

    import lightning as L
    from hydra.utils import instantiate

    from moe2_pl.cli._certificate import certificate_options
    from moe2_pl.cli._data import configured_plan, data_module
    from moe2_pl.cli._evaluation import prepare, report_data
    from moe2_pl.cli._outputs import write_results
    from moe2_pl.gate import load_gate
    from moe2_pl.outputs import plan_status
    from moe2_pl.pool import ExpertPool
    from moe2_pl.report import log_to_wandb, print_status

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
        print_status(plan_status(configured_plan(settings, pool)), settings["expert_pool"]["outputs"])
    if not {*config.stages} - {"status"}:
        return None
    data = data_module(settings, pool)
    data.prepare_data()
    if not {*config.stages} - {"status", "precompute"}:
        return None
    setting = prepare(settings, pool, data)
    loggers = []
    checkpoint = config.checkpoint
    if "fit" in config.stages:
        fitted = _build(config, settings, data, pool)
        loggers = list(instantiate(config.logger).values())
        callbacks = _callbacks(config)
        trainer = instantiate(config.trainer, logger=loggers, callbacks=callbacks)
        for logger in loggers:
            logger.log_hyperparams(settings)
        started = time.perf_counter()
        trainer.fit(fitted, datamodule=data)
        checkpoint = trainer.checkpoint_callback.best_model_path
        if not trainer.is_global_zero:
            # Of several processes one plans and reports.
            return None
        log.info("fitted the gate in %.1f s → %s", time.perf_counter() - started, checkpoint)
    if "evaluate" not in config.stages:
        return None
    gate = load_gate(checkpoint).gate
    provenance = {
        "checkpoint": checkpoint,
        "seed": str(config.seed),
        "command": f"python {shlex.join(sys.argv)}",
    }
    kept = certificate and certificate.beside(checkpoint)
    result = report_data(setting, gate, settings["solver"], provenance, log.info, kept)
    write_results(result, folder)
    for logger in loggers:
        if type(logger).__name__ == "WandbLogger":
            log_to_wandb(logger, result)
            run = logger.experiment
            run.finish()
            if run.offline:
                import wandb

                # An offline run's finish returns before W&B's service has written the end of the file.
                wandb.teardown()
            print(f"W&B: wandb sync {Path(run.dir).parent}" if run.offline else f"W&B: {run.url}")
    return result.chosen.score


def _callbacks(config: DictConfig) -> list[Any]:
    """The configured callbacks; without the progress bar where nobody watches a terminal."""
    from hydra.utils import instantiate
    from lightning.pytorch.callbacks import ProgressBar

    callbacks = list(instantiate(config.callbacks).values())
    if sys.stderr.isatty():
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
        log.info("gate.fitted stands aside: objective '%s' has weights, no scores", config.objective.name)
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


def _recipe(settings: dict[str, Any]) -> dict[str, Any]:
    """How this gate is trained, for gates that are retrained alike; what a fit is watched by is not part of it."""
    stopping = settings["callbacks"].get("early_stopping") or {}
    return {
        "optimizer": settings["gate"]["optimizer"],
        "scheduler": settings["gate"]["scheduler"],
        "max_epochs": settings["trainer"]["max_epochs"],
        "patience": stopping.get("patience", settings["trainer"]["max_epochs"]),
    }
