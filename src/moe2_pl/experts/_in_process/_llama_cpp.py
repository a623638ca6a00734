"""Experts that llama.cpp runs here from GGUF files, quantised as they are (``llama-cpp-python``).

Log-likelihoods follow the same rules as those of transformers, but quantised arithmetic and a cache of 16-bit keys and
values give other numbers. Requests are run one after the other; the context of one is read once for all its options.
"""

import ctypes
import os
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import ConfigError
from moe2_pl.experts._backend import Backend, Generated, Scored, TooLong
from moe2_pl.experts._files._models import ModelFiles, find_model
from moe2_pl.experts._in_process._generating import cut
from moe2_pl.experts._in_process._tokens import TextEncoder
from moe2_pl.questions import Choices, Prompt

__all__ = ["LlamaCppBackend"]

_BATCH = 512  # tokens that llama.cpp reads at once


class LlamaCppBackend(Backend):
    """A GGUF file that llama.cpp runs.

    Args:
        model: a Hub id, a folder, or ``package:NAME``, the folder of an installed Python package.
        file: the GGUF file in it; may be left out where it is the only one.
        context_tokens: most tokens of a request; memory is set aside for them.
        threads: that compute; default all processors.

    Raises:
        ConfigError: a model or file that is not there, no GGUF file, or a number below 1.
    """

    def __init__(
        self, model: str, *, file: str | None = None, context_tokens: int = 2048, threads: int | None = None
    ) -> None:
        for key, value in (("context_tokens", context_tokens), ("threads", threads)):
            if value is not None and value < 1:
                raise ConfigError(f"model '{model}': {key} is {value}; need at least 1")
        self.files: ModelFiles = find_model(model, file)
        if self.files.gguf is None:
            raise ConfigError(
                f"model '{model}' is run by llama.cpp, which needs a GGUF file; name one as file"
            )
        self._context, self._threads = context_tokens, threads
        self._loaded: _Llama | None = None

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """What the answers depend on; see :class:`Backend`."""
        return {
            "backend": "llama_cpp",
            "model": dict(self.files.identity),
            "adapter": None,
            "context_tokens": self._context,
            "decoding": "greedy",
        }

    def score(self, requests: Sequence[Choices]) -> list[Scored | TooLong]:
        """See :class:`Backend`.

        Raises:
            ConfigError: the model cannot be loaded, or has no chat template where one is asked for.
            DataError: an option that adds no token to its context.
        """
        llama = self._running()
        return [self._scored(llama, *pair) for pair in llama.encoder.choices(requests)]

    def generate(self, requests: Sequence[Prompt]) -> list[Generated | TooLong]:
        """See :class:`Backend`.

        Raises:
            ConfigError: the model cannot be loaded, or has no chat template where one is asked for.
        """
        llama = self._running()
        texts = [llama.encoder.prompt(request.text, request.chat) for request in requests]
        return [
            self._generated(llama, tokens or [llama.encoder.prefix], request)
            for tokens, request in zip(llama.encoder.encode(texts), requests, strict=True)
        ]

    def close(self) -> None:
        """Give back the memory; the next call loads again."""
        if self._loaded is not None:
            self._loaded.close()
            self._loaded = None

    def _running(self) -> "_Llama":
        if self._loaded is None:
            self._loaded = _Llama(self.files, self._context, self._threads or os.cpu_count() or 1)
        return self._loaded

    def _scored(self, llama: "_Llama", context: list[int], options: list[list[int]]) -> Scored | TooLong:
        needed = len(context) + max(map(len, options)) - 1
        if needed > self._context:
            return TooLong(needed, self._context)
        started = time.perf_counter()
        first = llama.read(context, 0)[-1]
        log_prob = []
        for option in options:
            rows = [first]
            if len(option) > 1:
                llama.forget(len(context), context)
                rows += list(llama.read(option[:-1], len(context), every=True))
            log_prob.append(
                float(
                    sum(
                        row[token] - np.logaddexp.reduce(row) for row, token in zip(rows, option, strict=True)
                    )
                )
            )
        seconds = time.perf_counter() - started
        return Scored(tuple(log_prob), tuple(map(len, options)), len(context), prefill_s=seconds)

    def _generated(self, llama: "_Llama", prompt: list[int], request: Prompt) -> Generated | TooLong:
        needed = len(prompt) + request.max_tokens
        if needed > self._context:
            return TooLong(needed, self._context)
        started = time.perf_counter()
        written = [int(llama.read(prompt, 0)[-1].argmax())]
        read_s = time.perf_counter() - started
        while len(written) < request.max_tokens and not llama.ends(written[-1]):
            if any(stop in llama.text(written) for stop in request.stop):
                break
            written.append(int(llama.read(written[-1:], len(prompt) + len(written) - 1)[-1].argmax()))
        seconds = time.perf_counter() - started
        text = cut(llama.text(written), request.stop)
        return Generated(text, len(written), len(prompt), prefill_s=read_s, decode_s=seconds - read_s)


class _Llama:
    """A loaded model with the cache of one sequence."""

    def __init__(self, files: ModelFiles, context_tokens: int, threads: int) -> None:
        try:
            import llama_cpp
        except ImportError as error:
            raise ConfigError(
                f"model '{files.name}' is run by llama.cpp, which needs: pip install llama-cpp-python ({error})"
            ) from error
        self._library: Any = llama_cpp
        path = files.local() / str(files.gguf)
        try:
            self._llama: Any = llama_cpp.Llama(
                str(path),
                n_ctx=context_tokens,
                n_batch=_BATCH,
                n_threads=threads,
                n_threads_batch=threads,
                swa_full=True,  # sliding windows keep all, so that options can go back to the end of the context
                verbose=False,
            )
        except (ValueError, RuntimeError) as error:
            raise ConfigError(f"model '{files.name}' cannot be loaded by llama.cpp: {error}") from error
        self._vocabulary = llama_cpp.llama_model_get_vocab(self._llama.model)
        self._batch = llama_cpp.llama_batch_init(_BATCH, 0, 1)
        self.encoder = TextEncoder(_Tokenizer(self._llama, self._library), files.name)

    def read(self, tokens: Sequence[int], position: int, every: bool = False) -> NDArray[np.float64]:
        """Append tokens to the sequence, or begin it anew at position 0.

        Returns:
            Logits [m, vocabulary] after each of the tokens, or [1, vocabulary] after the last.
        """
        library, batch = self._library, self._batch
        if position == 0:
            library.llama_memory_clear(library.llama_get_memory(self._llama.ctx), True)
        rows = []
        for start in range(0, len(tokens), _BATCH):
            part = tokens[start : start + _BATCH]
            batch.n_tokens = len(part)
            for k, token in enumerate(part):
                batch.token[k], batch.pos[k] = token, position + start + k
                batch.n_seq_id[k], batch.seq_id[k][0] = 1, 0
                batch.logits[k] = every or start + k == len(tokens) - 1
            code = library.llama_decode(self._llama.ctx, batch)
            if code:
                raise ConfigError(f"llama.cpp could not read {len(tokens)} tokens at {position}: code {code}")
            rows += [self._logits(k) for k in range(len(part)) if batch.logits[k]]
        return np.stack(rows)

    def forget(self, position: int, tokens: Sequence[int]) -> None:
        """Back to the sequence's first ``position`` tokens, which are given for models that cannot go back."""
        library = self._library
        if not library.llama_memory_seq_rm(library.llama_get_memory(self._llama.ctx), 0, position, -1):
            self.read(tokens, 0)

    def ends(self, token: int) -> bool:
        """Whether a token ends an answer."""
        return bool(self._library.llama_vocab_is_eog(self._vocabulary, token))

    def text(self, tokens: list[int]) -> str:
        """The text of written tokens, without special ones."""
        return str(self._llama.detokenize(tokens).decode(errors="replace"))

    def close(self) -> None:
        """Free the memory."""
        self._library.llama_batch_free(self._batch)
        self._llama.close()

    def _logits(self, k: int) -> NDArray[np.float64]:
        size = self._llama.n_vocab()
        row = self._library.llama_get_logits_ith(self._llama.ctx, k)
        return np.ctypeslib.as_array(ctypes.cast(row, ctypes.POINTER(ctypes.c_float)), (size,)).astype(
            np.float64
        )


class _Tokenizer:
    """llama.cpp's tokenizer with the few names of transformers' that :class:`TextEncoder` uses."""

    def __init__(self, llama: Any, library: Any) -> None:
        self._llama = llama
        vocabulary = library.llama_model_get_vocab(llama.model)
        self._texts = {
            name: library.llama_vocab_get_text(vocabulary, token).decode()
            for name, token in (("bos", llama.token_bos()), ("eos", llama.token_eos()))
            if token >= 0
        }
        self.bos_token_id = llama.token_bos() if "bos" in self._texts else None
        self.eos_token_id = llama.token_eos() if "eos" in self._texts else None
        self.chat_template = llama.metadata.get("tokenizer.chat_template")

    def __call__(
        self, texts: list[str], add_special_tokens: bool, verbose: bool
    ) -> dict[str, list[list[int]]]:
        encoded = [
            self._llama.tokenize(text.encode(), add_bos=add_special_tokens, special=True) for text in texts
        ]
        return {"input_ids": encoded}

    def decode(self, tokens: list[int]) -> str:
        return str(self._texts["bos" if tokens == [self.bos_token_id] else "eos"])

    def apply_chat_template(self, messages: Any, tokenize: bool, add_generation_prompt: bool) -> str:
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        names = {"eos_token": self._texts.get("eos", ""), "bos_token": self._texts.get("bos", "")}
        return str(Jinja2ChatFormatter(template=self.chat_template, **names)(messages=messages).prompt)
