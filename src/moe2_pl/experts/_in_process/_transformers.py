"""Experts that transformers runs here: from the Hub, folders, packages or GGUF files, with or without LoRA adapters."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeVar

from moe2_pl.errors import ConfigError, UnknownNameError
from moe2_pl.experts._backend import Backend, Generated, Scored, TooLong
from moe2_pl.experts._files._adapters import AdapterFiles, find_adapter
from moe2_pl.experts._files._models import ModelFiles, find_model
from moe2_pl.experts._in_process._bases import Base, Lease, lease
from moe2_pl.experts._in_process._generating import Job, cut, write
from moe2_pl.experts._in_process._tokens import TextEncoder
from moe2_pl.experts._in_process._trees import token_tree
from moe2_pl.questions import Choices, Prompt

__all__ = ["TransformersBackend"]

DTYPES = ("float32", "bfloat16", "float16", "float64")
Done = TypeVar("Done")


class TransformersBackend(Backend):
    """A language model that transformers loads.

    Log-likelihoods are those of the lm-evaluation-harness's ``hf`` models, except that nothing is ever cut.

    Args:
        model: a Hub id, a folder, or ``package:NAME``, the folder of an installed Python package.
        file: a GGUF file in it, unpacked to ``dtype``.
        adapter: a folder with a LoRA adapter that PEFT saved. Experts that differ in it alone share their base.
        dtype: the torch type to compute in.
        device: a torch device, or ``auto`` to spread the model over all there are; default the first GPU, or the
            processor.
        tokens_per_batch: padded tokens of a forward pass.
        context_tokens: most tokens of a request; default what the model holds.
        revision: of a model of the Hub: a branch, a tag or a commit.
        trust_remote_code: whether code that the model brings along may run.
        allow_pickle: whether weights may be read from pickles where there are no safetensors.

    Raises:
        ConfigError: a model, file or adapter that is not there or that may not be read, or a number below 1.
        UnknownNameError: another ``dtype``.
    """

    def __init__(
        self,
        model: str,
        *,
        file: str | None = None,
        adapter: str | None = None,
        dtype: str = "float32",
        device: str | None = None,
        tokens_per_batch: int = 8192,
        context_tokens: int | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        allow_pickle: bool = False,
    ) -> None:
        if dtype not in DTYPES:
            raise UnknownNameError("dtype", dtype, DTYPES)
        for key, value in (("tokens_per_batch", tokens_per_batch), ("context_tokens", context_tokens)):
            if value is not None and value < 1:
                raise ConfigError(f"model '{model}': {key} is {value}; need at least 1")
        self.files: ModelFiles = find_model(model, file, revision, allow_pickle=allow_pickle)
        self.adapter: AdapterFiles | None = None if adapter is None else find_adapter(adapter)
        self._dtype, self._device, self._trust = dtype, device, trust_remote_code
        self._budget, self._context = tokens_per_batch, context_tokens
        self._lease: Lease | None = None

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """What the answers depend on; see :class:`Backend`."""
        return {
            "backend": "transformers",
            "model": dict(self.files.identity),
            "adapter": None if self.adapter is None else self.adapter.digest,
            "dtype": self._dtype,
            "context_tokens": self._context,
            "decoding": "greedy",
        }

    def score(self, requests: Sequence[Choices]) -> list[Scored | TooLong]:
        """See :class:`Backend`.

        Raises:
            ConfigError: the model cannot be loaded, has no chat template where one is asked for, or runs out of memory.
            DataError: an option that adds no token to its context.
        """
        with self._running() as base:
            pairs = TextEncoder(base.tokenizer, base.name).choices(requests)
            needed = [len(context) + max(map(len, options)) - 1 for context, options in pairs]
            holds = self._holds(base)

            def run(rows: list[int]) -> list[Scored]:
                trees = [token_tree(*pairs[row]) for row in rows]
                scored = base.reader.score(trees, self._budget)
                return [
                    Scored(
                        its.log_prob,
                        tuple(map(len, pairs[row][1])),
                        len(pairs[row][0]),
                        prefill_s=its.seconds,
                    )
                    for row, its in zip(rows, scored, strict=True)
                ]

            return _fitting(needed, holds, run)

    def generate(self, requests: Sequence[Prompt]) -> list[Generated | TooLong]:
        """See :class:`Backend`.

        Raises:
            ConfigError: as :meth:`score` does, or a model that keeps no cache of keys and values.
        """
        with self._running() as base:
            encoder = TextEncoder(base.tokenizer, base.name)
            prompts = encoder.encode([encoder.prompt(request.text, request.chat) for request in requests])
            jobs = [
                Job(prompt or [encoder.prefix], request.max_tokens, request.stop)
                for prompt, request in zip(prompts, requests, strict=True)
            ]

            def run(rows: list[int]) -> list[Generated]:
                write(base.model, base.tokenizer, [jobs[row] for row in rows], self._budget)
                return [self._answer(base, jobs[row]) for row in rows]

            return _fitting([len(job.prompt) + job.limit for job in jobs], self._holds(base), run)

    def close(self) -> None:
        """Give back the memory, unless another expert uses the base."""
        if self._lease is not None:
            self._lease.give_back()
            self._lease = None

    @contextmanager
    def _running(self) -> Iterator[Base]:
        import torch

        if self._lease is None:
            if self.adapter is not None:
                self.adapter.check_base(self.files)
            self._lease = lease(self.files, self.adapter, self._dtype, _device(self._device), self._trust)
        try:
            with self._lease.use() as base:
                yield base
        except torch.OutOfMemoryError as error:
            raise ConfigError(
                f"model '{self.files.name}' ran out of memory; tokens_per_batch is {self._budget}, lower it"
            ) from error

    def _holds(self, base: Base) -> int:
        """Tokens that a request may have."""
        config = base.model.config.get_text_config()
        most = next(
            (
                int(n)
                for key in ("max_position_embeddings", "n_positions", "n_ctx")
                if (n := getattr(config, key, None))
            ),
            None,
        )
        if self._context is None and most is None:
            raise ConfigError(
                f"model '{base.name}' does not say how many tokens it holds; give context_tokens"
            )
        if self._context is not None and most is not None and self._context > most:
            raise ConfigError(
                f"model '{base.name}': context_tokens is {self._context}; the model holds {most}"
            )
        return self._context or most or 0

    def _answer(self, base: Base, job: Job) -> Generated:
        text = cut(base.tokenizer.decode(job.written, skip_special_tokens=True), job.stop)
        return Generated(
            text, len(job.written), len(job.prompt), prefill_s=job.prefill_s, decode_s=job.decode_s
        )


def _fitting(needed: list[int], holds: int, run: Callable[[list[int]], list[Done]]) -> list[Done | TooLong]:
    """Answers in order: run what fits, and tell the rest."""
    rows = [row for row, tokens in enumerate(needed) if tokens <= holds]
    done = dict(zip(rows, run(rows) if rows else [], strict=True))
    return [done[row] if row in done else TooLong(tokens, holds) for row, tokens in enumerate(needed)]


def _device(device: str | None) -> str:
    """The torch device that was named, or the best one here.

    Raises:
        ConfigError: no torch device, or none that is here.
    """
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if device == "auto":
        return device
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ConfigError(
            f"device '{device}' is not a torch device: auto, cpu, cuda or cuda:1, say"
        ) from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device '{device}': torch finds no GPU here; cpu is left")
    return device
