"""From the answers in a store to outputs: scores, log-probabilities, tokens, costs and the questions' features."""

from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import DataError
from moe2_pl.experts import Generated, Scored, TooLong, answer_of, find_model
from moe2_pl.outputs._cache import ArrayCache, Arrays, digest
from moe2_pl.outputs._container import ExpertOutputs
from moe2_pl.outputs._encoder import encode_mean_pooled
from moe2_pl.outputs._plan import OutputPlan
from moe2_pl.outputs._surface import SURFACE_NAMES, surface_features
from moe2_pl.questions import Question, Task

__all__ = ["assembled"]


def assembled(plan: OutputPlan) -> ExpertOutputs:
    """The outputs of a plan whose answers are all in the store.

    A question that is too long for an expert is scored 0 there, with equal log-probabilities; the provenance counts
    them.

    Raises:
        DataError: an answer is missing.
    """
    questions, names = plan.questions, tuple(plan.models)
    K = max((len(q.options) for q in questions), default=0)
    columns = [_column(plan, model, K) for model in names]
    categories, category = _indexed([q.category for q in questions])
    families, family = _indexed([q.family for q in questions])
    extra: dict[str, Any] = {}
    if K:
        extra["log_prob"] = np.stack([c["log_prob"] for c in columns], axis=1)
        extra["label"] = np.array([q.label for q in questions], dtype=np.int64)
    if any(families):
        extra |= {"family": family, "families": tuple(name or "other" for name in families)}
    if plan.measured:
        extra |= _measured(columns)
    too_long = {
        model: int(c["too_long"].sum())
        for model, c in zip(names, columns, strict=True)
        if c["too_long"].any()
    }
    return ExpertOutputs(
        id=np.array([q.id for q in questions]),
        score=np.stack([c["score"] for c in columns], axis=1).astype(np.float32),
        category=category,
        prompt_tokens=np.max([c["prompt_tokens"] for c in columns], axis=0),
        output_tokens=np.stack([c["tokens"] for c in columns], axis=1),
        experts=names,
        categories=categories,
        features=_features(plan),
        surface=surface_features([q.text for q in questions]),
        surface_names=SURFACE_NAMES,
        provenance=_provenance(plan, too_long),
        **extra,
    )


def _column(plan: OutputPlan, model: str, options: int) -> dict[str, NDArray[Any]]:
    """One model's figures of all questions."""
    answers = plan.entry(model).read()
    found: dict[str, list[Any]] = {
        name: [] for name in ("score", "tokens", "prompt_tokens", "log_prob", "too_long", "seconds", "joules")
    }
    for question, request in zip(plan.questions, plan.requests, strict=True):
        record = answers.get(request.key)
        if record is None:
            raise DataError(
                f"model '{model}' has not answered question '{question.id}': run stages=[precompute]"
            )
        for name, value in _figures(plan.tasks[question.task], question, record, options).items():
            found[name].append(value)
    return {name: np.array(values) for name, values in found.items()}


def _figures(task: Task, question: Question, record: Mapping[str, Any], options: int) -> dict[str, Any]:
    """One answer's figures; of a question that was too long there is nothing but its length."""
    answer = answer_of(record)
    row = np.full(options, -np.inf if question.options else np.nan)
    score, tokens = 0.0, 0
    if question.options:
        known = (answer.log_prob, answer.tokens) if isinstance(answer, Scored) else (None, None)
        row[: len(question.options)] = task.option_log_prob(question, *known)
        if isinstance(answer, Scored):
            score, tokens = task.score_options(question, *known), answer.tokens[int(np.argmax(row))]
    elif isinstance(answer, Generated):
        score, tokens = task.score_text(question, answer.text), answer.tokens
    return {
        "score": score,
        "tokens": tokens,
        "prompt_tokens": answer.prompt_tokens,
        "log_prob": row.astype(np.float32),
        "too_long": isinstance(answer, TooLong),
        "seconds": record["seconds"],
        "joules": record.get("joules", np.nan),
    }


def _measured(columns: list[dict[str, NDArray[Any]]]) -> dict[str, Any]:
    """Seconds and joules as they were measured; joules are NaN where nothing metered them."""
    joules = np.stack([c["joules"].astype(np.float64) for c in columns], axis=1)
    metered = [bool(np.isfinite(column).all()) for column in joules.T]
    return {
        "latency_s": np.stack([c["seconds"].astype(np.float64) for c in columns], axis=1),
        "energy_j": joules,
        "cost_label": tuple("measured" if known else "modelled" for known in metered),
    }


def _indexed(names: list[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The distinct names in order of appearance, and the number of each, [n]."""
    distinct = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return tuple(distinct), np.array([distinct[name] for name in names], dtype=np.int64)


def _features(plan: OutputPlan) -> dict[str, NDArray[np.float16]]:
    """Embeddings of the questions as users send them, computed once."""
    texts = [q.text for q in plan.questions]
    cache = ArrayCache(Path(plan.store.folder) / "features")
    found = {}
    for name, model in plan.encoders.items():
        address = digest({"encoder": dict(find_model(model).identity), "texts": texts})
        arrays = cache.get(address, partial(_embedding, texts, model))
        found[name] = arrays["embedding"].astype(np.float16)
    return found


def _embedding(texts: list[str], model: str) -> Arrays:
    return {"embedding": encode_mean_pooled(texts, model)[0]}


def _provenance(plan: OutputPlan, too_long: dict[str, int]) -> dict[str, Any]:
    return {
        "source": "answered by the pool's models",
        "address": plan.address,
        "models": {model: dict(plan.backend(model).identity) for model in plan.models},
        "tasks": {name: task.template for name, task in plan.tasks.items()},
        "encoders": dict(plan.encoders),
        "too_long": too_long,
        "versions": {package: version(package) for package in ("moe2-pl", "torch", "transformers")},
    }
