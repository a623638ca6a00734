"""From a configuration to the DataModule: recorded outputs, or a plan of what models have yet to answer."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any

import numpy as np

from moe2_pl.errors import ConfigError, UnknownNameError
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

_COSTS = ("modelled", "measured")
# Lines of progress where nobody watches a terminal.
_EVERY_S = 15.0


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

    def ask(plan: OutputPlan) -> ExpertOutputs:
        if not sys.stderr.isatty():
            # Bars of every file that is loaded would fill a log; read when the library is first imported.
            os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        with _workers(settings["precompute"]) as workers:
            outputs = precomputed(plan, workers, _watch, print_fills, anew=anew)
        if anew and recorded is not None:
            _compare(outputs, recorded)
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
            f"pool '{given['name']}' has outputs {given['outputs']} and precompute.force is "
            f"{settings['precompute']['force']}, so its models must answer: say in expert_pool.questions what, and in "
            "expert_pool.models how each of them is run; or name recorded outputs"
        )
    for name in given["models"]:
        if name not in pool.model_ids:
            raise UnknownNameError("model of expert_pool.models", name, pool.model_ids)
    lacking = [model for model in pool.model_ids if model not in given["models"]]
    if lacking:
        raise ConfigError(f"expert_pool.models says nothing of {', '.join(lacking)}; say how to run them")
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
    """Progress of one model: a bar where somebody watches a terminal, else a line now and then."""
    if counts.cached == counts.requests:
        yield lambda: None
        return
    started = monotonic()
    if not sys.stderr.isatty():
        said = started

        def tick() -> None:
            nonlocal said
            if monotonic() - said >= _EVERY_S:
                said = monotonic()
                log.info("%s: %s", counts.model, _rate(counts, said - started))

        yield tick
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(counts.model, total=counts.requests, completed=counts.cached, rate="loading")

        def advance() -> None:
            done = counts.cached + counts.asked
            progress.update(bar, completed=done, rate=_speeds(counts, monotonic() - started))

        yield advance


def _speeds(counts: ModelFill, seconds: float) -> str:
    return f"{counts.asked / seconds:,.3g} questions/s, {counts.tokens / seconds:,.3g} tokens/s"


def _rate(counts: ModelFill, seconds: float) -> str:
    done = counts.cached + counts.asked
    left_s = (counts.requests - done) * seconds / max(counts.asked, 1)
    return f"{done:,} of {counts.requests:,}, {_speeds(counts, seconds)}, {left_s:,.0f} s left"


def _compare(outputs: ExpertOutputs, recorded: str) -> None:
    """How far outputs that were asked for anew are from the recorded ones."""
    before = ExpertOutputs.load(find_outputs(recorded))
    if tuple(before.id) != tuple(outputs.id) or before.experts != outputs.experts:
        log.info("'%s' holds other questions or models; nothing to compare with", recorded)
        return
    text = f"{(before.score != outputs.score).sum()} of {outputs.score.size} scores differ"
    if before.log_prob is not None and outputs.log_prob is not None:
        finite = np.isfinite(before.log_prob)
        text += (
            f", log-probabilities by at most {np.abs(before.log_prob - outputs.log_prob)[finite].max():.2g}"
        )
    log.info("recorded outputs '%s' and those asked for anew: %s", recorded, text)
