"""Seconds of prompts and of written tokens, measured with a real model."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from moe2_pl.errors import ConfigError
from moe2_pl.experts._files._models import find_model
from moe2_pl.experts._in_process._bases import load_model
from moe2_pl.experts._measuring._machine import median_seconds
from moe2_pl.pool import Expert, Observation, architecture

__all__ = ["RunningModel", "timed_observations"]

_PROMPTS = (32, 64, 128, 256, 512)
_CONTEXTS = (32, 256, 512)
_WRITTEN = 8


@dataclass(frozen=True, eq=False)
class RunningModel:
    """A language model in memory, and what the cost model knows of it.

    Args:
        model: of transformers, in evaluation mode.
        expert: its figures, at the precision that it computes in.
        device: a torch device.
    """

    model: Any
    expert: Expert
    device: str

    @classmethod
    def load(cls, model: str, device: str, dtype: Any, gguf_file: str | None = None) -> "RunningModel":
        """Load a model whose weights are safetensors, or the GGUF file of that name in its folder.

        Args:
            model: a Hub id, a folder, or ``package:NAME`` for one that a Python package holds.
            device: a torch device.
            dtype: the torch type to compute in; a GGUF file is unpacked to it.
            gguf_file: name of the file.

        Raises:
            ConfigError: transformers is not installed, or the model cannot be loaded.
            UnknownNameError: an architecture whose costs are not known.
        """
        files = find_model(model, gguf_file)
        loaded, _ = load_model(files, str(dtype).removeprefix("torch."), device)
        bits = 8 * loaded.lm_head.weight.element_size()
        figures = architecture(loaded.config.to_dict())
        name = Path(files.gguf or model).stem
        return cls(loaded, Expert(name, device, bits=bits, kv_bits=bits, **figures), device)


def timed_observations(running: RunningModel, repeats: int = 5) -> Iterator[Observation]:
    """Prompts of 32 to 512 tokens, and 8 tokens written after 32, 256 and 512: medians of several runs.

    Raises:
        ConfigError: a model that keeps no cache of keys and values.
    """
    import torch

    model, expert = running.model, running.expert
    ids = torch.arange(max(_PROMPTS), device=running.device)[None] % model.config.vocab_size

    def read(tokens: int) -> Any:
        return model(ids[:, :tokens], use_cache=True, logits_to_keep=1).past_key_values

    def write(cache: Any) -> None:
        for _ in range(_WRITTEN):
            model(ids[:, :1], past_key_values=cache, use_cache=True, logits_to_keep=1)

    with torch.inference_mode():
        for tokens in _PROMPTS:
            seconds = median_seconds(partial(read, tokens), running.device, repeats)
            yield Observation(expert, tokens, tokens, 0, seconds)
        for tokens in _CONTEXTS:
            cache = read(tokens)
            if cache is None:
                raise ConfigError(
                    f"model '{expert.name}' keeps no cache of keys and values; its writing cannot be timed"
                )
            seconds = median_seconds(partial(write, cache), running.device, repeats)
            # The cache has grown with every run, the warm-up among them.
            yield Observation(expert, 0, tokens + _WRITTEN * (repeats + 1) / 2, _WRITTEN, seconds)
