"""``evaluate.py``: plan and report with a trained gate; nothing is retrained."""

import logging
import shlex
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from moe2_pl.cli._train_only import refuse_train_only
from moe2_pl.errors import ConfigError

__all__ = ["evaluate"]

log = logging.getLogger(__name__)


def evaluate(config: DictConfig) -> None:
    """Load ``checkpoint``, evaluate it on the data it was trained for, write the results.

    Raises:
        MoE2Error: a checkpoint, pool or budget that cannot be used.
    """
    refuse_train_only(map(str, config))
    if OmegaConf.is_missing(config, "checkpoint"):
        raise ConfigError(
            "evaluate.py needs a trained gate: checkpoint=outputs/<date>/<time>/gate.ckpt, as train.py leaves "
            "it in its run folder"
        )

    from moe2_pl.cli._console import watched
    from moe2_pl.cli._inputs import configured_inputs
    from moe2_pl.cli._multirun import in_multirun, write_job
    from moe2_pl.cli._outputs import job_figures, write_results
    from moe2_pl.gate import checkpoint_file, load_gate
    from moe2_pl.outputs import ExpertOutputsDataModule
    from moe2_pl.planning import certificate_options, results_of
    from moe2_pl.pool import ExpertPool

    settings: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    certificate = certificate_options(settings)
    pool = ExpertPool.from_mapping(settings["expert_pool"])
    checkpoint = str(checkpoint_file(settings["checkpoint"]))
    loaded = load_gate(checkpoint)
    # The split must be the one that the gate was trained with, or held-out queries would be training ones.
    data = ExpertOutputsDataModule(**{**loaded.data, "categories": loaded.gate.spec.categories})
    inputs = configured_inputs(settings, pool, data)
    provenance = {"checkpoint": checkpoint, "command": f"python {shlex.join(sys.argv)}"}
    options = certificate and certificate.beside(checkpoint, common=in_multirun())
    result = results_of(
        inputs, loaded.gate, settings["solver"], provenance, log.info, options, loaded.unfinished, watched
    )
    folder = Path(settings["paths"]["output_dir"])
    write_results(result, folder, brief=in_multirun())
    if in_multirun():
        write_job(**job_figures(result, data))
