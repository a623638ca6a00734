"""Every question of a plan answered by every model, each exactly once, whatever interrupts it."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol

from moe2_pl.errors import IntegrityError
from moe2_pl.experts import Meter, Record, ask
from moe2_pl.outputs._assembled import assembled
from moe2_pl.outputs._cache import digest
from moe2_pl.outputs._container import ExpertOutputs
from moe2_pl.outputs._plan import OutputPlan
from moe2_pl.outputs._store import fill
from moe2_pl.questions import Request

__all__ = ["LocalWorkers", "ModelFill", "Watch", "Workers", "fill_plan", "precomputed"]


log = logging.getLogger(__name__)


class Workers(Protocol):
    """Whoever answers; ``parallel`` calls of ``ask`` may be under way at once."""

    parallel: int

    def ask(self, plan: OutputPlan, model: str, requests: Mapping[str, Request]) -> dict[str, Record]:
        """Key → record of the requests."""

    def release(self, plan: OutputPlan, models: tuple[str, ...]) -> None:
        """These models are done with."""


@dataclass(eq=False)
class LocalWorkers:
    """This process answers."""

    parallel: int = 1
    _meter: Meter | None = field(default=None, init=False, repr=False)
    _looked: bool = field(default=False, init=False, repr=False)

    def ask(self, plan: OutputPlan, model: str, requests: Mapping[str, Request]) -> dict[str, Record]:
        """See :class:`Workers`."""
        if not self._looked:
            self._meter, self._looked = Meter.here(), True
        return ask(plan.backend(model), requests, self._meter)

    def release(self, plan: OutputPlan, models: tuple[str, ...]) -> None:
        """Give back the memory of models that share a base."""
        for model in models:
            plan.backend(model).close()


@dataclass
class ModelFill:
    """What filling did for one model.

    Args:
        model: its model_id.
        requests: distinct requests of the plan.
        cached: of these, answered before.
        asked: answered now.
        too_long: of all, too long for the model's context.
        tokens: read and written now.
        seconds: that answering now took, summed over workers.
        prefill_s, decode_s: of these, inside the model, reading and writing; NaN where a backend cannot tell.
        joules: of that, NaN where nothing metered it.
    """

    model: str
    requests: int
    cached: int = 0
    asked: int = 0
    too_long: int = 0
    tokens: int = 0
    seconds: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    joules: float = 0.0

    def add(self, records: Mapping[str, Record]) -> None:
        """Count records that were answered just now."""
        self.asked += len(records)
        for record in records.values():
            written = record.get("tokens", 0)
            self.tokens += record.get("prompt_tokens", 0) + (
                sum(written) if isinstance(written, list) else written
            )
            self.seconds += record["seconds"]
            if "too_long" not in record:
                self.prefill_s += record.get("prefill_s", math.nan)
                self.decode_s += record.get("decode_s", math.nan if "text" in record else 0.0)
            self.joules += record.get("joules", math.nan)


Watch = Callable[[ModelFill], AbstractContextManager[Callable[[], None]]]


@contextmanager
def _unwatched(counts: ModelFill) -> Iterator[Callable[[], None]]:
    yield lambda: None


def precomputed(
    plan: OutputPlan,
    workers: Workers | None = None,
    watch: Watch = _unwatched,
    tell: Callable[[list[ModelFill]], None] = lambda fills: None,
    *,
    anew: bool = False,
) -> ExpertOutputs:
    """The outputs of a plan: read where they lie assembled, else asked for, put together and saved in its folder.

    Whatever the store lacks is asked for, also where the outputs lie assembled. Questions that were too long for a
    model are told each time.

    Args:
        plan: who is asked what.
        workers: who answers; default this process.
        watch: see :func:`fill_plan`.
        tell: called with what was done for each model.
        anew: ask again for everything.

    Raises:
        MoE2Error: a model that cannot be run, or answers that cannot be scored.
    """
    outputs = None
    if not anew and not _lacking(plan):
        # A folder that is damaged is put together again from the store.
        with suppress(IntegrityError):
            outputs = ExpertOutputs.load(plan.folder)
    if outputs is None:
        tell(fill_plan(plan, workers or LocalWorkers(), watch, anew=anew))
        outputs = assembled(plan)
        outputs.save(plan.folder)
    for model, count in outputs.provenance["too_long"].items():
        log.warning(
            "%d of %d questions are too long for '%s'; they count as answered wrongly",
            *(count, len(outputs.id), model),
        )
    return outputs


def _lacking(plan: OutputPlan) -> bool:
    """Whether the store lacks an answer: of a shard that was damaged since the outputs were put together, say."""
    return any(plan.by_key.keys() - plan.entry(model).read().keys() for model in plan.models)


def fill_plan(plan: OutputPlan, workers: Workers, watch: Watch, *, anew: bool = False) -> list[ModelFill]:
    """Ask every model for what the store lacks, and keep each shard as soon as it is answered.

    Models that share weights follow each other, so that these are loaded once. Several processes may fill one store
    at the same time: each shard is claimed by one of them.

    Args:
        plan: who is asked what.
        workers: who answers.
        watch: called with the counts of a model; its context gives a function that is called after every shard.
        anew: forget earlier answers of these models first.

    Returns:
        One entry for each model, in the plan's order.

    Raises:
        MoE2Error: a model that cannot be run; what was answered before is kept.
    """
    found: dict[str, ModelFill] = {}
    for models in _families(plan):
        for model in models:
            if anew:
                plan.store.remove(plan.entry(model))
            found[model] = _fill_model(plan, model, workers, watch)
        workers.release(plan, models)
    return [found[model] for model in plan.models]


def _families(plan: OutputPlan) -> Iterator[tuple[str, ...]]:
    """Models by what they have in common besides an adapter."""
    groups: dict[str, list[str]] = {}
    for model in plan.models:
        shared = {key: value for key, value in plan.backend(model).identity.items() if key != "adapter"}
        groups.setdefault(digest(shared), []).append(model)
    for group in groups.values():
        yield tuple(group)


def _fill_model(plan: OutputPlan, model: str, workers: Workers, watch: Watch) -> ModelFill:
    entry, counts, lock = plan.entry(model), ModelFill(model, len(plan.by_key)), Lock()
    before = entry.read()
    counts.cached = sum(key in before for key in plan.by_key)

    with watch(counts) as tick:

        def compute(unit: str, keys: Any) -> dict[str, Record]:
            records = workers.ask(plan, model, {key: plan.by_key[key] for key in keys})
            with lock:
                counts.add(records)
                tick()
            return records

        if workers.parallel == 1 or counts.cached == counts.requests:
            fill(entry, plan.units, compute)
        else:
            with ThreadPoolExecutor(workers.parallel) as threads:
                for done in [
                    threads.submit(fill, entry, plan.units, compute) for _ in range(workers.parallel)
                ]:
                    done.result()
    answers = entry.read()
    counts.too_long = sum("too_long" in answers[key] for key in plan.by_key)
    return counts
