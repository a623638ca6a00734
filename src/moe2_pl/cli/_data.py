"""From a configuration to the DataModule: recorded outputs, or a plan of what models have yet to answer."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig

from moe2_pl.cli._console import watched
from moe2_pl.cli._run_log import show
from moe2_pl.errors import ConfigError, IntegrityError, UnknownNameError
from moe2_pl.outputs import (
    ExpertOutputs,
    ExpertOutputsDataModule,
    LocalWorkers,
    ModelFill,
    OutputPlan,
    OutputStore,
    RayWorkers,
    Workers,
    find_outputs,
    precomputed,
)
from moe2_pl.pool import ExpertPool
from moe2_pl.questions import questions_from_config
from moe2_pl.report import print_fills

__all__ = ["configured_plan", "data_module"]

log = logging.getLogger(__name__)

# What of a pool is read only where its models are asked.
_ASKED = ("expert_pool.questions", "expert_pool.models", "expert_pool.encoders")
_COSTS = ("modelled", "measured")


def data_module(settings: Mapping[str, Any], pool: ExpertPool) -> ExpertOutputsDataModule:
    """The DataModule of a run; ``prepare_data`` asks the models for what is missing.

    Args:
        settings: ``expert_pool``, ``precompute``, ``data`` and ``encoder`` of the configuration.
        pool: N experts.

    Raises:
        MoE2Error: settings that cannot be used.
    """
    recorded, anew = settings["expert_pool"]["outputs"], settings["precompute"]["force"]
    plan = None if recorded is not None and not anew else configured_plan(settings, pool)
    if plan is None:
        _refuse_unread(recorded)

    def ask(plan: OutputPlan) -> ExpertOutputs:
        if not sys.stderr.isatty():
            # Bars of every file that is loaded would fill a log; read when the library is first imported.
            os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        before = _before(plan, recorded) if anew else None
        with _workers(settings["precompute"]) as workers:
            outputs = precomputed(plan, workers, _watch, partial(show, "asked", print_fills), anew=anew)
        if before is not None:
            _compare(outputs, before, recorded or "before")
        if settings["precompute"]["save"] is not None:
            log.info("outputs: %s", outputs.save(settings["precompute"]["save"]))
        return outputs

    return ExpertOutputsDataModule(
        outputs=recorded if plan is None else plan,
        encoder=settings["encoder"]["name"],
        experts=pool.model_ids,
        precompute=ask,
        **settings["data"],
    )


def configured_plan(settings: Mapping[str, Any], pool: ExpertPool) -> OutputPlan:
    """Which questions are put to which models.

    Raises:
        ConfigError: no questions, or a model of the pool that nothing says how to run.
        UnknownNameError: a model that the pool does not have.
    """
    given = settings["expert_pool"]
    if given["costs"] not in _COSTS:
        raise UnknownNameError("expert_pool.costs", given["costs"], _COSTS)
    if not given["models"] or not given["questions"]:
        raise ConfigError(
            f"pool '{given['name']}' reads no recorded outputs, so its models must answer: say in "
            "expert_pool.questions what, and in expert_pool.models how each of them is run; or name recorded outputs "
            "in expert_pool.outputs"
        )
    for name in given["models"]:
        if name not in pool.model_ids:
            raise UnknownNameError("model of expert_pool.models", name, pool.model_ids)
    lacking = [model for model in pool.model_ids if model not in given["models"]]
    if lacking:
        named = ", ".join(f"'{model}'" for model in lacking)
        raise ConfigError(f"expert_pool.models says nothing of {named}; say how to run them")
    questions, tasks = questions_from_config(given["questions"])
    return OutputPlan(
        questions=tuple(questions),
        tasks=tasks,
        models={model: given["models"][model] for model in pool.model_ids},
        store=OutputStore(settings["precompute"]["store"]),
        encoders=given["encoders"],
        shard=settings["precompute"]["shard"],
        measured=given["costs"] == "measured",
    )


@contextmanager
def _workers(settings: Mapping[str, Any]) -> Iterator[Workers]:
    if settings["launcher"] == "local":
        yield LocalWorkers()
    elif settings["launcher"] == "ray":
        how = (
            settings["address"],
            settings["workers"],
            settings["cpus_per_worker"],
            settings["gpus_per_worker"],
        )
        with RayWorkers(*how) as workers:
            yield workers
    else:
        raise UnknownNameError("precompute.launcher", settings["launcher"], ("local", "ray"))


@contextmanager
def _watch(counts: ModelFill) -> Iterator[Callable[[], None]]:
    """Progress of one model's questions."""
    if counts.cached == counts.requests:
        yield lambda: None
        return
    started = monotonic()
    with watched(counts.model, counts.requests, counts.cached) as advance:

        def tick() -> None:
            seconds = monotonic() - started
            speeds = f"{counts.asked / seconds:,.3g} questions/s, {counts.tokens / seconds:,.3g} tokens/s"
            advance(counts.cached + counts.asked, speeds)

        yield tick


def _refuse_unread(recorded: str) -> None:
    """Refuse overrides of what only the pool's models would be asked, where recorded outputs are read.

    Raises:
        ConfigError: there is one.
    """
    for override in HydraConfig.get().overrides.task if HydraConfig.initialized() else ():
        key = override.lstrip("+~").partition("=")[0]
        if key.startswith(_ASKED):
            raise ConfigError(
                f"{key} is given, but the pool reads its recorded outputs, '{recorded}'; expert_pool.outputs=null asks "
                "its models"
            )


def _before(plan: OutputPlan, recorded: str | None) -> ExpertOutputs | None:
    """What is about to be asked for anew: the recorded outputs, or those of earlier answers where there are any."""
    if recorded is not None:
        return ExpertOutputs.load(find_outputs(recorded))
    with suppress(IntegrityError):
        return ExpertOutputs.load(plan.folder)
    return None


def _compare(outputs: ExpertOutputs, before: ExpertOutputs, name: str) -> None:
    """How far outputs that were asked for anew are from the former ones."""
    if tuple(before.id) != tuple(outputs.id) or before.experts != outputs.experts:
        log.info("outputs '%s' hold other questions or models; nothing to compare with", name)
        return
    text = f"{(before.score != outputs.score).sum()} of {outputs.score.size} scores differ"
    if before.log_prob is not None and outputs.log_prob is not None:
        both = np.isfinite(before.log_prob) & np.isfinite(outputs.log_prob)
        largest = np.abs(before.log_prob[both] - outputs.log_prob[both]).max(initial=0)
        text += f", log-probabilities by at most {largest:.2g}"
    log.info("outputs '%s' and those asked for anew: %s", name, text)
