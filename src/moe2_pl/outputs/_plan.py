"""Which questions are put to which models, under an address that changes with everything the answers depend on.

A plan asks nobody: :func:`moe2_pl.outputs.fill_plan` does, and :func:`moe2_pl.outputs.assembled` makes outputs of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from moe2_pl.errors import ConfigError, DataError
from moe2_pl.experts import Backend, find_model, open_backend
from moe2_pl.outputs._cache import digest
from moe2_pl.outputs._store import OutputStore, StoreEntry
from moe2_pl.questions import Question, Request, Task

__all__ = ["OutputPlan"]


@dataclass(frozen=True, eq=False)
class OutputPlan:
    """n questions for M models.

    Args:
        questions: n, ids unique.
        tasks: name → how questions of that task are asked and scored.
        models: model_id → settings of :func:`moe2_pl.experts.open_backend`.
        store: where answers are kept.
        encoders: name → model of :func:`moe2_pl.outputs.encode_mean_pooled`, whose embeddings gates will see.
        shard: questions that are answered and written at once: what a crash can cost.
        measured: whether the outputs take the seconds and joules that were measured here, instead of leaving costs to
            the cost model of the pool's devices.

    Raises:
        DataError: no questions, or a task without a definition.
        ConfigError: no models, no encoder, or a shard of no questions.
    """

    questions: tuple[Question, ...]
    tasks: Mapping[str, Task]
    models: Mapping[str, Mapping[str, Any]]
    store: OutputStore
    encoders: Mapping[str, str]
    shard: int = 64
    measured: bool = False
    _opened: dict[str, Backend] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.questions:
            raise DataError("expert_pool.questions gives no questions; models need something to answer")
        if not self.models:
            raise ConfigError("expert_pool.models is empty; say for each model_id how it is run")
        if not self.encoders:
            raise ConfigError(
                "expert_pool.encoders is empty; a gate needs at least one embedding of the question"
            )
        if self.shard < 1:
            raise ConfigError(f"precompute.shard is {self.shard}; need at least 1 question")
        for question in self.questions:
            if question.task not in self.tasks:
                raise DataError(
                    f"question '{question.id}' is of task '{question.task}', which is not defined"
                )

    @cached_property
    def requests(self) -> tuple[Request, ...]:
        """What each question puts to every model, [n]."""
        return tuple(self.tasks[q.task].request(q) for q in self.questions)

    @cached_property
    def by_key(self) -> dict[str, Request]:
        """Key → request; copies of a question are asked once."""
        return {request.key: request for request in self.requests}

    @cached_property
    def units(self) -> dict[str, tuple[str, ...]]:
        """Shards of work, name → keys of requests: of one kind and of similar length, so that batches pad little.

        They depend on the questions alone, so that every process that works on a plan cuts it alike.
        """
        order = sorted(
            self.by_key, key=lambda k: (type(self.by_key[k]).__name__, self.by_key[k].characters, k)
        )
        found: dict[str, tuple[str, ...]] = {}
        for keys in _runs(order, self.shard, lambda k: type(self.by_key[k]).__name__):
            found[digest({"keys": keys})[:16]] = tuple(keys)
        return found

    def backend(self, model: str) -> Backend:
        """The backend of a model, opened once."""
        if model not in self._opened:
            self._opened[model] = open_backend(model, self.models[model])
        return self._opened[model]

    def entry(self, model: str) -> StoreEntry:
        """Where a model's answers lie."""
        return self.store.entry(self.backend(model).identity)

    @cached_property
    def address(self) -> str:
        """A SHA-256 of everything that the assembled outputs depend on."""
        return digest(
            {
                "questions": [
                    [q.id, q.text, q.category, q.family, q.label, list(q.answers)] for q in self.questions
                ],
                "requests": [request.key for request in self.requests],
                "tasks": [
                    asdict(self.tasks[name]) | {"scorer": str(self.tasks[name].scorer)} for name in self.tasks
                ],
                "models": {model: dict(self.backend(model).identity) for model in self.models},
                "encoders": {name: dict(find_model(model).identity) for name, model in self.encoders.items()},
                "measured": self.measured,
            }
        )

    @property
    def folder(self) -> Path:
        """Where the assembled outputs belong."""
        return Path(self.store.folder) / "assembled" / self.address[:20]


def _runs(order: Sequence[str], size: int, kind: Any) -> Iterator[list[str]]:
    """Runs of at most ``size`` consecutive keys of one kind."""
    run: list[str] = []
    for key in order:
        if run and (len(run) == size or kind(key) != kind(run[-1])):
            yield run
            run = []
        run.append(key)
    if run:
        yield run
