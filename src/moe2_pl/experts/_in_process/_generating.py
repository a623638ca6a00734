"""Greedy answers of a causal language model of transformers, a batch at a time.

Prompts are padded on the left and share one cache of keys and values. A row is done at its end token, its stop text or
its limit, and rows that are done leave the batch once they are half of it.
"""

import inspect
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from moe2_pl.errors import ConfigError
from moe2_pl.experts._in_process._trees import batches

__all__ = ["Job", "cut", "write"]


@dataclass(eq=False)
class Job:
    """A prompt to continue, and its answer as it grows.

    Args:
        prompt: tokens, at least one.
        limit: most tokens to write.
        stop: texts that end the answer.
        written: tokens so far, the one that ends it included.
        prefill_s: share of its batch's time for reading prompts, by tokens.
        decode_s: share of its batch's time for writing, by rows still at work.
    """

    prompt: list[int]
    limit: int
    stop: tuple[str, ...] = ()
    written: list[int] = field(default_factory=list)
    prefill_s: float = 0.0
    decode_s: float = 0.0


def write(model: Any, tokenizer: Any, jobs: Sequence[Job], tokens_per_batch: int) -> None:
    """Write the answer of each job into it.

    Args:
        model: a causal language model of transformers, in evaluation mode.
        tokenizer: of that model.
        jobs: n of them.
        tokens_per_batch: tokens that the cache of a batch may come to hold, padding included.

    Raises:
        ConfigError: a model without a cache of keys and values.
    """
    import torch

    if "past_key_values" not in inspect.signature(model.forward).parameters:
        raise ConfigError(
            f"{type(model).__name__} keeps no cache of keys and values, so it cannot be asked to write; "
            "it can weigh options"
        )
    ends = _ends(model, tokenizer)
    with torch.inference_mode():
        for rows in batches([len(job.prompt) + job.limit for job in jobs], tokens_per_batch):
            _write_batch(model, tokenizer, [jobs[row] for row in rows], ends)


def cut(text: str, stop: Sequence[str]) -> str:
    """The text up to the first stop text in it.

    Example:
        >>> cut("42. Next", (chr(10), "."))
        '42'
    """
    places = [text.find(one) for one in stop if one in text]
    return text[: min(places)] if places else text


def _write_batch(model: Any, tokenizer: Any, jobs: list[Job], ends: frozenset[int]) -> None:

    own_ends = [ends | _tokens_of(tokenizer, job.stop) for job in jobs]
    step = _Step(model, [job.prompt for job in jobs])
    started = time.perf_counter()
    tokens = step.read()
    seconds = time.perf_counter() - started
    total = sum(len(job.prompt) for job in jobs)
    for job in jobs:
        job.prefill_s = seconds * len(job.prompt) / total
    rows = list(range(len(jobs)))  # the job of each row of the cache
    while True:
        alive = []
        for place, row in enumerate(rows):
            if row < 0:
                continue
            job = jobs[row]
            job.written.append(tokens[place])
            done = tokens[place] in own_ends[row] or len(job.written) == job.limit or _stopped(tokenizer, job)
            if done:
                rows[place] = -1
            else:
                alive.append(place)
        if not alive:
            return
        started = time.perf_counter()
        if 2 * len(alive) <= len(rows):
            step.keep(alive)
            rows, tokens = [rows[place] for place in alive], [tokens[place] for place in alive]
        tokens = step.write(tokens)
        seconds = (time.perf_counter() - started) / len(alive)
        for row in rows:
            if row >= 0:
                jobs[row].decode_s += seconds


class _Step:
    """Forward passes over rows that share a cache.

    Args:
        model: of transformers.
        prompts: tokens of each row.
    """

    def __init__(self, model: Any, prompts: list[list[int]]) -> None:
        import torch
        from transformers import DynamicCache

        self._model = model
        known = inspect.signature(model.forward).parameters
        self._positions = "position_ids" in known
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
        width = max(map(len, prompts))
        self._ids = torch.zeros(len(prompts), width, dtype=torch.long)
        self._seen = torch.zeros(len(prompts), width, dtype=torch.long, device=model.device)
        for row, prompt in enumerate(prompts):
            self._ids[row, width - len(prompt) :] = torch.tensor(prompt)
            self._seen[row, width - len(prompt) :] = 1
        self._cache = DynamicCache(config=model.config)

    def read(self) -> list[int]:
        """Read the prompts; the first token of each answer."""
        return self._forward(self._ids, (self._seen.cumsum(1) - 1).clamp_min(0))

    def write(self, tokens: list[int]) -> list[int]:
        """Append a token to each row; the next ones."""
        import torch

        self._seen = torch.nn.functional.pad(self._seen, (0, 1), value=1)
        return self._forward(torch.tensor(tokens)[:, None], self._seen.sum(1, keepdim=True) - 1)

    def keep(self, places: list[int]) -> None:
        """Forget all rows but these."""
        import torch

        index = torch.tensor(places, device=self._seen.device)
        self._cache.batch_select_indices(index)
        self._seen = self._seen[index]

    def _forward(self, ids: Any, positions: Any) -> list[int]:
        inputs = {"position_ids": positions} if self._positions else {}
        logits = self._model(
            input_ids=ids.to(self._model.device),
            attention_mask=self._seen,
            past_key_values=self._cache,
            use_cache=True,
            **inputs,
            **self._last,
        ).logits
        return list(logits[:, -1].argmax(-1).tolist())


def _stopped(tokenizer: Any, job: Job) -> bool:
    """Whether the end of the answer holds a stop text; a character takes at most four tokens."""
    if not job.stop:
        return False
    tail = job.written[-(4 * max(map(len, job.stop)) + 4) :]
    text = tokenizer.decode(tail, skip_special_tokens=True)
    return any(one in text for one in job.stop)


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end any answer of the model."""
    named = getattr(model.generation_config, "eos_token_id", None)
    several = named if isinstance(named, list) else [named]
    return frozenset(token for token in (*several, tokenizer.eos_token_id) if token is not None)


def _tokens_of(tokenizer: Any, stop: Sequence[str]) -> frozenset[int]:
    """Special tokens among stop texts; they leave no trace in the text."""
    special = dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    return frozenset(special[one] for one in stop if one in special)
